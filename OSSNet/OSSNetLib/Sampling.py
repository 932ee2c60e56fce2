"""Where a field is looked at, and how finely: from a user's choices to a grid in the volume's own frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from hrseg.geometry import Grid

#: Resolutions that are offered, as voxels per voxel of the input along each axis.
COARSEST, FINEST = 0.25, 4.0


@dataclass(frozen=True)
class Sampling:
    """A look at a field.

    Attributes:
        factor: voxels per voxel of the input along each axis: 2 is twice as fine, 0.5 half as fine.
        equalSpacing: the same spacing along all axes: that of the input's finest one divided by ``factor``.
        region: ROI node; None: the whole volume.
        level: probability from which a place belongs to any label; None: where a label is the most probable class.
        labels: values of those that are wanted; all if empty.
    """

    factor: float = 1.0
    equalSpacing: bool = False
    region: Any = None
    level: float | None = None
    labels: tuple[int, ...] = ()


def gridOf(volumeNode: Any, sampling: Sampling) -> Grid:
    """The grid in the volume's own frame; in a region, the voxels of the finer volume that the region touches.

    Raises:
        InputError: no volume; a factor that is not positive; a region that :func:`boxFromRoi` refuses, outside of the
            volume, or thinner than two voxels.
    """
    import numpy as np

    from HighResSegmentationLib.Boxes import boxFromRoi
    from HighResSegmentationLib.Volumes import gridOfVolume
    from hrseg.errors import InputError

    if not sampling.factor > 0:
        text = _("The factor {factor} must be positive; 2 is twice as fine as the input.")
        raise InputError(text.format(factor=sampling.factor))
    grid = gridOfVolume(volumeNode)
    spacing = np.array(grid.spacing)
    several = np.array(grid.shape) > 1
    if sampling.equalSpacing and several.any():
        spacing[several] = spacing[several].min()
    fine = grid.with_spacing(spacing / sampling.factor)
    if sampling.region is None:
        return fine
    box, _clipped = boxFromRoi(sampling.region, volumeNode).voxels(fine)
    return fine.crop(box)


def spacingText(grid: Grid) -> str:
    """Such as "0.5 mm", or "0.25 x 0.25 x 1.2 mm" (i, j, k)."""
    sides = [f"{side:.3g}" for side in grid.spacing[::-1]]
    return (sides[0] if len(set(sides)) == 1 else " x ".join(sides)) + " mm"


def shapeText(grid: Grid) -> str:
    """Such as "512 x 512 x 160 voxels"."""
    return _("{sides} voxels").format(sides=" x ".join(map(str, grid.shape[::-1])))
