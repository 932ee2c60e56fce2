"""``hrseg segment``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from hrseg.cli.batch import Choices, segment_batch
from hrseg.cli.console import console, output, progress_bar
from hrseg.errors import InputError

if TYPE_CHECKING:
    from hrseg.segment_job import Job


def segment(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            help="Image files, folders with a DICOM series, folders of images, lists of paths (.txt), data lists "
            "(.json). More than one image is a batch.",
        ),
    ],
    model: Annotated[str, typer.Option(help="Name of a model (see `hrseg models list`) or a model file.")],
    target: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File to write (.nii.gz, .nrrd, .mha, .seg.nrrd; .png of pictures); a folder for several images.",
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
        list[Path] | None,
        typer.Option(
            help="Markups (.mrk.json) or JSON list of boxes; only what lies in them is segmented; repeatable."
        ),
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
    spacing: Annotated[
        str | None,
        typer.Option(help="Spacing of the result in mm, one number or i,j,k such as 0.5,0.5,1; for OSS-Net models."),
    ] = None,
    save_field: Annotated[
        Path | None,
        typer.Option(help="The continuous field (.field.safetensors), of OSS-Net models; a folder for several images."),
    ] = None,
    resolution: Annotated[
        Literal["input", "fine"],
        typer.Option(help="fine: a result finer than the image, of PFSeg and SASR-Net models."),
    ] = "input",
    guidance_center: Annotated[
        str | None,
        typer.Option(help="R,A,S in mm: where PFSeg's guidance crop is to lie, instead of the place it would choose."),
    ] = None,
    save_super_resolved: Annotated[
        Path | None,
        typer.Option(help="The image made sharper, of PFSeg and SASR-Net models; a folder for several images."),
    ] = None,
    file_type: Annotated[
        Literal["nii.gz", "nii", "nrrd", "mha", "seg.nrrd", "png"],
        typer.Option("--format", help="Of label maps in folders; png of pictures."),
    ] = "nii.gz",
    jobs: Annotated[
        int, typer.Option(min=0, help="Processes for a batch; 0: as many as the memory and the cores allow.")
    ] = 1,
    dask: Annotated[
        str | None,
        typer.Option(metavar="SCHEDULER", help="Address of a Dask scheduler, whose workers do the batch."),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="In a batch: also segment what is complete, and replace any other files."),
    ] = False,
    split: Annotated[
        Literal["training", "validation", "test"] | None, typer.Option(help="Only this part of a data list.")
    ] = None,
) -> None:
    """Segments images at their full resolution.

    A batch goes on after errors and skips what is complete, so that the same command takes up an interrupted one. Its
    exit code is 5 if some images failed; see docs/batches.md.
    """
    with console.status("Loading libraries"):
        from hrseg.batch.cases import kind_of
        from hrseg.model_store import find_model
        from hrseg.runtime import GIB
        from hrseg.segment_job import Job

    if dask is not None and jobs != 1:
        raise InputError(f"--jobs {jobs} are processes on this computer; a cluster (--dask) has its own number.")
    job = Job(
        images[0],
        target,
        boxes=tuple(boxes or ()),
        propose=propose,
        spacing=spacing_of(spacing),
        report=report,
        probability=save_probability,
        save_boxes=save_boxes,
        instances=save_instances,
        save_field=save_field,
        resolution=resolution,
        guidance_center=_center(guidance_center),
        super_resolved=save_super_resolved,
        ending=f".{file_type}",
    )
    budget = None if memory_budget is None else int(memory_budget * GIB)
    file = find_model(model)
    if len(images) == 1 and kind_of(images[0]) == "image" and dask is None and split is None:
        _segment_one(job, file, device, budget)
    else:
        choices = Choices(file, device, budget, jobs, dask, split, overwrite)
        raise typer.Exit(segment_batch(images, job, choices))


def _segment_one(job: Job, model: Path, device: str, budget: int | None) -> None:
    with console.status("Loading the model"):
        from hrseg.methods import method_of
        from hrseg.model_file import load_model
        from hrseg.runtime import Run, choose_device
        from hrseg.segment_file import segment_file
        from hrseg.segment_job import check_distinct, plan_job

        job = plan_job(job)
        chosen = choose_device(device)
        method = method_of(load_model(model))
        # Only the model knows what the files of single labels are called.
        check_distinct([job], method.model.header.labels)
    with progress_bar() as progress:
        content = segment_file(job, method, Run(chosen, budget, progress))
    show_result(content, job.output)


def spacing_of(text: str | None) -> tuple[float, float, float] | None:
    """Millimetres (k, j, i) of one number, or of three as files order them, (i, j, k)."""
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3) or not all(0 < number < 1000 for number in numbers):
        raise InputError(f'The spacing "{text}" must be one positive number of mm, or three such as 0.5,0.5,1.')
    i, j, k = numbers * (3 // len(numbers))
    return k, j, i


def _center(text: str | None) -> tuple[float, float, float] | None:
    """RAS millimetres of a text such as ``12.5,-30,41``."""
    if text is None:
        return None
    try:
        right, anterior, superior = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f'The guidance center "{text}" must be three numbers of mm, such as 12.5,-30,41.') from None
    return right, anterior, superior


def show_result(content: dict[str, Any], path: Path) -> None:
    """Prints a report, as :func:`hrseg.segment_file.report_of` makes it."""
    from hrseg.pictures import is_picture

    # Pictures have no millimeters.
    sizes = ["pixels"] if is_picture(content["image"]) else ["voxels", "ml"]
    table = Table("label", *sizes, title=f"{content['image']} → {path}", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for label in content["labels"]:
        cells = [f"{label['voxels']:,}"] if len(sizes) == 1 else [f"{label['voxels']:,}", f"{label['millilitres']:.2f}"]
        table.add_row(label["name"], *cells)
    output.print(table)
    if "guidance" in content:
        center, size = ([f"{n:.1f}" for n in content["guidance"][key]] for key in ("center", "size"))
        output.print(f"Guidance crop: center {','.join(center)} (R,A,S), {' x '.join(size)} mm")
    if "boxes" in content:
        output.print(f"Boxes: {len(content['boxes'])}")
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in content["seconds"].items())
    memory = f"peak memory {content['peak_memory_mib']:.0f} MiB (forecast {content['forecast_memory_mib']:.0f})"
    output.print(f"{content['device']}: {seconds}; {memory}")
    for notice in content["notices"]:
        console.print(f"Note: {notice}", style="yellow")
