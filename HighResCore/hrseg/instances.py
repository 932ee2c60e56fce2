"""Which object is which: the voxels of a segmentation numbered by the boxes that they lie in. Needs numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrseg.geometry import Box, Floats, Grid
from hrseg.prompts import RegionBox

#: How far from its centre a box still claims voxels; 1 is its surface.
_REACH = 3.0
#: Distances that differ by less are equal: they are computed in float32.
_TOLERANCE = 1e-5


def instances_of(labels: NDArray, grid: Grid, boxes: Sequence[RegionBox]) -> NDArray[np.uint16]:
    """Each voxel with a label gets the number, from 1, of the box whose centre is nearest.

    Each box measures in its own sizes: the distance is the largest of |coordinate| / half size along its axes, 1 on its
    surface. Beyond three times the half size it claims nothing. In 2D the box's axis along the slice's normal does not
    count, as boxes may be drawn with any thickness.

    Args:
        labels: label map (K, J, I), 0 is the background.
        grid: where its voxels lie.
        boxes: at most 65,535; of two at the same distance the earlier one wins.

    Returns:
        Numbers (K, J, I); 0 in the background and where no box is near.
    """
    numbers = np.zeros(labels.shape, dtype=np.uint16)
    fields = [_Field.of(box, grid) for box in boxes]
    # Slice by slice, which bounds the memory for a box as large as the volume.
    for k in range(grid.shape[0]):
        nearest = np.full(grid.shape[1:], _REACH + 2 * _TOLERANCE, dtype=np.float32)
        for number, field in enumerate(fields, start=1):
            if not field.window.start[0] <= k < field.window.stop[0]:
                continue
            window = field.window.slices[1:]
            foreground = labels[k][window] > 0
            if not foreground.any():
                continue
            distance = field.distance(k)
            nearer = foreground & (distance < nearest[window] - _TOLERANCE)
            nearest[window][nearer] = distance[nearer]
            numbers[k][window][nearer] = number
    return numbers


@dataclass(frozen=True, eq=False)
class _Field:
    """The distance from a box, within ``window``: in voxels, clipped to the grid.

    Coordinates along the box's axes are affine in k, j and i, so three short arrays per axis make all of them:
    ``parts[axis]`` are those of k, j and i, in half sizes.
    """

    window: Box
    parts: list[tuple[Floats, Floats, Floats]]

    @classmethod
    def of(cls, box: RegionBox, grid: Grid) -> _Field:
        window = RegionBox(box.center, box.size * _REACH, box.axes, box.name).hull(grid)
        used = [0, 1, 2]
        if grid.shape[0] == 1:
            normal = np.cross(grid.affine[:3, 0], grid.affine[:3, 1])
            used.remove(int(np.abs(box.axes.T @ normal).argmax()))
            window = Box((0, *window.start[1:]), (1, *window.stop[1:]))
        window = window.clip(grid.shape)
        # Counted from the box's centre, so that float32 suffices for the sum.
        k, j, i = (
            np.arange(start, stop) - middle
            for start, stop, middle in zip(window.start, window.stop, grid.to_index(box.center), strict=True)
        )
        steps = (box.axes.T @ grid.affine[:3, :3]) / (box.size[:, None] / 2)
        return cls(window, [(steps[a, 2] * k, steps[a, 1] * j, steps[a, 0] * i) for a in used])

    def distance(self, k: int) -> NDArray[np.float32]:
        """Of the voxels of the window in slice ``k``, (J, I)."""
        farthest = np.zeros(self.window.shape[1:], dtype=np.float32)
        for of_k, of_j, of_i in self.parts:
            rows = (of_k[k - self.window.start[0]] + of_j).astype(np.float32)
            coordinate = rows[:, None] + of_i.astype(np.float32)
            np.maximum(farthest, np.abs(coordinate, out=coordinate), out=farthest)
        return farthest
