"""``hrseg field``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hrseg.cli.console import console, progress_bar
from hrseg.cli.segment import show_result, spacing_of


def field(
    file: Annotated[
        Path, typer.Argument(metavar="FIELD", help="What `hrseg segment --save-field` wrote (.field.safetensors).")
    ],
    target: Annotated[
        Path, typer.Option("--output", "-o", help="Label map to write (.nii.gz, .nrrd, .mha, .seg.nrrd).")
    ],
    model: Annotated[
        str | None, typer.Option(help="Name or file of the model that made the field; found by itself if left out.")
    ] = None,
    spacing: Annotated[
        str | None, typer.Option(help="Spacing of the result in mm, one number or i,j,k such as 0.5,0.5,1.")
    ] = None,
    like: Annotated[Path | None, typer.Option(help="Image on whose voxels the result is to lie.")] = None,
    region: Annotated[
        Path | None, typer.Option(help="Markups (.mrk.json) or JSON list with one box; only what it touches is read.")
    ] = None,
    level: Annotated[
        float | None,
        typer.Option(help="Probability, 0 to 1, from which a place belongs to a label; else the most probable wins."),
    ] = None,
    save_probability: Annotated[
        Path | None, typer.Option(help="Probability of each label, one file per label.")
    ] = None,
    save_surface: Annotated[
        Path | None, typer.Option(help="Surface of each label (.ply, .stl), one file per label.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    memory_budget: Annotated[float | None, typer.Option(min=0.001, help="Most memory to use, in GiB.")] = None,
    report: Annotated[Path | None, typer.Option(help="JSON file about the job.")] = None,
) -> None:
    """Reads a saved field again: at any spacing, in any region, as label map, probability or surface.

    Neither the image is needed, nor is it encoded again.
    """
    with console.status("Loading libraries"):
        from hrseg.methods import method_of
        from hrseg.model_file import load_model
        from hrseg.oss_net.field_job import FieldJob, model_file, read_field
        from hrseg.runtime import GIB, Run, choose_device
        from hrseg.segment_job import check_distinct

    job = FieldJob(
        file,
        target,
        report=report,
        probability=save_probability,
        boxes=(region,) if region else (),
        spacing=spacing_of(spacing),
        like=like,
        level=level,
        surface=save_surface,
    )
    job.check()
    check_distinct([job])
    with console.status("Loading the model"):
        chosen = choose_device(device)
        method = method_of(load_model(model_file(job, model)))
        check_distinct([job], method.model.header.labels)
    budget = None if memory_budget is None else int(memory_budget * GIB)
    with progress_bar() as progress:
        content = read_field(job, method, Run(chosen, budget, progress))
    show_result(content, target)
