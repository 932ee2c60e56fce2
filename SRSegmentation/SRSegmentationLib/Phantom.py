"""A small image of which everything is known, for self-tests: two bright blocks on black, in several geometries."""

from __future__ import annotations

from typing import Any

import slicer
from HighResSegmentationLib.PhantomGeometries import placedVolume

#: Of the volume, (k, j, i), and of the picture (1, j, i).
_SHAPE, _FLAT = (32, 40, 48), (1, 40, 48)
#: Start and stop of each axis (k, j, i): even, so that a copy of half the resolution has the same blocks.
BLOCKS = {"large": ((8, 16), (10, 20), (12, 24)), "small": ((22, 26), (26, 32), (36, 42))}
_BRIGHT = 100
#: (k, j, i) of a place without any block near.
_DARK = (5, 33, 10)


def phantomVolume(kind: str = "plain") -> Any:
    """A volume node called "phantom"; ``kind`` is a key of PhantomGeometries.GEOMETRIES."""
    import numpy as np

    return placedVolume((_BRIGHT * truth()).astype(np.int16), kind)


def phantomPicture() -> Any:
    """A colour image (vector volume) with the blocks, seen from above."""
    import numpy as np

    flat = _BRIGHT * truth().any(axis=0, keepdims=True).astype(np.uint8)
    assert flat.shape == _FLAT
    return slicer.util.addVolumeFromArray(np.stack([flat] * 3, -1), np.eye(4), "picture", "vtkMRMLVectorVolumeNode")


def darkPlace(volume: Any) -> tuple[float, float, float]:
    """RAS mm, in the frame of a phantom volume, of a place without any block near."""
    from HighResSegmentationLib.Volumes import gridOfVolume

    r, a, s = gridOfVolume(volume).to_world(_DARK).tolist()
    return r, a, s


def truth() -> Any:
    """Where the blocks are, (K, J, I)."""
    import numpy as np

    array = np.zeros(_SHAPE, bool)
    for ends in BLOCKS.values():
        array[tuple(slice(*end) for end in ends)] = True
    return array


def dice(segmentation: Any, volume: Any, expected: Any = None, number: int = 0) -> float:
    """Overlap of a segment, on the volume's voxels, with the blocks or with ``expected`` (K, J, I)."""
    expected = truth() if expected is None else expected
    identifier = segmentation.GetSegmentation().GetNthSegmentID(number)
    found = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identifier, volume) > 0
    return float(2 * (found & expected).sum() / (found.sum() + expected.sum()))


def phantomCrop(volume: Any) -> dict[str, Any]:
    """A guidance crop of 12 x 10 x 8 voxels in the middle, as the worker tells it."""
    from HighResSegmentationLib.Volumes import gridOfVolume
    from hrseg.geometry import Box
    from hrseg.prompts import RegionBox

    box = RegionBox.of_voxels(Box((12, 15, 18), (20, 25, 30)), gridOfVolume(volume), "guidance")
    return {key: getattr(box, key).tolist() for key in ("center", "size", "axes")}


def maskOf(outcome: Any, volume: Any) -> Any:
    """The first segment of an outcome on the volume's voxels, (K, J, I)."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(outcome.segmentation, outcome.segments[0], volume) > 0


def boundsOf(volume: Any) -> list[float]:
    """Ends of the volume along R, A and S in the world."""
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    return bounds
