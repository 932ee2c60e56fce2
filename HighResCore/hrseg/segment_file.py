"""One image file segmented to a label map file, with a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from hrseg.errors import InputError
from hrseg.image import check_folder, read_image, replacing, write_image
from hrseg.memory import MIB
from hrseg.methods import Method, Options, Result
from hrseg.runtime import Run
from hrseg.segmentation_file import check_output_name, write_label_map


def segment_file(
    image_path: Path,
    method: Method,
    output: Path,
    run: Run,
    *,
    report: Path | None = None,
    probability: Path | None = None,
) -> dict[str, Any]:
    """Segments an image file and writes the result; returns the report.

    Raises:
        InputError, OutOfMemory, Cancelled: as :meth:`Method.segment`.
        OutputError: a file cannot be written. The folders are tried before the work starts.
    """
    check_outputs([path for path in (output, report, probability) if path])
    with run.stage("reading"):
        image = read_image(image_path)
    result = method.segment(image, Options(keep_probability=probability is not None), run)
    with run.stage("writing"):
        write_label_map(output, result.label_map, result.labels)
        if probability:
            _write_probabilities(probability, result)
    content = report_of(image_path, method, result, run)
    if report:
        with replacing(report) as temporary:
            temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return content


def check_outputs(paths: list[Path]) -> None:
    """Raises before any work is done: OutputError for a folder that cannot be written, InputError for a bad ending."""
    for path in paths:
        if path.suffix != ".json":
            check_output_name(path)
        check_folder(path)


def report_of(image_path: Path, method: Method, result: Result, run: Run) -> dict[str, Any]:
    """What was done, for a JSON file. Shapes and spacings are in file order, (i, j, k)."""
    grid = result.label_map.grid
    counts = np.bincount(result.label_map.array.ravel(), minlength=len(result.labels) + 1)
    seconds = {name: round(value, 3) for name, value in run.seconds.items()}
    return {
        "image": str(image_path),
        "model": method.model.header.name,
        "method": method.name,
        "device": result.device,
        "seconds": {**seconds, "total": round(sum(run.seconds.values()), 3)},
        "peak_memory_mib": round(result.peak_memory / MIB, 1),
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


def _write_probabilities(path: Path, result: Result) -> None:
    """One file per label; where there are several, the label's name goes into the file's."""
    if result.probability is None:
        raise InputError("This method gives no probability.")
    for label, values in zip(result.labels, result.probability, strict=True):
        target = path if len(result.labels) == 1 else path.with_name(_with_label(path.name, label.name))
        write_image(target, values, result.label_map.grid)


def _with_label(name: str, label: str) -> str:
    """``p.nii.gz`` and ``spinal cord`` to ``p-spinal-cord.nii.gz``."""
    stem, _, suffix = name.partition(".")
    return f"{stem}-{label.replace(' ', '-')}.{suffix}"
