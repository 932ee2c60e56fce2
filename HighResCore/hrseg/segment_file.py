"""Image files segmented to label map files, with reports."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hrseg.errors import InputError
from hrseg.image import (
    IMAGE_SUFFIXES,
    check_folder,
    check_writable_suffix,
    file_stem,
    make_folder,
    read_image,
    replacing,
    write_image,
)
from hrseg.json_file import read_json
from hrseg.memory import MIB
from hrseg.methods import Method, Options, Result
from hrseg.prompts import RegionBox, read_boxes, write_boxes
from hrseg.runtime import Run
from hrseg.segmentation_file import check_output_name, write_label_map

#: What is written besides the label map, by :class:`Job`'s fields: how the files are called after an image, in folders.
_EXTRAS = {
    "report": ".json",
    "probability": "-probability.nii.gz",
    "save_boxes": "-boxes.mrk.json",
    "instances": "-instances.nii.gz",
    "save_field": ".field.safetensors",
    "super_resolved": "-super-resolved.nii.gz",
}


@dataclass(frozen=True)
class Job:
    """One image and what is written about it.

    Attributes:
        image: file, or folder with a DICOM series.
        output: label map or segmentation.
        report: JSON.
        probability: image; where there are several labels, their names go into the files' names.
        boxes: file to read; what lies in its boxes is segmented.
        propose: with ``boxes``, segment what the model finds by itself, too.
        save_boxes: markups (JSON) around the objects that were segmented.
        instances: 16-bit image; n where an object belongs to the n-th of these boxes.
        save_field: the field that the label map was read from.
        spacing: of the label map in mm, (k, j, i); None: the image's own grid.
        super_resolved: image made sharper, on the grid of the finest resolution that the model knows.
        resolution, guidance_center: as in :class:`Options`.
    """

    image: Path
    output: Path
    report: Path | None = None
    probability: Path | None = None
    boxes: Path | None = None
    propose: bool = False
    save_boxes: Path | None = None
    instances: Path | None = None
    save_field: Path | None = None
    spacing: tuple[float, float, float] | None = None
    super_resolved: Path | None = None
    resolution: Literal["input", "fine"] = "input"
    guidance_center: tuple[float, float, float] | None = None

    @property
    def inputs(self) -> list[Path]:
        """All files that are read."""
        return [path for path in (self.image, self.boxes) if path]

    @property
    def outputs(self) -> list[Path]:
        """All files that are written."""
        return [path for path in (self.output, *(getattr(self, name) for name in _EXTRAS)) if path]

    def check(self) -> None:
        """Finds out before any work is done what can go wrong.

        Raises:
            InputError: no such image, a boxes file that is not JSON, or a name with an ending that cannot be written.
            OutputError: a folder that cannot be written.
        """
        if not self.image.exists():
            raise InputError(f'There is no file "{self.image}"; check the path.')
        if self.boxes:
            read_json(self.boxes, "boxes file")
        check_output_name(self.output)
        for image in filter(None, (self.probability, self.instances, self.super_resolved)):
            check_writable_suffix(image)
        if self.save_boxes and not self.save_boxes.name.lower().endswith(".json"):
            raise InputError(f'Cannot write boxes to "{self.save_boxes.name}": the name must end in .mrk.json.')
        if self.save_field and not self.save_field.name.endswith(_EXTRAS["save_field"]):
            raise InputError(f'The field name "{self.save_field.name}" must end in {_EXTRAS["save_field"]}.')
        for path in self.outputs:
            check_folder(path)

    def check_method(self, method: Method) -> None:
        """Raises InputError when something is wanted of a method that knows no such thing."""
        if (self.spacing or self.save_field) and not method.any_spacing:
            raise InputError(
                f'The method "{method.name}" of the model "{method.model.header.name}" makes label maps on the '
                "image's grid alone; use an OSS-Net model for another spacing or a field."
            )
        if not method.takes_boxes and (self.boxes or self.propose or self.save_boxes or self.instances):
            raise InputError(
                f'The method "{method.name}" of the model "{method.model.header.name}" takes no boxes; '
                "use a crop cascade model."
            )
        if (self.resolution == "fine" or self.super_resolved) and not method.makes_finer:
            raise InputError(
                f'The method "{method.name}" of the model "{method.model.header.name}" makes neither finer masks nor '
                "sharper images; use a PFSeg or SASR-Net model."
            )
        if self.guidance_center and not method.takes_guidance:
            raise InputError(
                f'The method "{method.name}" of the model "{method.model.header.name}" uses no guidance crop; '
                "use a PFSeg model, or leave the guidance centre out."
            )


def plan_jobs(
    images: Sequence[Path],
    output: Path,
    *,
    boxes: Path | None = None,
    propose: bool = False,
    spacing: tuple[float, float, float] | None = None,
    resolution: Literal["input", "fine"] = "input",
    guidance_center: tuple[float, float, float] | None = None,
    **extras: Path | None,
) -> list[Job]:
    """One checked job per image. For several images, or where ``output`` is a folder, all outputs are folders.

    Folders are made if missing. The files are named after the images.

    Args:
        images: as :class:`Job` has one.
        output, boxes, propose, spacing, resolution, guidance_center: as in :class:`Job`; a file of boxes belongs to a
            single image.
        extras: ``report``, ``probability``, ``save_boxes``, ``instances``, ``save_field`` and ``super_resolved``, as in
            :class:`Job`.

    Raises:
        InputError: as :meth:`Job.check`; a file would be written twice, or over an input.
        OutputError: a folder that cannot be made or written.
    """
    if boxes and len(images) > 1:
        raise InputError(
            f'A boxes file belongs to one image; use "{boxes}" with its image alone, and segment the others without it.'
        )
    if len(images) == 1 and not output.is_dir():
        files: dict[str, Any] = dict(extras)
        jobs = [Job(images[0], output, boxes=boxes, propose=propose, **files)]
    else:
        for folder in filter(None, (output, *extras.values())):
            if folder.name.lower().endswith((".json", *IMAGE_SUFFIXES)):
                raise InputError(f'With several images "{folder}" must be a folder; leave the ending away.')
            make_folder(folder)
        jobs = [_job_in_folders(image, output, boxes, propose, extras) for image in images]
    on: dict[str, Any] = {"spacing": spacing, "resolution": resolution, "guidance_center": guidance_center}
    jobs = [replace(job, **on) for job in jobs]
    read = {path.resolve() for job in jobs for path in job.inputs}
    written = Counter(path.resolve() for job in jobs for path in job.outputs)
    for job in jobs:
        for path in job.outputs:
            if written[path.resolve()] > 1:
                raise InputError(f'"{path}" would be written more than once; give images and outputs different names.')
            if path.resolve() in read:
                raise InputError(f'"{path}" is one of the inputs; choose another name or folder for the result.')
        job.check()
    return jobs


def segment_file(job: Job, method: Method, run: Run) -> dict[str, Any]:
    """Segments an image file and writes the result; returns the report.

    Raises:
        InputError: a boxes file without boxes, or boxes wanted of a method that takes none; else as
            :meth:`Method.segment`.
        OutOfMemory, Cancelled: as :meth:`Method.segment`.
        OutputError: a file cannot be written.
    """
    job.check_method(method)
    with run.stage("reading"):
        image = read_image(job.image)
        boxes = tuple(read_boxes(job.boxes, image.grid)) if job.boxes else ()
    run.count_memory_from_here()
    options = Options(
        keep_probability=job.probability is not None,
        boxes=boxes,
        propose=job.propose or not boxes,
        instances=job.instances is not None,
        spacing=job.spacing,
        resolution=job.resolution,
        super_resolved=job.super_resolved is not None,
        guidance_center=job.guidance_center,
    )
    with run.stage("forecast"):
        forecast = method.forecast(image, options, run.device)
    result = method.segment(image, options, run)
    with run.stage("writing"):
        write_label_map(job.output, result.label_map, result.labels)
        if job.probability:
            _write_probabilities(job.probability, result)
        if job.instances:
            _write_instances(job.instances, result)
        if job.save_boxes:
            write_boxes(job.save_boxes, result.boxes)
        if job.save_field:
            _write_field(job.save_field, result)
        if job.super_resolved:
            _write_super_resolved(job.super_resolved, result)
    content = report_of(job.image, method, result, run, forecast)
    if job.report:
        with replacing(job.report) as temporary:
            temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return content


def report_of(image: Path, method: Method, result: Result, run: Run, forecast: int) -> dict[str, Any]:
    """What was done, for a JSON file. Shapes and spacings are in file order, (i, j, k); memory is beyond the image's.

    Boxes, of methods that take them, are entries as :func:`hrseg.prompts.read_boxes` reads them.

    Args:
        forecast: bytes that the job was expected to need.
    """
    grid = result.label_map.grid
    counts = np.bincount(result.label_map.array.ravel(), minlength=len(result.labels) + 1)
    seconds = {name: round(value, 3) for name, value in run.seconds.items()}
    return {
        "image": str(image),
        "model": method.model.header.name,
        "method": method.name,
        "device": result.device,
        "seconds": {**seconds, "total": round(sum(run.seconds.values()), 3)},
        "peak_memory_mib": round(result.peak_memory / MIB, 1),
        "stage_memory_mib": {name: round(value / MIB, 1) for name, value in result.stage_memory.items()},
        "forecast_memory_mib": round(forecast / MIB, 1),
        "output_grid": {"shape": list(grid.shape[::-1]), "spacing": [round(s, 6) for s in grid.spacing[::-1]]},
        "labels": [
            {
                "value": label.value,
                "name": label.name,
                "voxels": int(counts[label.value]),
                "millilitres": round(float(counts[label.value] * grid.voxel_volume / 1000), 4),
            }
            for label in result.labels
        ],
        **({"boxes": [_entry(box) for box in result.boxes]} if method.takes_boxes else {}),
        **({"guidance": _entry(result.guidance)} if result.guidance else {}),
        "notices": result.notices,
    }


def _job_in_folders(
    image: Path, output: Path, boxes: Path | None, propose: bool, extras: dict[str, Path | None]
) -> Job:
    stem = file_stem(image.resolve())
    files: dict[str, Any] = {name: folder and folder / f"{stem}{_EXTRAS[name]}" for name, folder in extras.items()}
    return Job(image, output / f"{stem}.nii.gz", boxes=boxes, propose=propose, **files)


def _entry(box: RegionBox) -> dict[str, Any]:
    numbers = {"center": box.center, "size": box.size, "axes": box.axes}
    return {"name": box.name, **{key: value.round(6).tolist() for key, value in numbers.items()}}


def _write_probabilities(path: Path, result: Result) -> None:
    if result.probability is None:
        raise InputError("This method gives no probability.")
    for label, values in zip(result.labels, result.probability, strict=True):
        target = path if len(result.labels) == 1 else path.with_name(_with_label(path.name, label.name))
        write_image(target, values, result.label_map.grid)


def _write_super_resolved(path: Path, result: Result) -> None:
    if result.super_resolved is None:
        raise InputError("This method gives no super-resolved image.")
    write_image(path, result.super_resolved.array, result.super_resolved.grid)


def _write_instances(path: Path, result: Result) -> None:
    if result.instances is None:
        raise InputError("This method gives no instances.")
    write_image(path, result.instances, result.label_map.grid)


def _write_field(path: Path, result: Result) -> None:
    if result.continuous is None:
        raise InputError("This method gives no field.")
    result.continuous.save(path)


def _with_label(name: str, label: str) -> str:
    """``p.nii.gz`` and ``spinal cord`` to ``p-spinal-cord.nii.gz``."""
    stem, words = file_stem(Path(name)), re.sub(r"\W+", "-", label)
    return f"{stem}-{words}{name.removeprefix(stem)}"
