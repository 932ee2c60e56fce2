"""What the worker read from a field, as nodes: label maps, probabilities and surfaces under the volume's transform."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray
from slicer.i18n import tr as _
from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray

import slicer
from HighResSegmentationLib.Frames import placeBeside
from HighResSegmentationLib.ResultVolumes import volumeFromResult
from HighResSegmentationLib.Segmentations import sign

Result = Mapping[str, Any]
#: The array of an entry of a result.
Read = Callable[[dict[str, Any]], NDArray]


def labelVolume(result: Result, array: NDArray, volumeNode: Any, name: str) -> Any:
    """A label map volume of (K, J, I), with a colour table of the labels' names and colours."""
    scene = volumeNode.GetScene()
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", scene.GenerateUniqueName(name))
    colors = colorTable(result, scene, _("{name} colors").format(name=node.GetName()))
    placeBeside(node, volumeNode)
    setLabels(node, array, np.asarray(result["affine"]))
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAndObserveColorNodeID(colors.GetID())
    sign(node, result, volumeNode)
    return node


def setLabels(node: Any, array: NDArray, affine: NDArray) -> None:
    """Gives a label map volume its voxels (K, J, I), and 4x4 from (i, j, k, 1) to RAS mm."""
    # Slicer's label maps are of whole numbers with a sign.
    array = np.ascontiguousarray(array, dtype=np.int16)
    with slicer.util.NodeModify(node):
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.asarray(affine, dtype=float)))
        slicer.util.updateVolumeFromArray(node, array)


def probabilityVolumes(result: Result, array: NDArray, volumeNode: Any) -> list[Any]:
    """One volume per label of (labels, K, J, I), from 0, black, to 1, white."""
    nodes = []
    for label, values in zip(result["labels"], array, strict=True):
        name = _("{volume} probability of {label}").format(volume=volumeNode.GetName(), label=label["name"])
        node = volumeFromResult(values[None], result["affine"], volumeNode, name)
        display = node.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(0, 1)
        sign(node, result, volumeNode)
        nodes.append(node)
    return nodes


def surfaceModels(result: Result, read: Read, volumeNode: Any) -> list[Any]:
    """One model per label that is there, shown in the 3D views and as outlines in the slice views."""
    labels, nodes = {label["value"]: label for label in result["labels"]}, []
    scene = volumeNode.GetScene()
    for surface in result["surfaces"]:
        label = labels[surface["label"]]
        name = f"{volumeNode.GetName()} {label['name']}"
        node = scene.AddNewNodeByClass("vtkMRMLModelNode", scene.GenerateUniqueName(name))
        placeBeside(node, volumeNode)
        node.SetAndObservePolyData(_polyData(read(surface["points"]), read(surface["triangles"])))
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetColor(*(c / 255 for c in label["color"]))
        # Where labels touch, both have a surface in the same place; of these the one seen from inside is left out.
        display.SetBackfaceCulling(True)
        display.SetVisibility2D(True)
        display.SetSliceIntersectionThickness(2)
        sign(node, result, volumeNode)
        nodes.append(node)
    return nodes


def colorTable(result: Result, scene: Any, name: str) -> Any:
    """A colour table node that knows the labels of a result, and a transparent background."""
    labels = result["labels"]
    node = scene.AddNewNodeByClass("vtkMRMLColorTableNode", scene.GenerateUniqueName(name))
    node.SetTypeToUser()
    node.SetHideFromEditors(True)
    node.SetNumberOfColors(max(label["value"] for label in labels) + 1)
    _setColors(node, labels)
    if node.GetColorName(labels[0]["value"]) != labels[0]["name"]:
        # Older versions make names up unless they are told that there are some; newer ones take that for an error.
        node.NamesInitialisedOn()
        _setColors(node, labels)
    return node


def _setColors(node: Any, labels: Sequence[Mapping[str, Any]]) -> None:
    node.SetColor(0, _("background"), 0, 0, 0, 0)
    for label in labels:
        node.SetColor(label["value"], label["name"], *(c / 255 for c in label["color"]), 1)


def _polyData(points: NDArray, triangles: NDArray) -> Any:
    """A mesh of (V, 3) points and (T, 3) triangles, with normals, so that it is drawn smooth."""
    data, places, cells = vtk.vtkPolyData(), vtk.vtkPoints(), vtk.vtkCellArray()
    places.SetData(numpy_to_vtk(np.ascontiguousarray(points, np.float32), deep=True))
    rows = np.insert(triangles, 0, 3, axis=1).ravel()
    cells.ImportLegacyFormat(numpy_to_vtkIdTypeArray(np.ascontiguousarray(rows, np.int64), deep=True))
    data.SetPoints(places)
    data.SetPolys(cells)
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputData(data)
    normals.SplittingOff()
    normals.ConsistencyOff()
    normals.Update()
    return normals.GetOutput()
