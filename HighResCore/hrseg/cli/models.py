"""``hrseg models list|show|card|verify|add``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hrseg.cli.console import console, output

models = typer.Typer(help="Lists, shows, describes, checks and adds models.")


@models.command("list")
def list_models(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Lists the models that `hrseg segment` finds by name."""
    with console.status("Loading libraries"):
        from hrseg.model_store import stored_models

        found = [_entry(model.path) for model in stored_models()]
    if as_json:
        output.print_json(data=found)
        return
    table = Table()
    table.add_column("name", overflow="fold", min_width=24)
    for column in ("method", "labels", "held-out Dice"):
        table.add_column(column)
    for entry in found:
        dice = entry["held_out"].get("dice")
        described = [", ".join(entry["labels"]), "–" if dice is None else f"{dice:.3f}"]
        table.add_row(entry["name"], *([entry["method"], *described] if entry["method"] else ["unusable", "", ""]))
        if "problem" in entry:
            console.print(f"Note: {entry['problem']}", style="yellow")
    output.print(table if found else "No models found; `hrseg models add FILE` adds one.")


@models.command()
def show(model: Annotated[str, typer.Argument(help="Name or file.")]) -> None:
    """Shows all that a model says of itself, as JSON."""
    from hrseg.model_file import load_header
    from hrseg.model_store import find_model

    output.print_json(load_header(find_model(model)).model_dump_json(exclude_none=True))


@models.command()
def card(
    model: Annotated[str, typer.Argument(help="Name or file.")],
    metrics: Annotated[Path | None, typer.Option(help="metrics.json of its evaluation on held-out cases.")] = None,
    target: Annotated[Path | None, typer.Option("--output", "-o", help="Markdown file; else it is printed.")] = None,
) -> None:
    """Describes a model for people who consider using it: a model card, as Markdown."""
    from hrseg.evaluation.summary import read_metrics
    from hrseg.image import replacing
    from hrseg.model_card import model_card
    from hrseg.model_store import find_model

    text = model_card(find_model(model), read_metrics(metrics) if metrics else None)
    if target is None:
        output.print(text, end="")
        return
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
    output.print(f"Model card: {target}")


@models.command()
def verify(model: Annotated[str, typer.Argument(help="Name or file.")]) -> None:
    """Loads a model completely and says whether it is in order."""
    from hrseg.model_file import file_sha256, load_model
    from hrseg.model_store import find_model

    path = find_model(model)
    loaded = load_model(path)
    count = sum(value.numel() for value in loaded.network.state_dict().values())
    output.print(
        f"{loaded.header.name} is in order: {loaded.header.method}, {count:,} parameters, SHA-256 {file_sha256(path)}"
    )


@models.command()
def add(
    file: Annotated[Path, typer.Argument(help="Model file (.safetensors).")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace a model of the same name.")] = False,
) -> None:
    """Checks a model file and copies it to your own models."""
    from hrseg.model_file import load_model
    from hrseg.model_store import add_model

    load_model(file)
    console.print(f'Added "{add_model(file, replace=replace)}".')


def _entry(path: Path) -> dict[str, Any]:
    """What is listed of a model file; ``problem`` says why it cannot be used."""
    from hrseg.errors import ModelError
    from hrseg.model_file import file_sha256, load_header

    entry: dict[str, Any] = {"name": path.stem, "method": None, "labels": [], "held_out": {}, "file": str(path)}
    try:
        header = load_header(path)
    except ModelError as error:
        return {**entry, "problem": str(error)}
    known = {
        "name": header.name,
        "method": header.method,
        "labels": [label.name for label in header.labels],
        "held_out": header.training.metrics.get("test", {}),
        "sha256": file_sha256(path),
    }
    return entry | known
