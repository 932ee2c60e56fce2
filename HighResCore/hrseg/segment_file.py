"""Image files segmented to label map files, with reports."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from hrseg.memory import MIB
from hrseg.methods import Method, Options, Result
from hrseg.runtime import Run
from hrseg.segmentation_file import check_output_name, write_label_map


@dataclass(frozen=True)
class Job:
    """One image and what is written about it.

    Attributes:
        image: file, or folder with a DICOM series.
        output: label map or segmentation.
        report: JSON.
        probability: image; where there are several labels, their names go into the files' names.
    """

    image: Path
    output: Path
    report: Path | None = None
    probability: Path | None = None

    @property
    def outputs(self) -> list[Path]:
        """All files that are written."""
        return [path for path in (self.output, self.report, self.probability) if path]

    def check(self) -> None:
        """Finds out before any work is done what can go wrong.

        Raises:
            InputError: no such image, or a name with an ending that cannot be written.
            OutputError: a folder that cannot be written.
        """
        if not self.image.exists():
            raise InputError(f'There is no file "{self.image}"; check the path.')
        check_output_name(self.output)
        if self.probability:
            check_writable_suffix(self.probability)
        for path in self.outputs:
            check_folder(path)


def plan_jobs(
    images: Sequence[Path], output: Path, *, report: Path | None = None, probability: Path | None = None
) -> list[Job]:
    """One checked job per image. For several images, or where ``output`` is a folder, all three paths are folders.

    Folders are made if missing. The files are named after the images.

    Raises:
        InputError: as :meth:`Job.check`; a file would be written twice, or over an input.
        OutputError: a folder that cannot be made or written.
    """
    if len(images) == 1 and not output.is_dir():
        jobs = [Job(images[0], output, report, probability)]
    else:
        for folder in filter(None, (output, report, probability)):
            if folder.name.lower().endswith((".json", *IMAGE_SUFFIXES)):
                raise InputError(f'With several images "{folder}" must be a folder; leave the ending away.')
            make_folder(folder)
        jobs = [_job_in_folders(image, output, report, probability) for image in images]
    written = Counter(path.resolve() for job in jobs for path in job.outputs)
    for job in jobs:
        for path in job.outputs:
            if written[path.resolve()] > 1:
                raise InputError(f'"{path}" would be written more than once; give images and outputs different names.')
            if any(path.resolve() == image.resolve() for image in images):
                raise InputError(f'"{path}" is one of the images; choose another name or folder for the result.')
        job.check()
    return jobs


def segment_file(job: Job, method: Method, run: Run) -> dict[str, Any]:
    """Segments an image file and writes the result; returns the report.

    Raises:
        InputError, OutOfMemory, Cancelled: as :meth:`Method.segment`.
        OutputError: a file cannot be written.
    """
    with run.stage("reading"):
        image = read_image(job.image)
    run.count_memory_from_here()
    options = Options(keep_probability=job.probability is not None)
    with run.stage("forecast"):
        forecast = method.forecast(image, options, run.device)
    result = method.segment(image, options, run)
    with run.stage("writing"):
        write_label_map(job.output, result.label_map, result.labels)
        if job.probability:
            _write_probabilities(job.probability, result)
    content = report_of(job.image, method, result, run, forecast)
    if job.report:
        with replacing(job.report) as temporary:
            temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return content


def report_of(image: Path, method: Method, result: Result, run: Run, forecast: int) -> dict[str, Any]:
    """What was done, for a JSON file. Shapes and spacings are in file order, (i, j, k); memory is beyond the image's.

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
        "notices": result.notices,
    }


def _job_in_folders(image: Path, output: Path, report: Path | None, probability: Path | None) -> Job:
    stem = file_stem(image.resolve())
    return Job(
        image,
        output / f"{stem}.nii.gz",
        report and report / f"{stem}.json",
        probability and probability / f"{stem}-probability.nii.gz",
    )


def _write_probabilities(path: Path, result: Result) -> None:
    if result.probability is None:
        raise InputError("This method gives no probability.")
    for label, values in zip(result.labels, result.probability, strict=True):
        target = path if len(result.labels) == 1 else path.with_name(_with_label(path.name, label.name))
        write_image(target, values, result.label_map.grid)


def _with_label(name: str, label: str) -> str:
    """``p.nii.gz`` and ``spinal cord`` to ``p-spinal-cord.nii.gz``."""
    stem, words = file_stem(Path(name)), re.sub(r"\W+", "-", label)
    return f"{stem}-{words}{name.removeprefix(stem)}"
