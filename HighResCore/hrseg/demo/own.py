"""A user's own image, segmented by one model and shown as it came out, beside the truth where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hrseg.data_list import Case, read_case
from hrseg.demo.own_picture import own_figure
from hrseg.demo.panels import write_figure
from hrseg.errors import InputError
from hrseg.evaluation.metrics import Scores, label_metrics
from hrseg.image import Image, LabelMap, file_stem, make_folder, read_image
from hrseg.labels import Label
from hrseg.lesions import voxel_size
from hrseg.methods import Method, Options, Result, method_of, segment_on
from hrseg.model_file import Header, load_model
from hrseg.model_store import find_model
from hrseg.pictures import is_picture
from hrseg.runtime import Progress, Run
from hrseg.segmentation_file import write_label_map
from hrseg.truth_grid import measuring_grid

#: Masks saved as JPEG are blurred: what is above this is the label.
_JPEG_LEVEL = 127.0


@dataclass(frozen=True, eq=False)
class OwnShown:
    """What a model made of an image.

    Attributes:
        method: with its model.
        result: as it came out.
        forecast: bytes that the run was expected to need.
        run: with the seconds of each stage.
        unit: of the sizes: ``ml``, ``mm²`` of a slice, or ``pixels`` of pictures, which have no size in millimetres.
        sizes: label name -> how much there is of it.
        true_sizes: the same of the truth; empty without one.
        scores: label name -> metrics against the truth; empty without one.
        picture: file.
    """

    method: Method
    result: Result
    forecast: int
    run: Run
    unit: str
    sizes: dict[str, float]
    true_sizes: dict[str, float]
    scores: dict[str, Scores]
    picture: Path


def show_own(
    image_path: Path, model: str, truth_path: Path | None, folder: Path, device: torch.device, progress: Progress
) -> OwnShown:
    """Segments an image file; writes the segmentation and a picture, named after image and model, to ``folder``.

    Args:
        image_path: file, or folder with a DICOM series.
        model: name or file.
        truth_path: label map on the image's voxels or finer ones, with the model's values; of a model with one label
            all that is not 0 is the label. The result is then as fine as the truth where the method can do that.
        folder: made if missing.
        device: where the model runs.
        progress: told of each stage.

    Raises:
        InputError: files that cannot be read, an image that the model cannot take, or a truth that does not fit.
        ModelError, OutputError, OutOfMemory: as their names say.
    """
    method = method_of(load_model(find_model(model)))
    header = method.model.header
    image, truth = _read(image_path, truth_path, header.labels)
    make_folder(folder)
    run = Run(device, progress=progress)
    with run.stage("forecast"):
        forecast = method.forecast(image, Options(), device)
    if truth is None:
        result, scores = method.segment(image, Options(), run), {}
    else:
        result, found = segment_on(method, image, truth.grid, Options(), run)
        grid = measuring_grid(image_path, image.grid, truth.grid)
        scores = {label.name: label_metrics(found, truth.array, grid, label.value) for label in header.labels}
    unit = "pixels" if is_picture(image_path) else "mm²" if image.is_2d else "ml"
    name = f"{file_stem(image_path.resolve())}-{header.name}"
    write_label_map(folder / f"{name}.seg.nrrd", result.label_map, result.labels)
    write_figure(folder / f"{name}.png", own_figure(image, result.label_map, result.labels, truth))
    return OwnShown(
        method,
        result,
        forecast,
        run,
        unit,
        _sizes(result.label_map, header, unit),
        _sizes(truth, header, unit) if truth else {},
        scores,
        folder / f"{name}.png",
    )


def _read(image: Path, truth: Path | None, labels: list[Label]) -> tuple[Image, LabelMap | None]:
    if truth is None:
        return read_image(image), None
    for path in (image, truth):
        if not path.exists():
            raise InputError(f'There is no file "{path}"; check the path.')
    above = None
    if len(labels) == 1:
        above = _JPEG_LEVEL if truth.suffix.lower() in (".jpg", ".jpeg") else 0.0
    case = Case(file_stem(image), image, truth, label_above=above)
    try:
        return read_case(case, {label.value: label.value for label in labels})
    except InputError as error:
        values = ", ".join(f"{label.value} {label.name}" for label in labels)
        raise InputError(f'The truth "{truth}" cannot be used: {error} The model knows {values}.') from error


def _sizes(label_map: LabelMap, header: Header, unit: str) -> dict[str, float]:
    counts = np.bincount(label_map.array.ravel(), minlength=header.classes)
    each = {"pixels": 1.0, "mm²": voxel_size(label_map.grid), "ml": voxel_size(label_map.grid) / 1000}[unit]
    return {label.name: float(counts[label.value] * each) for label in header.labels}
