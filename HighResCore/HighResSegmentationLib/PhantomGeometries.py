"""Where the phantoms of self-tests lie: geometries that broke others' tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vtk

import slicer


def placedVolume(array: Any, kind: str = "plain", name: str = "phantom") -> Any:
    """A volume node with these voxels (K, J, I); ``kind`` is one of :data:`GEOMETRIES`."""
    affine, transform = GEOMETRIES[kind]()
    volume = slicer.util.addVolumeFromArray(array, affine, name)
    if transform is not None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", kind)
        node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(transform))
        volume.SetAndObserveTransformNodeID(node.GetID())
    return volume


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
