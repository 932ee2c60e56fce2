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
#: Bytes per voxel that :func:`split_instances` needs beside the instances, measured: most of it is the watershed's.
SPLITTING = 28


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
    np.add(numbers, drawn, out=numbers, where=numbers > 0)
    np.copyto(instances, numbers, casting="unsafe", where=proposed)
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
    image = sitk.GetImageFromArray(np.pad((mask[0] if flat else mask).view(np.uint8), _SHORTEST, mode="edge"))
    image.SetSpacing(grid.spacing[::-1][: image.GetDimension()])
    unit = min(image.GetSpacing())
    # What is large lives no longer than needed: nested calls, and views of what is found.
    smooth = sitk.SmoothingRecursiveGaussian(
        sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True), unit
    )
    basins = sitk.MorphologicalWatershed(smooth, level=depth * unit, markWatershedLine=False, fullyConnected=True)
    del smooth
    # A basin may reach over the background from one object to the next.
    parts = sitk.ConnectedComponent(image, True)
    inner = (slice(_SHORTEST, -_SHORTEST),) * image.GetDimension()
    numbers = _numbered(*(sitk.GetArrayViewFromImage(found)[inner] for found in (parts, basins))).reshape(mask.shape)
    return numbers, _boxes(numbers)


def _numbered(parts: NDArray, basins: NDArray) -> NDArray[np.uint32]:
    """Numbers of the pairs of part and basin that have enough voxels; line by line (of volumes slice by slice)."""
    factor = int(basins.max()) + 1

    def pairs(line: int) -> NDArray[np.int64]:
        return np.where(parts[line], parts[line].astype(np.int64) * factor + basins[line], 0)

    found, counts = zip(*(np.unique(pairs(n), return_counts=True) for n in range(len(parts))), strict=True)
    values, places = np.unique(np.concatenate(found), return_inverse=True)
    enough = np.bincount(places, np.concatenate(counts)) >= _SMALLEST
    # The background is number 0.
    kept = np.concatenate([[0], values[(values > 0) & enough]])
    numbers = np.empty(parts.shape, dtype=np.uint32)
    for n, line in enumerate(numbers):
        own = pairs(n)
        place = np.searchsorted(kept, own, side="right") - 1
        line[...] = np.where(kept[place] == own, place, 0)
    return numbers


def _boxes(numbers: NDArray[np.uint32]) -> list[Box]:
    """Around the voxels of each number from 1; all numbers up to the highest occur."""
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(sitk.GetImageFromArray(numbers))
    boxes = []
    for number in range(1, statistics.GetNumberOfLabels() + 1):
        i, j, k, width, height, depth = statistics.GetBoundingBox(number)
        boxes.append(Box((k, j, i), (k + depth, j + height, i + width)))
    return boxes
