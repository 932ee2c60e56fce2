"""Objects that touch, told apart: a watershed of the distance to their border."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from hrseg.geometry import Box, Grid
from hrseg.prompts import RegionBox

#: Pieces of fewer voxels are no objects.
_SMALLEST = 16
#: Voxels along an axis that smoothing needs.
_SHORTEST = 4


def split_instances(instances: NDArray[np.uint16], grid: Grid, drawn: int, depth: float) -> list[RegionBox]:
    """Numbers the objects of proposed boxes anew, in place, where they touch; those of drawn boxes stay.

    Args:
        instances: (K, J, I), the number of the box that a voxel belongs to; the first ``drawn`` of these are drawn.
        grid: of the instances.
        drawn: how many.
        depth: see :func:`split_touching`.

    Returns:
        The boxes of the objects that now have the numbers from ``drawn`` + 1.
    """
    proposed = instances > drawn
    numbers, found = split_touching(proposed, grid, depth)
    found = found[: np.iinfo(instances.dtype).max - drawn]
    numbers[numbers > len(found)] = 0
    instances[proposed] = np.where(numbers, numbers + drawn, 0)[proposed]
    return [RegionBox.of_voxels(box, grid, f"object {n}") for n, box in enumerate(found, drawn + 1)]


def split_touching(mask: NDArray[np.bool_], grid: Grid, depth: float) -> tuple[NDArray[np.uint32], list[Box]]:
    """The connected pieces of ``mask``, cut at their necks.

    Two parts are two objects if every way from the middle of one to that of the other comes nearer to the border than
    both by more than ``depth``. Distances are smoothed by a voxel, so that rough borders count less.

    Args:
        mask: (K, J, I).
        grid: of the mask; distances are those in space.
        depth: in voxels (of the shortest side).

    Returns:
        Numbers (K, J, I) from 1, 0 in the background and in pieces of fewer than 16 voxels; and the pieces' boxes.
    """
    if not mask.any():
        return np.zeros(mask.shape, dtype=np.uint32), []
    flat = mask.shape[0] == 1
    # What the image's edge cuts goes on behind it.
    padded = np.pad(mask[0] if flat else mask, _SHORTEST, mode="edge")
    image = sitk.GetImageFromArray(padded.astype(np.uint8))
    image.SetSpacing(grid.spacing[::-1][: padded.ndim])
    unit = min(image.GetSpacing())
    inward = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    smooth = sitk.SmoothingRecursiveGaussian(inward, unit)
    basins = sitk.MorphologicalWatershed(smooth, level=depth * unit, markWatershedLine=False, fullyConnected=True)
    # A basin may reach over the background from one object to the next.
    parts = sitk.ConnectedComponent(image, True)
    inner = (slice(_SHORTEST, -_SHORTEST),) * padded.ndim
    return _numbered(*(sitk.GetArrayFromImage(found)[inner].reshape(mask.shape) for found in (parts, basins)))


def _numbered(parts: NDArray, basins: NDArray) -> tuple[NDArray[np.uint32], list[Box]]:
    """Numbers of the pairs of part and basin that have enough voxels, and their boxes."""
    pairs = parts.astype(np.int64) * (int(basins.max()) + 1) + np.where(parts, basins, 0)
    values, places, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    kept = (values > 0) & (counts >= _SMALLEST)
    numbers = np.where(kept, kept.cumsum(), 0).astype(np.uint32)[places].reshape(pairs.shape)
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(sitk.GetImageFromArray(numbers))
    boxes = []
    for number in range(1, int(kept.sum()) + 1):
        i, j, k, width, height, depth = statistics.GetBoundingBox(number)
        boxes.append(Box((k, j, i), (k + depth, j + height, i + width)))
    return numbers, boxes
