"""A small volume of which everything is known, for self-tests: two bright blocks on black, in several geometries."""

from __future__ import annotations

from typing import Any

import slicer
from HighResSegmentationLib.PhantomGeometries import placedVolume

_SHAPE = (32, 40, 48)
#: Start and stop of each axis (k, j, i). They are so wide apart that boxes around them do not touch.
BLOCKS = {"first": ((8, 14), (10, 20), (12, 22)), "second": ((20, 26), (25, 33), (30, 40))}
_BRIGHT = 100


def phantomVolume(kind: str = "plain") -> Any:
    """A volume node called "phantom"; ``kind`` is a key of PhantomGeometries.GEOMETRIES."""
    import numpy as np

    array = np.zeros(_SHAPE, np.int16)
    for block in BLOCKS:
        array[_inside(block)] = _BRIGHT
    return placedVolume(array, kind)


def phantomBox(volume: Any, block: str) -> Any:
    """A box that covers a block, as if drawn."""
    from HighResSegmentationLib.Boxes import roiFromBox
    from HighResSegmentationLib.Volumes import gridOfVolume
    from hrseg.geometry import Box
    from hrseg.prompts import RegionBox

    start, stop = zip(*BLOCKS[block], strict=True)
    return roiFromBox(RegionBox.of_voxels(Box(start, stop), gridOfVolume(volume), block), volume)


def dice(segmentation: Any, volume: Any, *blocks: str, number: int = 0) -> float:
    """Overlap of a segment, on the volume's voxels, with blocks."""
    import numpy as np

    identifier = segmentation.GetSegmentation().GetNthSegmentID(number)
    found = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identifier, volume) > 0
    truth = np.zeros(_SHAPE, bool)
    for block in blocks:
        truth[_inside(block)] = True
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def _inside(block: str) -> tuple[slice, ...]:
    return tuple(slice(*ends) for ends in BLOCKS[block])
