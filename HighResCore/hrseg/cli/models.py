"""``hrseg models list|show|verify|add``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hrseg.cli.console import console, output

models = typer.Typer(no_args_is_help=True, help="Lists, shows, checks and adds models.")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(models, name="models")


@models.command("list")
def list_models(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Lists the models that `hrseg segment` finds by name."""
    from hrseg.model_file import file_sha256
    from hrseg.model_store import stored_models

    found = stored_models()
    if as_json:
        output.print_json(
            json.dumps([_entry(m.path, m.header, m.problem) | {"sha256": file_sha256(m.path)} for m in found])
        )
        return
    table = Table("name", "method", "labels", "held-out Dice", "file")
    for model in found:
        labels = ", ".join(label["name"] for label in model.header.get("labels", []))
        dice = _held_out(model.header).get("dice")
        table.add_row(
            model.name,
            model.header.get("method", model.problem),
            labels,
            f"{dice:.3f}" if dice else "–",
            str(model.path),
        )
    output.print(table if found else "No models found; `hrseg models add FILE` adds one.")


@models.command()
def show(model: Annotated[str, typer.Argument(help="Name or file.")]) -> None:
    """Shows all that a model says of itself, as JSON."""
    from hrseg.model_file import load_header
    from hrseg.model_store import find_model

    output.print_json(load_header(find_model(model)).model_dump_json(exclude_none=True))


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


def _entry(path: Path, header: dict[str, Any], problem: str) -> dict[str, Any]:
    entry = {
        "name": header.get("name", path.stem),
        "method": header.get("method"),
        "labels": [label["name"] for label in header.get("labels", [])],
        "file": str(path),
        "held_out": _held_out(header),
    }
    return entry | ({"problem": problem} if problem else {})


def _held_out(header: dict[str, Any]) -> dict[str, Any]:
    """Metrics on the test split, or an empty dictionary."""
    return header.get("training", {}).get("metrics", {}).get("test", {})
