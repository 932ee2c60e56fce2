"""Cases of a data list, read, checked and kept in memory for training."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hrseg.data_list import SPLITS, Case, DataList, raise_problems, read_case
from hrseg.errors import InputError
from hrseg.geometry import Grid, Shape, Vector
from hrseg.image import Image, LabelMap
from hrseg.model_file import Header
from hrseg.preprocess import check, prepare
from hrseg.resample import resample_labels
from hrseg.runtime import Progress, no_progress
from hrseg.training.duplicates import Fingerprint, duplicates_across_splits, fingerprint
from hrseg.training.task import TrainingCase

_VOXELS_KEPT = 20_000


@dataclass(frozen=True, eq=False)
class ValidationCase:
    """A case as users would give it, with its true label map.

    Attributes:
        annotated: per label of the model, whether it was drawn.
    """

    name: str
    image: Image
    truth: LabelMap
    annotated: tuple[bool, ...]


def load_cases(
    data: DataList, header: Header, progress: Progress = no_progress, finer: Shape = (1, 1, 1)
) -> tuple[list[TrainingCase], list[ValidationCase]]:
    """The cases for training and for validation; those for testing are only checked.

    All that is wrong with any case is reported together.

    Args:
        finer: how many times finer than the images training label maps are where their files are finer.

    Raises:
        InputError: no cases; cases that cannot be read or do not fit the model; images that are on both sides of a
            split; a label that no training case shows.
    """
    data.cases("training"), data.cases("validation")
    value_map = data.value_map(header.labels)
    rows = [(split, case) for split in SPLITS for case in data.splits.get(split, [])]
    training: list[TrainingCase] = []
    validation: list[ValidationCase] = []
    fingerprints: list[Fingerprint] = []
    problems: list[str] = []
    for number, (split, case) in enumerate(rows):
        progress("reading", number, len(rows))
        annotated = case.annotated(header.labels)
        try:
            if not any(annotated):
                raise InputError("none of the model's labels is annotated in it")
            image, truth = read_case(case, value_map)
            check(image, header)
            fingerprints.append(fingerprint(split, case.name, image))
            if split == "training":
                training.append(_training_case(case, image, truth, header, finer))
            elif split == "validation":
                validation.append(ValidationCase(case.name, image, truth, annotated))
        except InputError as error:
            problems.append(f'{split} case "{case.name}": {error}')
    progress("reading", len(rows), len(rows))
    problems += duplicates_across_splits(fingerprints)
    if not problems:
        shown = {value for case in training for value in case.voxels}
        problems += [f'no training case shows "{label.name}"' for label in header.labels if label.value not in shown]
    raise_problems(data.name, problems)
    return training, validation


def _training_case(case: Case, image: Image, truth: LabelMap, header: Header, finer: Shape) -> TrainingCase:
    prepared = prepare(image, header)
    target = prepared.grid.finer(finer) if truth.grid.size > image.grid.size else prepared.grid
    label = resample_labels(prepared.change.apply(truth.array), truth.grid.reoriented(prepared.change), target)
    annotated = case.annotated(header.labels)
    voxels = voxels_by_label(label, annotated)
    return TrainingCase(case.name, prepared.array, label, annotated, voxels, prepared.grid.spacing)


def voxels_by_label(label: NDArray[np.uint8], annotated: tuple[bool, ...]) -> dict[int, NDArray[np.intp]]:
    """Flat indices of up to 20,000 evenly chosen voxels of each annotated label that occurs."""
    found = {value: np.flatnonzero(label == value) for value, drawn in enumerate(annotated, 1) if drawn}
    return {value: where[:: -(-len(where) // _VOXELS_KEPT)] for value, where in found.items() if len(where)}


def largest_extent(cases: list[TrainingCase]) -> Vector | None:
    """The largest field of view along each axis, in mm, (k, j, i); None where the size of voxels is not known."""
    extents = [np.multiply(case.image.shape[1:], case.spacing) for case in cases if case.spacing]
    if not extents:
        return None
    k, j, i = np.max(extents, axis=0).tolist()
    return k, j, i


def relabelled(case: TrainingCase, shape: Shape) -> TrainingCase:
    """The case with its label map in so many voxels."""
    if case.label.shape == shape:
        return case
    grid = Grid.from_spacing(case.label.shape)
    label = resample_labels(case.label, grid, grid.resized(shape))
    return replace(case, label=label, voxels=voxels_by_label(label, case.annotated))
