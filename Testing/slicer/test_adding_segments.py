from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scene_helpers import (
    KINDS,
    TURN,
    mask,
    put_under,
    shift,
)
from segmentation_helpers import (
    SHAPE,
    a_volume,
    assert_same_points,
    centers_of,
    ids_of,
    result_on,
    segmented,
    segments_of,
    some_labels,
)
from slicer_env import slicer

from HighResSegmentationLib.Segmentations import addSegmentsTo
from HighResSegmentationLib.Volumes import gridOfVolume
from hrseg.errors import InputError


def _drawn(volume: Any) -> tuple[Any, NDArray[np.bool_]]:
    """A user's segmentation with one segment, which overlaps both labels."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "by hand")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.GetSegmentation().AddEmptySegment("Segment_1", "liver", (1, 1, 0))
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[:, 1:3] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, "Segment_1", volume)
    return node, drawn != 0


def test_existing_segments_stay_as_they_are(scene: Any) -> None:
    volume = a_volume()
    node, drawn = _drawn(volume)
    added = addSegmentsTo(node, result_on(gridOfVolume(volume)), some_labels(), volume)
    assert ids_of(node) == ["Segment_1", *added]
    assert len(set(ids_of(node))) == 4
    assert [s.GetName() for _, s in segments_of(node)] == ["liver", "liver 2", "Läsion 1/2", "nothing"]
    assert segments_of(node)[0][1].GetColor() == (1, 1, 0)
    np.testing.assert_array_equal(mask(node, "Segment_1", volume), drawn)
    for segment, value in zip(added, (1, 2, 4), strict=True):
        np.testing.assert_array_equal(mask(node, segment, volume), some_labels() == value)
    assert node.GetAttribute("HighResSegmentation.Model") is None
    assert node.GetNumberOfDisplayNodes() == 1


def test_results_are_added_again_and_again(scene: Any) -> None:
    volume = a_volume()
    node = segmented(volume)
    for _ in range(2):
        addSegmentsTo(node, result_on(gridOfVolume(volume)), some_labels(), volume)
    names = [s.GetName() for _, s in segments_of(node)]
    assert names[::3] == ["liver", "liver 2", "liver 3"]
    assert len(set(ids_of(node))) == 9
    assert {mask(node, segment, volume).sum() for segment in ids_of(node)[1::3]} == {9}


@pytest.mark.parametrize("kind", KINDS)
def test_segmentation_under_another_linear_transform(kind: str, scene: Any) -> None:
    volume = a_volume(kind)
    node, _ = _drawn(volume)
    own, other = shift(3, 4, 5) @ TURN, np.diag([2.0, 1, 1, 1])  # together they shear
    put_under(volume, own)
    put_under(node, other)
    added = addSegmentsTo(node, result_on(gridOfVolume(volume)), some_labels(), volume)
    points = gridOfVolume(volume).to_world(np.argwhere(some_labels() == 2))
    in_space, expected = _moved(other, centers_of(node, added[1])), _moved(own, points)
    assert_same_points(in_space, expected)


def test_segmentation_without_transform_beside_a_turned_volume(scene: Any) -> None:
    volume = a_volume()
    node, drawn = _drawn(volume)
    put_under(volume, TURN)
    added = addSegmentsTo(node, result_on(gridOfVolume(volume)), some_labels(), volume)
    np.testing.assert_array_equal(mask(node, added[1], volume), some_labels() == 2)
    volume.SetAndObserveTransformNodeID(None)
    np.testing.assert_array_equal(mask(node, "Segment_1", volume), drawn)


def _moved(matrix: NDArray, points: NDArray) -> NDArray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def test_warp_between_volume_and_segmentation_is_refused(scene: Any) -> None:
    volume = a_volume()
    node, _ = _drawn(volume)
    put_under(volume)
    with pytest.raises(InputError, match='"CT" and "by hand" are under different transforms'):
        addSegmentsTo(node, result_on(gridOfVolume(volume)), some_labels(), volume)
    assert ids_of(node) == ["Segment_1"]
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    added = addSegmentsTo(node, result_on(gridOfVolume(volume)), some_labels(), volume)
    np.testing.assert_array_equal(mask(node, added[1], volume), some_labels() == 2)


def test_geometry_of_the_users_segmentation_stays(scene: Any) -> None:
    volume = a_volume()
    node, _ = _drawn(volume)
    before = node.GetSegmentation().GetConversionParameter("Reference image geometry")
    grid = gridOfVolume(volume).finer(2)
    addSegmentsTo(node, result_on(grid), some_labels(grid.shape), volume)
    assert node.GetSegmentation().GetConversionParameter("Reference image geometry") == before


def test_new_empty_segmentation_gets_a_geometry(scene: Any) -> None:
    volume = a_volume()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "new")
    grid = gridOfVolume(volume).finer(2)
    addSegmentsTo(node, result_on(grid), some_labels(grid.shape), volume)
    assert "0;11;0;9;0;7" in node.GetSegmentation().GetConversionParameter("Reference image geometry")
    assert node.GetDisplayNode() is not None


def test_segmentation_of_surfaces_is_refused(scene: Any) -> None:
    volume = a_volume()
    node, _ = _drawn(volume)
    node.CreateClosedSurfaceRepresentation()
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    with pytest.raises(InputError, match='"by hand" is made of surfaces'):
        addSegmentsTo(node, result_on(gridOfVolume(volume)), some_labels(), volume)
    assert ids_of(node) == ["Segment_1"]


def test_segmentation_that_was_deleted(scene: Any) -> None:
    volume = a_volume()
    node, _ = _drawn(volume)
    scene.RemoveNode(node)
    for gone in (node, None):
        with pytest.raises(InputError, match="not in the scene any more"):
            addSegmentsTo(gone, result_on(gridOfVolume(volume)), some_labels(), volume)
