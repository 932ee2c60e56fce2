"""Image files segmented to label map files, with reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrseg.errors import InputError
from hrseg.image import read_image, replacing, write_image
from hrseg.memory import MIB
from hrseg.methods import Method, Options, Result
from hrseg.pictures import is_picture
from hrseg.prompts import RegionBox, read_boxes, write_boxes
from hrseg.runtime import Run
from hrseg.segment_job import Job, label_files
from hrseg.segmentation_file import write_label_map

NOTHING_FOUND = "Nothing was found; is the image of the kind that the model is for?"


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
        boxes = tuple(box for path in job.boxes for box in read_boxes(path, image.grid))
    run.count_memory_from_here()
    options = options_of(job, boxes)
    with run.stage("forecast"):
        forecast = method.forecast(image, options, run.device)
    result = method.segment(image, options, run)
    return write_result(job, method, result, run, forecast)


def write_result(job: Job, method: Method, result: Result, run: Run, forecast: int) -> dict[str, Any]:
    """Writes what a job wants of a result; returns the report, see :func:`report_of`.

    Raises:
        InputError: something is wanted that the method does not give.
        OutputError: a file cannot be written.
    """
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


def options_of(job: Job, boxes: tuple[RegionBox, ...] = ()) -> Options:
    """What a job asks of a method; ``boxes`` are those of its file."""
    return Options(
        keep_probability=job.probability is not None,
        boxes=boxes,
        propose=job.propose or not boxes,
        instances=job.instances is not None,
        spacing=job.spacing,
        resolution=job.resolution,
        super_resolved=job.super_resolved is not None,
        guidance_center=job.guidance_center,
    )


def report_of(image: Path, method: Method, result: Result, run: Run, forecast: int) -> dict[str, Any]:
    """What was done, for a JSON file. Shapes and spacings are in file order, (i, j, k); memory is beyond the image's.

    Labels have milliliters, but not those of pictures, whose pixels have no known size.

    Boxes, of methods that take them, are entries as :func:`hrseg.prompts.read_boxes` reads them.

    Args:
        forecast: bytes that the job was expected to need.
    """
    grid, flat = result.label_map.grid, is_picture(image)
    counts = _counts(result.label_map.array)
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
                **({} if flat else {"millilitres": round(float(counts[label.value] * grid.voxel_volume / 1000), 4)}),
            }
            for label in result.labels
        ],
        **({"boxes": [_entry(box) for box in result.boxes]} if method.takes_boxes else {}),
        **({"guidance": _entry(result.guidance)} if result.guidance else {}),
        "notices": result.notices if counts[1:].any() else [*result.notices, NOTHING_FOUND],
    }


def _counts(array: NDArray) -> NDArray[np.int64]:
    """Voxels of each value, 0 to 255, of a uint8 label map (K, J, I).

    In parts of about a million voxels: counting takes eight bytes for each, and comes when all else is done.
    """
    counts = np.zeros(256, dtype=np.int64)
    for plane in array:
        for rows in np.array_split(plane, -(-plane.size // MIB)):
            counts += np.bincount(rows.ravel(), minlength=256)
    return counts


def _entry(box: RegionBox) -> dict[str, Any]:
    numbers = {"center": box.center, "size": box.size, "axes": box.axes}
    return {"name": box.name, **{key: value.round(6).tolist() for key, value in numbers.items()}}


def _write_probabilities(path: Path, result: Result) -> None:
    if result.probability is None:
        raise InputError("This method gives no probability.")
    for target, values in zip(label_files(path, result.labels), result.probability, strict=True):
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
