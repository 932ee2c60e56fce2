"""``hrseg demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hrseg.cli.console import console, output, progress_bar


def demo(
    folder: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")] = Path("demo"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
) -> None:
    """Segments a phantom that no model has seen and compares the result with the exact truth."""
    with console.status("Loading libraries"):
        from hrseg.demo import show
        from hrseg.memory import MIB
        from hrseg.runtime import choose_device
    with progress_bar() as progress:
        shown = show(folder, choose_device(device), progress)
    table = Table("", title="Dice against the exact truth", title_justify="left")
    for one in shown:
        table.add_column(one.method.title, justify="right")
    for name in shown[0].dice:
        table.add_row(name, *(f"{one.dice[name]:.3f}" for one in shown))
    table.add_row("mean", *(f"{sum(one.dice.values()) / len(one.dice):.3f}" for one in shown), end_section=True)
    table.add_row("seconds", *(f"{one.result.seconds['total']:.1f}" for one in shown))
    table.add_row("peak memory, MiB", *(f"{one.result.peak_memory / MIB:.0f}" for one in shown))
    output.print(table)
    output.print(f"Pictures (.png), segmentations and the phantom are in {folder}/")
