"""Images that are the same, or nearly, must not fall on both sides of a split."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hrseg.data_list import SPLITS, Case, DataList, raise_together
from hrseg.errors import InputError
from hrseg.image import read_image
from hrseg.resample import resample

#: Thumbnails whose correlation is above this come from one image (re-encoded, rescaled, or with a stamp on it).
SAME = 0.995


def check_duplicates(data: DataList) -> None:
    """Raises InputError when images of different splits are the same or nearly so."""
    names: list[tuple[str, str]] = []
    thumbnails, problems = [], []
    for split in SPLITS:
        for case in data.splits.get(split, []):
            try:
                thumbnails.append(thumbnail(case))
                names.append((split, case.name))
            except InputError as error:
                problems.append(f'{split} case "{case.name}": {error}')
    raise_together(data.name, problems)
    for a, b, correlation in near_duplicates(np.stack(thumbnails)):
        if names[a][0] != names[b][0]:
            problems.append(
                f'{names[a][0]} case "{names[a][1]}" and {names[b][0]} case "{names[b][1]}" '
                f"are nearly the same image (correlation {correlation:.4f}); put both into one split"
            )
    raise_together(data.name, problems)


def thumbnail(case: Case) -> NDArray[np.float32]:
    """A case's image at 16 voxels per axis (32 in 2D), of zero mean and unit length, flattened."""
    image = read_image(case.image)
    image.check_finite()
    side = 32 if image.is_2d else 16
    shape = (1 if image.is_2d else side, side, side)
    grey = image.array.astype(np.float32).mean(axis=0)
    small = resample(grey, image.grid, image.grid.resized(shape)).ravel()
    small -= small.mean()
    if image.is_2d:
        small = np.pad(small, (0, 16**3 - small.size))
    return small / max(float(np.linalg.norm(small)), 1e-6)


def near_duplicates(thumbnails: NDArray[np.float32]) -> Iterator[tuple[int, int, float]]:
    """Pairs of rows whose correlation exceeds :data:`SAME`."""
    correlation = thumbnails @ thumbnails.T
    for a, b in combinations(range(len(thumbnails)), 2):
        if correlation[a, b] > SAME:
            yield a, b, float(correlation[a, b])
