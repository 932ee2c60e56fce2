"""What the worker answers about the continuous field of an image: label maps, probabilities and surfaces of it.

The field stays with the method that made it, for as long as its model and its image are those used last; otherwise the
image is encoded again before it is asked, or the request refused, as it wants.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hrseg import memory
from hrseg.errors import InputError
from hrseg.geometry import Grid, as_shape
from hrseg.image import Image
from hrseg.labels import Label
from hrseg.runtime import CPU, Run
from hrseg.worker.arrays import SUFFIX, write_array
from hrseg.worker.loaded import Loaded
from hrseg.worker.messages import FieldRequest, SampleRequest, SurfaceRequest

if TYPE_CHECKING:
    from hrseg.oss_net.field import Field

#: Bytes per voxel of a label map, and of the work on it, measured.
_LABEL_BYTES = 2


def answer(request: FieldRequest, loaded: Loaded, image: Image, run: Run, folder: Path) -> dict[str, Any]:
    """The arrays that a request asks for, written to ``folder``.

    Raises:
        InputError: a model without fields, a grid that is none, a label that the model does not have; nothing that is
            remembered where the request wants no more.
        OutOfMemory: no room for the result.
        Cancelled: as ``run`` has it.
        OutputError: the arrays cannot be written.
    """
    from hrseg.oss_net.method import OssNet

    method = loaded.method
    if not isinstance(method, OssNet):
        raise InputError(
            f'The model "{method.model.header.name}" is of the method {method.title}, which gives no continuous field; '
            "choose an OSS-Net model."
        )
    labels = [label.value for label in chosen_labels(request, method.model.header.labels)]
    grid = _grid(request, image)
    _check_room(request, grid, len(labels))
    if request.remembered_only and not loaded.encoded:
        raise InputError(
            f'The field of "{image.name}" is not in memory any more: the worker has done other work since, or was '
            "started anew. Press Apply to make it again."
        )
    field = method.field(image, run, remember=True)
    loaded.encoded = True
    about = {"device": str(field.encoding.image.device), "affine": grid.affine.tolist()}
    if isinstance(request, SurfaceRequest):
        return {**about, "surfaces": _surfaces(request, field, grid, labels, run, folder)}
    assert isinstance(request, SampleRequest)
    return {**about, **_sampled(request, field, grid, labels, run, folder)}


def chosen_labels(request: FieldRequest, labels: Sequence[Label]) -> list[Label]:
    """Those of a model's labels that a request asks for. Raises InputError for one that the model does not have."""
    known = {label.value: label for label in labels}
    for value in request.labels:
        if value not in known:
            raise InputError(f"There is no label {value}; this model has {', '.join(map(str, known))}.")
    return [label for label in labels if not request.labels or label.value in request.labels]


def _grid(request: FieldRequest, image: Image) -> Grid:
    if request.grid is None:
        return image.grid
    return Grid(as_shape(request.grid.shape), request.grid.affine)  # type: ignore[arg-type]


def _check_room(request: FieldRequest, grid: Grid, labels: int) -> None:
    """Refuses a result that would take the computer's memory, before anything is computed."""
    from hrseg.oss_net.field import check_room
    from hrseg.oss_net.surface import SURFACE

    if isinstance(request, SurfaceRequest):
        each = 1 + SURFACE
    else:
        probability = isinstance(request, SampleRequest) and request.what == "probability"
        each = 4 * labels if probability else _LABEL_BYTES
    check_room(grid, each, memory.available(CPU))


def _sampled(
    request: SampleRequest, field: Field, grid: Grid, labels: list[int], run: Run, folder: Path
) -> dict[str, Any]:
    array: NDArray
    if request.what == "probability":
        array = field.probability(grid, labels=labels, run=run)
    else:
        array = field.label_map(grid, level=request.level, run=run).array
        for label in field.model.header.labels:
            if label.value not in labels:
                array[array == label.value] = 0
    with run.stage("saving"):
        return {request.what: write_array(folder / f"job{request.id}-{request.what}{SUFFIX}", array)}


def _surfaces(
    request: SurfaceRequest, field: Field, grid: Grid, labels: list[int], run: Run, folder: Path
) -> list[dict[str, Any]]:
    """One entry per label that is there: ``label``, ``points`` (V, 3) RAS mm, ``triangles`` (T, 3)."""
    entries = []
    label_map = field.label_map(grid, level=request.level, run=run)
    for label in labels:
        surface = field.surface(label, grid, level=request.level, label_map=label_map, run=run)
        if len(surface.triangles):
            name = f"job{request.id}-label{label}"
            entries.append(
                {
                    "label": label,
                    "points": write_array(folder / f"{name}-points{SUFFIX}", surface.points.astype(np.float32)),
                    "triangles": write_array(folder / f"{name}-triangles{SUFFIX}", surface.triangles),
                }
            )
    return entries
