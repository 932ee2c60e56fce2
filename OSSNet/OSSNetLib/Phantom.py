"""A small volume of which everything is known, for self-tests: a ball that fades from bright to black at its border."""

from __future__ import annotations

from typing import Any

import slicer
from HighResSegmentationLib.PhantomGeometries import placedVolume

_SHAPE = (28, 32, 36)
_BRIGHT = 100
#: In voxels: where the grey value is half of the ball's, and over how many it falls.
RADIUS, _BORDER = 8.0, 8.0


def phantomVolume(kind: str = "plain") -> Any:
    """A volume node called "phantom"; ``kind`` is a key of PhantomGeometries.GEOMETRIES."""
    import numpy as np

    distance = _distance(np.moveaxis(np.indices(_SHAPE), 0, -1))
    share = np.clip(0.5 - (distance - RADIUS) / _BORDER, 0, 1)
    return placedVolume(np.rint(_BRIGHT * share).astype(np.int16), kind)


def phantomRegion(volume: Any, start: tuple[int, int, int], stop: tuple[int, int, int]) -> Any:
    """A ROI that covers these voxels (k, j, i), as if drawn."""
    from HighResSegmentationLib.Boxes import roiFromBox
    from HighResSegmentationLib.Volumes import gridOfVolume
    from hrseg.geometry import Box
    from hrseg.prompts import RegionBox

    return roiFromBox(RegionBox.of_voxels(Box(start, stop), gridOfVolume(volume), "region"), volume)


def dice(node: Any, volume: Any) -> float:
    """Overlap of a label map volume, on its own voxels, with the ball; both are under the same transform."""
    found = slicer.util.arrayFromVolume(node) > 0
    truth = radii(_places(node), volume) < RADIUS
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def segmentDice(segmentation: Any, volume: Any, number: int = 0) -> float:
    """Overlap of a segment, on the volume's voxels, with the ball."""
    identifier = segmentation.GetSegmentation().GetNthSegmentID(number)
    found = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identifier, volume) > 0
    truth = radii(_places(volume), volume) < RADIUS
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def radii(places: Any, volume: Any) -> Any:
    """How far places (..., 3), RAS mm in the volume's frame, are from the ball's centre, in voxels."""
    from HighResSegmentationLib.Volumes import gridOfVolume

    return _distance(gridOfVolume(volume).to_index(places))


def _places(node: Any) -> Any:
    """RAS mm of the voxels of a volume (K, J, I, 3), before its parent transform."""
    import numpy as np

    from HighResSegmentationLib.Volumes import ijkToRas
    from hrseg.geometry import Grid

    shape = slicer.util.arrayFromVolume(node).shape
    return Grid(shape, ijkToRas(node)).to_world(np.moveaxis(np.indices(shape), 0, -1))


def _distance(index: Any) -> Any:
    import numpy as np

    return np.linalg.norm(index - (np.array(_SHAPE) - 1) / 2, axis=-1)
