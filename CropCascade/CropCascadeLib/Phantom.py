"""A small volume of which everything is known, for self-tests: two bright blocks on black, in several geometries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vtk

import slicer

_SHAPE = (32, 40, 48)
#: Start and stop of each axis (k, j, i). They are so wide apart that boxes around them do not touch.
BLOCKS = {"first": ((8, 14), (10, 20), (12, 22)), "second": ((20, 26), (25, 33), (30, 40))}
_BRIGHT = 100


def phantomVolume(kind: str = "plain") -> Any:
    """A volume node called "phantom"; ``kind`` is one of :data:`GEOMETRIES`."""
    import numpy as np

    array = np.zeros(_SHAPE, np.int16)
    for block in BLOCKS:
        array[_inside(block)] = _BRIGHT
    affine, transform = GEOMETRIES[kind]()
    volume = slicer.util.addVolumeFromArray(array, affine, "phantom")
    if transform is not None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", kind)
        node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(transform))
        volume.SetAndObserveTransformNodeID(node.GetID())
    return volume


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


def _oblique() -> Any:
    """Turned about two axes, voxels of 1.2 x 0.9 x 1.5 mm."""
    rotation = vtk.vtkTransform()
    rotation.RotateZ(25)
    rotation.RotateX(40)
    rotation.Scale(1.2, 0.9, 1.5)
    return slicer.util.arrayFromVTKMatrix(rotation.GetMatrix())


def _moved(angle: float) -> Any:
    transform = vtk.vtkTransform()
    transform.Translate(30, -20, 15)
    transform.RotateWXYZ(angle, 1, 2, 3)
    return slicer.util.arrayFromVTKMatrix(transform.GetMatrix())


def _identity() -> Any:
    return slicer.util.arrayFromVTKMatrix(vtk.vtkMatrix4x4())


#: The matrix from IJK to RAS, and that of a parent transform, if any.
GEOMETRIES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "plain": lambda: (_identity(), None),
    "oblique": lambda: (_oblique(), None),
    "translated": lambda: (_identity(), _moved(0)),
    "rotated": lambda: (_oblique(), _moved(50)),
}
