"""Cases of a data list on the working grid of a model, kept in memory for training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hrseg.data_list import Case, DataList, annotated_labels, raise_together, read_labels_of
from hrseg.errors import InputError
from hrseg.geometry import Grid
from hrseg.image import Image, LabelMap, read_image
from hrseg.model_file import Header
from hrseg.preprocess import prepare
from hrseg.resample import resample_labels
from hrseg.training.task import TrainingCase

_VOXELS_KEPT = 20_000


def load_training_cases(
    data: DataList, split: str, header: Header, progress: Callable[[int, int], None] | None = None
) -> list[TrainingCase]:
    """All cases of a split, ready to take samples from. Bad ones are reported together.

    Raises:
        InputError: cases that cannot be read or do not fit the model.
    """
    cases = data.cases(split)
    value_map = data.value_map(header.labels)
    loaded: list[TrainingCase] = []
    problems: list[str] = []
    for number, case in enumerate(cases):
        try:
            loaded.append(_training_case(case, value_map, header))
        except InputError as error:
            problems.append(f'{split} case "{case.name}": {error}')
        if progress:
            progress(number + 1, len(cases))
    raise_together(data.name, problems)
    return loaded


def read_case(case: Case, value_map: dict[int, int]) -> tuple[Image, LabelMap]:
    """Image and true label map of a case, in a model's values.

    Raises:
        InputError: files that cannot be read, or that do not lie on the same voxels.
    """
    image = read_image(case.image)
    grid, values = read_labels_of(case, value_map)
    if not grid.matches(image.grid):
        raise InputError(
            f"its label map {_geometry(grid)} does not lie on its image's voxels {_geometry(image.grid)}; resample it."
        )
    return image, LabelMap(values, image.grid)


def _training_case(case: Case, value_map: dict[int, int], header: Header) -> TrainingCase:
    image, truth = read_case(case, value_map)
    prepared = prepare(image, header)
    inside = prepared.change.apply(truth.array)[prepared.subject.slices]
    label = resample_labels(inside, prepared.oriented.crop(prepared.subject), prepared.grid)
    annotated = annotated_labels(case, header.labels)
    return TrainingCase(case.name, prepared.array, label, tuple(annotated), _voxels_by_label(label, header.classes))


def _voxels_by_label(label: NDArray[np.uint8], classes: int) -> dict[int, NDArray[np.intp]]:
    """Flat indices of up to 20,000 evenly chosen voxels of each label that occurs."""
    found = {value: np.flatnonzero(label == value) for value in range(1, classes)}
    return {value: where[:: -(-len(where) // _VOXELS_KEPT)] for value, where in found.items() if len(where)}


def _geometry(grid: Grid) -> str:
    shape: Sequence[int] = grid.shape[::-1]
    return f"({'x'.join(map(str, shape))} voxels of {'x'.join(f'{s:.3g}' for s in grid.spacing[::-1])} mm)"
