"""``hrseg segment``."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hrseg.cli.console import console, output, progress_bar
from hrseg.errors import InputError


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(segment)


def segment(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders with a DICOM series.")
    ],
    model: Annotated[str, typer.Option(help="Name of a model (see `hrseg models list`) or a model file.")],
    target: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="File to write (.nii.gz, .nrrd, .mha, .seg.nrrd); a folder for several images."
        ),
    ],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    memory_budget: Annotated[
        float | None, typer.Option(min=0.001, help="Most memory to use beyond the image, in GiB.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="JSON file about the job; a folder for several images.")] = None,
    save_probability: Annotated[
        Path | None, typer.Option(help="Probability of each label, one file per label.")
    ] = None,
) -> None:
    """Segments images at their full resolution."""
    with console.status("Loading the model"):
        from hrseg.methods import method_of
        from hrseg.model_file import load_model
        from hrseg.model_store import find_model
        from hrseg.runtime import GIB, Run, choose_device

        chosen = choose_device(device)
        method = method_of(load_model(find_model(model)))
    budget = None if memory_budget is None else int(memory_budget * GIB)
    cancel = _cancel_on_interrupt()
    for image in images:
        files = {"output": target, "report": report, "probability": save_probability}
        if len(images) > 1:
            files = {key: _inside(path, image, key) for key, path in files.items()}
        with progress_bar() as progress:
            run = Run(chosen, budget, progress, cancel)
            from hrseg.segment_file import segment_file

            content = segment_file(
                image, method, files["output"] or target, run, report=files["report"], probability=files["probability"]
            )
        _show(content, files["output"] or target)


def _cancel_on_interrupt() -> threading.Event:
    """Set at the first Ctrl-C, so that the job stops between two steps; the second one stops at once."""
    cancel = threading.Event()

    def handle(*_: Any) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()

    signal.signal(signal.SIGINT, handle)
    return cancel


def _inside(folder: Path | None, image: Path, key: str) -> Path | None:
    """The file for one of several images."""
    if folder is None:
        return None
    if folder.suffix:
        raise InputError(f'With several images "{folder}" must be a folder; leave the file type away.')
    folder.mkdir(parents=True, exist_ok=True)
    stem = image.name.split(".")[0]
    return folder / (f"{stem}.json" if key == "report" else f"{stem}.nii.gz")


def _show(content: dict[str, Any], path: Path) -> None:
    table = Table("label", "voxels", "ml", title=f"{content['image']} → {path}", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for label in content["labels"]:
        table.add_row(label["name"], f"{label['voxels']:,}", f"{label['millilitres']:.2f}")
    output.print(table)
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in content["seconds"].items())
    output.print(f"{content['device']}: {seconds}; peak memory {content['peak_memory_mib']:.0f} MiB", highlight=False)
    if not any(label["voxels"] for label in content["labels"]):
        console.print("[yellow]Nothing was found[/]; is the image of the kind that the model is for?")
    for notice in content["notices"]:
        console.print(f"[yellow]Note:[/] {notice}", highlight=False)
