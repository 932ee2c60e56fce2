"""``hrseg segment``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hrseg.cli.console import console, output, progress_bar


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
        Path | None, typer.Option(help="Probability of each label, one file per label; a folder for several images.")
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(help="Markups (.mrk.json) or JSON list of boxes; only what lies in them is segmented."),
    ] = None,
    propose: Annotated[
        bool, typer.Option("--propose", help="With --boxes: also segment what the model finds itself.")
    ] = False,
    save_boxes: Annotated[
        Path | None,
        typer.Option(help="Markups file (.mrk.json) of the boxes that were segmented; a folder for several images."),
    ] = None,
    save_instances: Annotated[
        Path | None,
        typer.Option(help="16-bit image of the objects, numbered by their boxes; a folder for several images."),
    ] = None,
) -> None:
    """Segments images at their full resolution."""
    with console.status("Loading the model"):
        from hrseg.methods import method_of
        from hrseg.model_file import load_model
        from hrseg.model_store import find_model
        from hrseg.runtime import GIB, Run, choose_device
        from hrseg.segment_file import plan_jobs, segment_file

        jobs = plan_jobs(
            images,
            target,
            boxes=boxes,
            propose=propose,
            report=report,
            probability=save_probability,
            save_boxes=save_boxes,
            instances=save_instances,
        )
        chosen = choose_device(device)
        method = method_of(load_model(find_model(model)))
    budget = None if memory_budget is None else int(memory_budget * GIB)
    for job in jobs:
        with progress_bar() as progress:
            content = segment_file(job, method, Run(chosen, budget, progress))
        _show(content, job.output)


def _show(content: dict[str, Any], path: Path) -> None:
    table = Table("label", "voxels", "ml", title=f"{content['image']} → {path}", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for label in content["labels"]:
        table.add_row(label["name"], f"{label['voxels']:,}", f"{label['millilitres']:.2f}")
    output.print(table)
    if "boxes" in content:
        output.print(f"Boxes: {len(content['boxes'])}")
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in content["seconds"].items())
    memory = f"peak memory {content['peak_memory_mib']:.0f} MiB (forecast {content['forecast_memory_mib']:.0f})"
    output.print(f"{content['device']}: {seconds}; {memory}")
    notices = content["notices"]
    if not any(label["voxels"] for label in content["labels"]):
        notices = [*notices, "Nothing was found; is the image of the kind that the model is for?"]
    for notice in notices:
        console.print(f"Note: {notice}", style="yellow")
