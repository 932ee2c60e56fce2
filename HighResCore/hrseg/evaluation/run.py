"""A model scored on the cases of a data list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy import ndimage

from hrseg.data_list import Case, DataList, raise_problems, read_case, read_instances
from hrseg.errors import InputError
from hrseg.evaluation.gates import Gated
from hrseg.evaluation.metrics import label_metrics
from hrseg.evaluation.objects import instance_metrics, object_metrics
from hrseg.evaluation.pictures import CasePicture
from hrseg.evaluation.report import pick_cases, write_report
from hrseg.evaluation.summary import write_metrics
from hrseg.image import Image, LabelMap, check_folder, make_folder
from hrseg.memory import MIB
from hrseg.methods import Method, Options, Result, method_of, segment_on
from hrseg.model_file import Header, Model, load_header, write_model
from hrseg.pictures import is_picture
from hrseg.preprocess import check
from hrseg.resample import resample, sample_nearest
from hrseg.runtime import Progress, Run, no_progress
from hrseg.truth_grid import measuring_grid


def evaluate_model(
    model: Model,
    data: DataList,
    split: str,
    folder: Path,
    device: torch.device,
    progress: Progress = no_progress,
    *,
    count_objects: bool = False,
    instances: bool = False,
) -> dict[str, Any]:
    """Segments every case of a split and writes ``metrics.json`` and ``report.html`` to ``folder``.

    Args:
        model: what is scored.
        data: where its cases are listed.
        split: which of them.
        folder: made if missing.
        device: where the model runs.
        progress: told of each case.
        count_objects: also match connected objects of each label.
        instances: also match instances one to one, of a model with a single label: those that the method tells apart
            by its boxes, else connected components (26 neighbours in 3D, 8 in 2D).

    Raises:
        InputError: instances wanted of a model with several labels; bad cases, all of them together before the first
            one is segmented.
        OutputError: a folder that cannot be written.
    """
    header, method = model.header, method_of(model)
    value_map, cases = data.value_map(header.labels), data.cases(split)
    if instances and len(header.labels) > 1:
        raise InputError(
            f'The model "{header.name}" has {len(header.labels)} labels; instances can be matched for one label only.'
        )
    _check_cases(data.name, cases, value_map, header, progress, instances)
    make_folder(folder)
    check_folder(folder / "metrics.json")
    options = Options(instances=instances and method.takes_boxes)
    rows = []
    for number, case in enumerate(cases):
        progress("cases", number, len(cases))
        image, truth = read_case(case, value_map)
        result, found = segment_on(method, image, truth.grid, options, Run(device))
        rows.append(
            _score(case, image, truth, result, found, header, count_objects, instances) | _gates(method, image, truth)
        )
    progress("cases", len(cases), len(cases))
    about: dict[str, Any] = {"name": header.name, "method": header.method, "device": str(device)}
    if isinstance(method, Gated) and method.paths:
        about["paths"] = method.paths
    measured = {"unit": "pixels"} if any(is_picture(case.image) for case in cases) else {}
    metrics = write_metrics(folder / "metrics.json", about, {"name": data.name, "split": split, **measured}, rows)
    by_name = {case.name: case for case in cases}
    pictures = [_picture(role, by_name[name], value_map, method, device) for role, name in pick_cases(rows).items()]
    write_report(folder / "report.html", metrics, pictures)
    return metrics


def record_metrics(path: Path, split: str, metrics: dict[str, Any]) -> None:
    """Writes the means of an evaluation into the header of a model file."""
    header = load_header(path)
    by_label = {name: _rounded(row, ("dice", "hd95_mm")) for name, row in metrics["by_label"].items()}
    means = _rounded(metrics["mean"], ("dice", "surface_dice", "hd95_mm")) | {"cases": metrics["mean"]["cases"]}
    training = header.training.model_copy(
        update={"metrics": {**header.training.metrics, split: {**means, "by_label": by_label}}}
    )
    write_model(path, header.model_copy(update={"training": training}), load_file(path))


def _check_cases(
    name: str, cases: list[Case], value_map: dict[int, int], header: Header, progress: Progress, instances: bool
) -> None:
    """Reads every case once: what is wrong with the last one must not show after hours."""
    problems = []
    for number, case in enumerate(cases):
        progress("checking", number, len(cases))
        try:
            check(read_case(case, value_map)[0], header)
            if instances:
                read_instances(case)
        except InputError as error:
            problems.append(f'case "{case.name}": {error}')
    progress("checking", len(cases), len(cases))
    raise_problems(name, problems)


def _rounded(row: dict[str, Any], keys: tuple[str, ...]) -> dict[str, float]:
    return {key: round(row[key], 4) for key in keys if row.get(key) is not None}


def _score(
    case: Case,
    image: Image,
    truth: LabelMap,
    result: Result,
    found: NDArray[np.uint8],
    header: Header,
    count_objects: bool,
    instances: bool,
) -> dict[str, Any]:
    grid, scores = measuring_grid(case.image, image.grid, truth.grid), {}
    for label, drawn in zip(header.labels, case.annotated(header.labels), strict=True):
        if drawn:
            scores[label.name] = label_metrics(found, truth.array, grid, label.value)
            if count_objects:
                scores[label.name] |= object_metrics(found, truth.array, grid, label.value)
            if instances:
                numbered = read_instances(case)
                scores[label.name] |= instance_metrics(_found_instances(result, numbered.shape), numbered)
    return {
        "name": case.name,
        "image": case.image.name,
        "labels": scores,
        "seconds": {name: round(value, 3) for name, value in result.seconds.items()},
        "peak_memory_mib": round(result.peak_memory / MIB, 1),
    }


def _gates(method: Method, image: Image, truth: LabelMap) -> dict[str, Any]:
    """Those inside the lesions of a case, of methods that have any."""
    if not (isinstance(method, Gated) and method.paths):
        return {}
    found = method.lesion_gates(image, truth)
    return {"gates": [{"diameter": round(d, 2), "gates": [round(g, 4) for g in gates]} for d, gates in found]}


def _found_instances(result: Result, shape: Sequence[int]) -> NDArray:
    """As the method tells them apart by boxes, else the connected components of its label map.

    They come in the shape (K, J, I) of the truth, which may be finer over the same field of view.
    """
    found = result.instances if result.boxes else None
    if found is None:
        found = ndimage.label(result.label_map.array, structure=np.ones((3, 3, 3)))[0]
    grid = result.label_map.grid
    return sample_nearest(found, grid, grid.resized(shape))


def _picture(role: str, case: Case, value_map: dict[int, int], method: Method, device: torch.device) -> CasePicture:
    # Segmented once more: keeping every result of a large data set until the best is known would need more memory.
    image, truth = read_case(case, value_map)
    _, found = segment_on(method, image, truth.grid, Options(), Run(device))
    shown = _grey_or_color(image, truth)
    return CasePicture(case.name, shown, truth.grid, truth.array, found, role, method.model.header.labels)


def _grey_or_color(image: Image, truth: LabelMap) -> NDArray:
    """Three colours or one grey channel, on the grid of the truth where that is finer."""
    array = image.array
    if truth.grid.shape != image.grid.shape:
        array = resample(array, image.grid, truth.grid).astype(array.dtype)
    return array if image.channels == 3 else array[0]
