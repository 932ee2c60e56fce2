"""``hrseg phantom``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hrseg.cli.console import console, progress_bar


def phantom(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    cases: Annotated[int, typer.Option(min=1, help="Number of phantoms.")] = 1,
    size: Annotated[tuple[int, int, int], typer.Option(help="Voxels along i, j, k.")] = (128, 128, 96),
    spacing: Annotated[tuple[float, float, float], typer.Option(help="mm along i, j, k.")] = (2.0, 2.0, 2.0),
    seed: Annotated[int, typer.Option(min=0, help="Other seeds give other phantoms.")] = 0,
    truth_spacing: Annotated[
        float | None, typer.Option(min=0.1, help="Also write the exact labels at this spacing (mm).")
    ] = None,
) -> None:
    """Makes analytic CT-like torsos with exact label maps, and a data list."""
    from hrseg.phantom.cases import write_cases

    with progress_bar() as progress:
        path = write_cases(
            folder, cases, size, spacing, seed, truth_spacing, lambda done, total: progress("phantoms", done, total)
        )
    console.print(f'Data list: "{path}"')
