"""Volumes, transforms and segments with small numbers, for tests on the scene."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray
from slicer_env import slicer
from vtk.util.numpy_support import numpy_to_vtk

#: Geometries that broke others' tools.
KINDS = ("plain", "left-handed", "permuted", "oblique")
_C, _S = np.cos(0.5), np.sin(0.5)
TURN = np.array([[_C, 0, _S, 0], [_S * _S, _C, -_S * _C, 0], [-_S * _C, _S, _C * _C, 0], [0, 0, 0, 1]])


def affine(kind: str, spacing: tuple[float, float, float] = (0.3, 0.3, 5.0)) -> NDArray[np.float64]:
    """4x4 from (i, j, k, 1) to RAS mm; ``spacing`` along i, j, k."""
    matrix = np.diag([*spacing, 1.0])
    if kind == "left-handed":
        matrix[0, 0] *= -1
    if kind == "permuted":
        matrix = matrix[[1, 2, 0, 3]]
    if kind == "oblique":
        matrix = TURN @ matrix
    matrix[:3, 3] = (10.0, -20.0, 30.0)
    return matrix


def add_volume(array: NDArray, matrix: NDArray | None = None, name: str = "CT") -> Any:
    """A scalar volume, or a colour one where the last of four axes counts the channels."""
    kind = "vtkMRMLVectorVolumeNode" if array.ndim == 4 else "vtkMRMLScalarVolumeNode"
    return slicer.util.addVolumeFromArray(array, np.eye(4) if matrix is None else matrix, name, kind)


def put_under(node: Any, matrix: NDArray | None = None, name: str = "moved") -> Any:
    """Puts a node, or a transform that has none above it, under a new transform; a warp if no matrix is given."""
    kind = "vtkMRMLGridTransformNode" if matrix is None else "vtkMRMLLinearTransformNode"
    transform = slicer.mrmlScene.AddNewNodeByClass(kind, name)
    if matrix is None:
        transform.SetAndObserveTransformFromParent(_warp())
    else:
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def shift(r: float, a: float, s: float) -> NDArray[np.float64]:
    """4x4 translation in mm."""
    matrix = np.eye(4)
    matrix[:3, 3] = r, a, s
    return matrix


def put_in_folder(node: Any, name: str = "patient") -> int:
    """Puts a node into a new folder of the subject hierarchy; its item."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), name)
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), folder)
    return folder


def folder_of(node: Any) -> int:
    """The item above a node in the subject hierarchy."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    return hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))


def mask(segmentation: Any, segment: str, volume: Any) -> NDArray[np.bool_]:
    """Voxels of the segment with that identifier on the grid of a volume, (K, J, I)."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, volume) != 0


def _warp() -> Any:
    grid = vtk.vtkImageData()
    grid.SetDimensions(3, 3, 3)
    grid.SetSpacing(100, 100, 100)
    grid.SetOrigin(-100, -100, -100)
    values = np.random.default_rng(0).normal(scale=5, size=(27, 3))
    grid.GetPointData().SetScalars(numpy_to_vtk(values, deep=True))
    warp = slicer.vtkOrientedGridTransform()
    warp.SetDisplacementGridData(grid)
    return warp


def show_surface(segmentation: Any, on: bool = True) -> None:
    """What the button *Show 3D* of the panels does."""
    segmentation.CreateDefaultDisplayNodes()
    if on:
        segmentation.CreateClosedSurfaceRepresentation()
        segmentation.GetDisplayNode().SetVisibility3D(True)
    else:
        segmentation.RemoveClosedSurfaceRepresentation()
