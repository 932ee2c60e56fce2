"""``hrseg demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from hrseg.cli.console import console, output, progress_bar
from hrseg.errors import InputError

if TYPE_CHECKING:
    from hrseg.demo.own import OwnShown
    from hrseg.demo.phantom import Row


def demo(
    folder: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")] = Path("demo"),
    image: Annotated[Path | None, typer.Option(help="Your own image, instead of the phantom; with --model.")] = None,
    model: Annotated[str | None, typer.Option(help="Name of a model or a model file, for --image.")] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Label map to compare with, in the model's values, for --image.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
) -> None:
    """Segments a phantom that no model has seen by every method, or your own image by one model."""
    if image is None:
        if model or truth:
            raise InputError("--model and --truth say how --image is shown; name the image, too.")
        _show_phantom(folder, device)
    elif model is None:
        raise InputError(f'Which model is to segment "{image}"? Name it by --model (see `hrseg models list`).')
    else:
        _show_own(folder, image, model, truth, device)


def _show_phantom(folder: Path, device: str) -> None:
    with console.status("Loading libraries"):
        from hrseg.demo.phantom import missing_models, show_phantom, table_rows
        from hrseg.runtime import choose_device
    with progress_bar() as progress:
        shown = show_phantom(folder, choose_device(device), progress)
    table = Table(title="Against the exact truth of a phantom, voxels of 2 mm", title_justify="left")
    table.add_column("mean of", overflow="fold")
    table.add_column("method")
    for heading in ("mask, mm", "Dice, 2 mm", "Dice, 1 mm", "surface Dice, 1 mm", "HD95, mm", "seconds", "peak MiB"):
        table.add_column(heading, justify="right")
    said: set[str] = set()
    for part in table_rows(shown):
        for number, row in enumerate(part):
            table.add_row("" if number else _over(row), *_cells(row, said), end_section=row is part[-1])
    output.print(table)
    missing = missing_models()
    if missing:
        console.print(f"Note: not at hand: {', '.join(missing)}; their recipes are in recipes/.", style="yellow")
    output.print(f"Picture (phantom.png), segmentations and the phantom are in {folder}/")


def _over(row: Row) -> str:
    return row.labels[0] if len(row.labels) == 1 else f"{len(row.labels)} labels"


def _cells(row: Row, said: set[str]) -> list[str]:
    """What a run cost is said once, where its method comes first."""
    from hrseg.memory import MIB

    method, result = row.shown.method, row.shown.result
    scores = [_number(value, 3) for value in (row.dice_input, row.dice, row.surface_dice)]
    cost = [f"{result.seconds['total']:.1f}", f"{result.peak_memory / MIB:.0f}"]
    if method.model.header.name in said:
        cost = ["", ""]
    said.add(method.model.header.name)
    return [method.title, f"{row.shown.spacing:g}", *scores, _number(row.hd95_mm, 1), *cost]


def _show_own(folder: Path, image: Path, model: str, truth: Path | None, device: str) -> None:
    with console.status("Loading libraries"):
        from hrseg.demo.own import show_own
        from hrseg.runtime import choose_device
    with progress_bar() as progress:
        shown = show_own(image, model, truth, folder, choose_device(device), progress)
    output.print(_own_table(image, shown))
    from hrseg.memory import MIB

    result = shown.result
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in shown.run.seconds.items())
    memory = f"peak memory {result.peak_memory / MIB:.0f} MiB (forecast {shown.forecast / MIB:.0f})"
    output.print(f"{result.device}: {seconds}; {memory}")
    for notice in result.notices:
        console.print(f"Note: {notice}", style="yellow")
    output.print(f"Picture: {shown.picture}")
    output.print("Research only; one image says little about others.")


def _own_table(image: Path, shown: OwnShown) -> Table:
    digits, distance = (0, "pixels") if shown.unit == "pixels" else (2, "mm")
    scored = (f"truth, {shown.unit}", "Dice", "surface Dice", f"HD95, {distance}") if shown.scores else ()
    table = Table("label", title=f"{image}, {shown.method.model.header.name}", title_justify="left")
    for heading in (f"found, {shown.unit}", *scored):
        table.add_column(heading, justify="right")
    for name, size in shown.sizes.items():
        cells = [_number(size, digits)]
        if shown.scores:
            cells.append(_number(shown.true_sizes[name], digits))
            cells += [_number(shown.scores[name][key], digits) for key, digits in _SCORES.items()]
        table.add_row(name, *cells)
    return table


_SCORES = {"dice": 3, "surface_dice": 3, "hd95_mm": 1}


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
