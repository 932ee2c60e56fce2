"""A small result of a model and what became of it in a segmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray
from scene_helpers import add_volume, affine
from slicer_env import slicer

from HighResSegmentationLib.Segmentations import segmentationFromResult
from HighResSegmentationLib.Volumes import gridOfVolume
from hrseg.geometry import Grid
from hrseg.structures import structure

SHAPE = (4, 5, 6)
LIVER = structure("liver").terminology.entry
LABELS = [
    {"value": 1, "name": "liver", "color": [221, 130, 101], "terminology": LIVER},
    {"value": 2, "name": "Läsion 1/2", "color": [0, 51, 255], "terminology": None},
    {"value": 4, "name": "nothing", "color": [10, 20, 30], "terminology": None},
]
MODEL = {
    "name": "m",
    "title": 'Best: "model" <1>; a|b é',
    "method": "crop_cascade",
    "licence": "CC-BY",
    "citation": "",
    "sha256": "f00d",
}


def some_labels(shape: tuple[int, int, int] = SHAPE) -> NDArray[np.uint8]:
    array = np.zeros(shape, np.uint8)
    array[1, 2, 3] = 1
    array[2:, 1:3, :2] = 2
    array[0, 0, 0] = 2
    return array


def result_on(grid: Grid, **more: Any) -> dict[str, Any]:
    return {"affine": grid.affine.tolist(), "labels": LABELS, "model": MODEL, "device": "cpu", **more}


def a_volume(kind: str = "plain", name: str = "CT") -> Any:
    return add_volume(np.zeros(SHAPE, np.int16), affine(kind), name)


def segmented(volume: Any, **more: Any) -> Any:
    return segmentationFromResult(result_on(gridOfVolume(volume), **more), some_labels(), volume)


def segments_of(node: Any) -> list[tuple[str, Any]]:
    segmentation = node.GetSegmentation()
    return [(segmentation.GetNthSegmentID(n), segmentation.GetNthSegment(n)) for n in range(len(ids_of(node)))]


def ids_of(node: Any) -> list[str]:
    return [node.GetSegmentation().GetNthSegmentID(n) for n in range(node.GetSegmentation().GetNumberOfSegments())]


def centers_of(node: Any, segment: str) -> NDArray[np.float64]:
    """RAS mm of the segment's own voxels, before the transform, (N, 3)."""
    image, matrix = node.GetBinaryLabelmapInternalRepresentation(segment), vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    array = slicer.util.arrayFromSegmentInternalBinaryLabelmap(node, segment)
    value = node.GetSegmentation().GetSegment(segment).GetLabelValue()
    k, j, i = np.nonzero(array == value)
    i0, _, j0, _, k0, _ = image.GetExtent()
    points = np.stack([i + i0, j + j0, k + k0, np.ones(len(i))], axis=1)
    return (points @ slicer.util.arrayFromVTKMatrix(matrix).T)[:, :3]


def assert_same_points(one: NDArray, other: NDArray) -> None:
    assert one.shape == other.shape
    distance = np.linalg.norm(one[:, None] - other[None], axis=2)
    assert max(distance.min(axis=0).max(), distance.min(axis=1).max()) < 1e-4
