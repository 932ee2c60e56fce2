"""Results as segmentation nodes: geometry, names, colours, terminology, place, and where they come from."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray
from slicer.i18n import tr as _
from vtk.util.numpy_support import numpy_to_vtk

import slicer
from HighResSegmentationLib.Frames import matrixBetween, placeBeside
from HighResSegmentationLib.Volumes import checkVolume
from hrseg.errors import InputError
from hrseg.geometry import Floats, Grid

_PREFIX = "HighResSegmentation."


def segmentationFromResult(
    result: Mapping[str, Any], labelArray: NDArray, volumeNode: Any, name: str | None = None
) -> Any:
    """A new segmentation node: one segment per label, empty ones too, under the volume's transform and beside it.

    Args:
        result: of the worker: "affine" (4x4, voxels of the label map to RAS mm of the volume's frame), "labels" and,
            if known, "model", "device", "seconds".
        labelArray: (K, J, I) whole numbers; its grid may be finer than the volume's, or a part of it.
        volumeNode: what was segmented.
        name: "<volume> segmentation" if not given; made unique.

    Raises:
        InputError: no volume, or an array that is no label map.
    """
    checkVolume(volumeNode)
    grid = _gridOf(result, labelArray, np.eye(4))
    scene = volumeNode.GetScene()
    name = scene.GenerateUniqueName(name or _("{volume} segmentation").format(volume=volumeNode.GetName()))
    segmentationNode = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    # The transform first: what comes next converts geometries to the segmentation's frame.
    placeBeside(segmentationNode, volumeNode)
    segmentationNode.CreateDefaultDisplayNodes()
    _setReferenceGeometry(segmentationNode, volumeNode, grid)
    origin = sign(segmentationNode, result, volumeNode)
    _add(segmentationNode, _segments(result, labelArray, grid), origin)
    return segmentationNode


def addSegmentsTo(segmentationNode: Any, result: Mapping[str, Any], labelArray: NDArray, volumeNode: Any) -> list[str]:
    """Adds the labels as new segments, in a layer of their own; the segments that are there stay as they are.

    Returns:
        The identifiers of the new segments.

    Raises:
        InputError: no volume or segmentation, a segmentation of surfaces, an array that is no label map, or a
            nonlinear transform between volume and segmentation.
    """
    checkVolume(volumeNode)
    if segmentationNode is None or segmentationNode.GetScene() is None:
        raise InputError(_("The segmentation is not in the scene any more; choose another one or create a new one."))
    segmentation = segmentationNode.GetSegmentation()
    if segmentation.GetNumberOfSegments() and segmentation.GetSourceRepresentationName() != _binaryLabelmap():
        text = _(
            'The segmentation "{name}" is made of surfaces, to which voxels cannot be added; choose another one or '
            "create a new one."
        )
        raise InputError(text.format(name=segmentationNode.GetName()))
    grid = _gridOf(result, labelArray, matrixBetween(volumeNode, segmentationNode))
    if not segmentation.GetConversionParameter(_geometryParameter()):
        _setReferenceGeometry(segmentationNode, volumeNode, grid)
    segmentationNode.CreateDefaultDisplayNodes()
    return _add(segmentationNode, _segments(result, labelArray, grid), provenance(result, volumeNode))


def instancesFromResult(
    result: Mapping[str, Any], instanceArray: NDArray, volumeNode: Any, name: str | None = None
) -> Any:
    """A new segmentation node with one segment per box, named after it: the object that belongs to the box.

    Args:
        result: of the worker, with "boxes".
        instanceArray: (K, J, I), n for the object of the n-th box, counted from 1.
        volumeNode: what was segmented.
        name: "<volume> objects" if not given; made unique.

    Raises:
        InputError: as :func:`segmentationFromResult`.
    """
    labels = [
        {"value": n + 1, "name": box["name"], "color": _distinctColor(n), "terminology": None}
        for n, box in enumerate(result["boxes"])
    ]
    name = name or _("{volume} objects").format(volume=volumeNode.GetName())
    return segmentationFromResult({**result, "labels": labels}, instanceArray, volumeNode, name)


def _gridOf(result: Mapping[str, Any], array: NDArray, toSegmentation: Floats) -> Grid:
    """The label map's grid in the frame of the segmentation."""
    if array.ndim != 3 or array.dtype.kind not in "iu":
        text = _("A label map holds whole numbers (K, J, I), not {kind} of the shape {shape}.")
        raise InputError(text.format(kind=array.dtype, shape=array.shape))
    k, j, i = array.shape
    return Grid((k, j, i), toSegmentation @ np.asarray(result["affine"], dtype=float))


def _segments(result: Mapping[str, Any], array: NDArray, grid: Grid) -> list[Any]:
    """One vtkSegment per label, all sharing one label map."""
    image = _orientedImage(array, grid)
    return [_segment(label, image) for label in result["labels"]]


def _orientedImage(array: NDArray, grid: Grid) -> Any:
    """The part of a label map that holds labels, which is all that a segmentation needs to keep."""
    spans = [np.flatnonzero(array.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    (k0, k1), (j0, j1), (i0, i1) = [(int(s[0]), int(s[-1])) if len(s) else (0, -1) for s in spans]
    image = slicer.vtkOrientedImageData()
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(grid.affine))
    image.SetExtent(i0, i1, j0, j1, k0, k1)
    block = np.ascontiguousarray(array[k0 : k1 + 1, j0 : j1 + 1, i0 : i1 + 1], _storageType(array))
    if block.size:
        image.GetPointData().SetScalars(numpy_to_vtk(block.ravel(), deep=True))
    else:
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    return image


def _storageType(array: NDArray) -> type[np.generic]:
    """The smallest type that Slicer's label maps know for these values."""
    largest = int(array.max(initial=0))
    return np.uint8 if largest <= 255 else np.int16 if largest <= 32767 else np.int32


def _segment(label: Mapping[str, Any], image: Any) -> Any:
    segment = slicer.vtkSegment()
    segment.SetName(label["name"])
    segment.SetNameAutoGenerated(False)
    segment.SetColor(*(c / 255 for c in label["color"]))
    segment.SetColorAutoGenerated(False)
    segment.SetLabelValue(label["value"])
    if label.get("terminology"):
        if hasattr(segment, "SetTerminology"):
            segment.SetTerminology(label["terminology"])
        else:  # Slicer before 5.10
            segment.SetTag(segment.GetTerminologyEntryTagName(), label["terminology"])
    segment.AddRepresentation(_binaryLabelmap(), image)
    return segment


def _add(segmentationNode: Any, segments: Sequence[Any], tags: Mapping[str, str]) -> list[str]:
    segmentation, added = segmentationNode.GetSegmentation(), []
    inSurfaces = segmentation.ContainsRepresentation(_closedSurface())
    with slicer.util.NodeModify(segmentationNode):
        for segment in segments:
            segment.SetName(_uniqueName(segment.GetName(), segmentation))
            for key, value in tags.items():
                # Files of segmentations separate tags by this character.
                segment.SetTag(key, value.replace("|", "/"))
            added.append(segmentation.GenerateUniqueSegmentID(f"Segment_{segment.GetLabelValue()}"))
            segmentation.AddSegment(segment, added[-1])
    if inSurfaces:
        segmentationNode.CreateClosedSurfaceRepresentation()
    return added


def _uniqueName(name: str, segmentation: Any) -> str:
    taken = {segmentation.GetNthSegment(n).GetName() for n in range(segmentation.GetNumberOfSegments())}
    candidates = (name, *(f"{name} {n}" for n in range(2, len(taken) + 2)))
    return next(c for c in candidates if c not in taken)


def _setReferenceGeometry(segmentationNode: Any, volumeNode: Any, grid: Grid) -> None:
    """Makes the editor and exports keep this grid, finer or not; the volume is the source that they refer to."""
    segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    k, j, i = grid.shape
    geometry = slicer.vtkSegmentationConverter.SerializeImageGeometry(
        slicer.util.vtkMatrixFromArray(grid.affine), [0, i - 1, 0, j - 1, 0, k - 1]
    )
    segmentationNode.GetSegmentation().SetConversionParameter(_geometryParameter(), geometry)


def sign(node: Any, result: Mapping[str, Any], volumeNode: Any) -> dict[str, str]:
    """Has a node say where it comes from, see :func:`provenance`; returns that."""
    origin = provenance(result, volumeNode)
    for key, value in origin.items():
        node.SetAttribute(key, value)
    return origin


def provenance(result: Mapping[str, Any], volumeNode: Any) -> dict[str, str]:
    """Where a result comes from, as attributes of the node and tags of the segments; what is unknown is left out."""
    model = result.get("model", {})
    seconds = result.get("seconds", {}).get("total")
    facts = {
        "Input": volumeNode.GetName(),
        "Model": model.get("title") or model.get("name"),
        "ModelVersion": model.get("sha256"),
        "Method": model.get("method"),
        "License": model.get("licence"),
        "Citation": model.get("citation"),
        "Device": result.get("device"),
        "Seconds": None if seconds is None else f"{seconds:.1f}",
        "Date": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    return {_PREFIX + key: str(value) for key, value in facts.items() if value}


def _distinctColor(number: int) -> list[int]:
    """Neighbouring numbers get hues far apart (steps of the golden ratio round the colour circle)."""
    return [round(255 * c) for c in colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.65, 0.95)]


def _binaryLabelmap() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()


def _closedSurface() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()


def _geometryParameter() -> str:
    return slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
