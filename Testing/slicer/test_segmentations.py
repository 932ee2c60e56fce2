from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vtk
from numpy.typing import NDArray
from scene_helpers import (
    KINDS,
    TURN,
    add_volume,
    affine,
    folder_of,
    mask,
    put_in_folder,
    put_under,
    shift,
    show_surface,
)
from slicer_env import slicer

from HighResSegmentationLib.Segmentations import addSegmentsTo, instancesFromResult, segmentationFromResult
from HighResSegmentationLib.Volumes import gridOfVolume
from hrseg.errors import InputError
from hrseg.geometry import Box, Grid
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


def _labels(shape: tuple[int, int, int] = SHAPE) -> NDArray[np.uint8]:
    array = np.zeros(shape, np.uint8)
    array[1, 2, 3] = 1
    array[2:, 1:3, :2] = 2
    array[0, 0, 0] = 2
    return array


def _result(grid: Grid, **more: Any) -> dict[str, Any]:
    return {"affine": grid.affine.tolist(), "labels": LABELS, "model": MODEL, "device": "cpu", **more}


def _volume(kind: str = "plain", name: str = "CT") -> Any:
    return add_volume(np.zeros(SHAPE, np.int16), affine(kind), name)


def _segmented(volume: Any, **more: Any) -> Any:
    return segmentationFromResult(_result(gridOfVolume(volume), **more), _labels(), volume)


def _segments(node: Any) -> list[tuple[str, Any]]:
    segmentation = node.GetSegmentation()
    return [(segmentation.GetNthSegmentID(n), segmentation.GetNthSegment(n)) for n in range(len(_ids(node)))]


def _ids(node: Any) -> list[str]:
    return [node.GetSegmentation().GetNthSegmentID(n) for n in range(node.GetSegmentation().GetNumberOfSegments())]


def _class_names() -> list[str]:
    return sorted(node.GetClassName() for node in slicer.util.getNodesByClass("vtkMRMLNode"))


# --- geometry


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("move", ["none", "translation", "rotation", "scaling", "warp"])
def test_every_voxel_is_where_it_was(kind: str, move: str, scene: Any) -> None:
    volume = _volume(kind)
    moves = {"translation": shift(5, 6, 7), "rotation": TURN, "scaling": np.diag([2.0, 1, 1, 1]), "warp": None}
    if move in moves:
        put_under(volume, moves[move])
    node = _segmented(volume)
    assert node.GetParentTransformNode() is volume.GetParentTransformNode()
    for value in (1, 2, 4):
        np.testing.assert_array_equal(mask(node, f"Segment_{value}", volume), _labels() == value)


def test_the_world_sees_it_moved(scene: Any) -> None:
    volume = _volume()
    put_under(volume, shift(100, 0, 0))
    node = _segmented(volume)
    # The voxel (i, j, k) = (3, 2, 1): 10 + 3 * 0.3 + 100, -20 + 2 * 0.3, 30 + 5.
    np.testing.assert_allclose(node.GetSegmentCenterRAS("Segment_1"), [110.9, -19.4, 35], atol=0.2)


def test_one_slice(scene: Any) -> None:
    volume = add_volume(np.zeros((1, 5, 6), np.uint8), affine("plain"))
    node = segmentationFromResult(_result(gridOfVolume(volume)), _labels()[1:2], volume)
    np.testing.assert_array_equal(mask(node, "Segment_1", volume), _labels()[1:2] == 1)


def _centers(node: Any, segment: str) -> NDArray[np.float64]:
    """RAS mm of the segment's own voxels, before the transform, (N, 3)."""
    image, matrix = node.GetBinaryLabelmapInternalRepresentation(segment), vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    array = slicer.util.arrayFromSegmentInternalBinaryLabelmap(node, segment)
    value = node.GetSegmentation().GetSegment(segment).GetLabelValue()
    k, j, i = np.nonzero(array == value)
    i0, _, j0, _, k0, _ = image.GetExtent()
    points = np.stack([i + i0, j + j0, k + k0, np.ones(len(i))], axis=1)
    return (points @ slicer.util.arrayFromVTKMatrix(matrix).T)[:, :3]


def _assert_same_points(one: NDArray, other: NDArray) -> None:
    assert one.shape == other.shape
    distance = np.linalg.norm(one[:, None] - other[None], axis=2)
    assert max(distance.min(axis=0).max(), distance.min(axis=1).max()) < 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_result_finer_than_the_input(kind: str, scene: Any) -> None:
    volume = _volume(kind)
    put_under(volume, TURN)
    grid = gridOfVolume(volume).finer((1, 2, 2))
    array = _labels(grid.shape)
    node = segmentationFromResult(_result(grid), array, volume)
    expected = grid.to_world(np.argwhere(array == 2))
    _assert_same_points(_centers(node, "Segment_2"), expected)
    # The editor keeps the fine voxels, and knows the volume.
    geometry = slicer.vtkOrientedImageData()
    text = node.GetSegmentation().GetConversionParameter("Reference image geometry")
    assert slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, geometry, False)
    assert geometry.GetDimensions() == (12, 10, 4)
    np.testing.assert_allclose(geometry.GetSpacing(), grid.spacing[::-1], rtol=1e-5)
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volume


def test_fine_result_is_edited_at_its_own_voxels(scene: Any) -> None:
    volume = _volume()
    grid = gridOfVolume(volume).finer(2)
    array = _labels(grid.shape)
    node = segmentationFromResult(_result(grid), array, volume)
    fine = add_volume(np.zeros(grid.shape, np.uint8), grid.affine)
    for value in (1, 2):
        np.testing.assert_array_equal(mask(node, f"Segment_{value}", fine), array == value)


def test_result_of_a_part_of_the_volume(scene: Any) -> None:
    volume = _volume("oblique")
    part = Box((1, 1, 0), (4, 3, 2))
    node = segmentationFromResult(_result(gridOfVolume(volume).crop(part)), _labels()[part.slices], volume)
    expected = np.zeros(SHAPE, bool)
    expected[part.slices] = _labels()[part.slices] == 2
    np.testing.assert_array_equal(mask(node, "Segment_2", volume), expected)


@pytest.mark.parametrize("value", [255, 300, 40000])
def test_large_label_values(value: int, scene: Any) -> None:
    volume = _volume()
    array = _labels().astype(np.int64)
    array[3, 4, 5] = value
    labels = [*LABELS, {"value": value, "name": "last", "color": [1, 2, 3], "terminology": None}]
    node = segmentationFromResult({**_result(gridOfVolume(volume)), "labels": labels}, array, volume)
    np.testing.assert_array_equal(mask(node, f"Segment_{value}", volume), array == value)
    np.testing.assert_array_equal(mask(node, "Segment_1", volume), array == 1)


# --- what it says


def test_names_colors_and_codes(scene: Any) -> None:
    for (_, segment), label in zip(_segments(_segmented(_volume())), LABELS, strict=True):
        assert segment.GetName() == label["name"]
        assert np.rint(np.multiply(segment.GetColor(), 255)).tolist() == label["color"]
        assert not segment.GetNameAutoGenerated()
        assert not segment.GetColorAutoGenerated()
    liver = _segments(_segmented(_volume()))[0][1]
    assert liver.GetTerminology() == LIVER


def test_terminology_of_older_slicers(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class OldSegment(slicer.vtkSegment):  # type: ignore[misc, name-defined]
        def __getattribute__(self, name: str) -> Any:
            if name == "SetTerminology":
                raise AttributeError(name)
            return super().__getattribute__(name)

    monkeypatch.setattr(slicer, "vtkSegment", OldSegment)
    assert _segments(_segmented(_volume()))[0][1].GetTerminology() == LIVER


def test_name_and_place(scene: Any) -> None:
    volume = _volume(name="Thorax a/b ä")
    folder = put_in_folder(volume)
    first, second = _segmented(volume), _segmented(volume)
    assert first.GetName() == "Thorax a/b ä segmentation"
    assert second.GetName() != first.GetName()
    assert second.GetName().startswith("Thorax a/b ä segmentation")
    assert folder_of(first) == folder_of(second) == folder


def test_where_it_comes_from(scene: Any) -> None:
    node = _segmented(_volume(), seconds={"network": 1.0, "total": 1.26})
    assert node.GetAttribute("HighResSegmentation.Model") == MODEL["title"]
    assert node.GetAttribute("HighResSegmentation.ModelVersion") == "f00d"
    assert node.GetAttribute("HighResSegmentation.Method") == "crop_cascade"
    assert node.GetAttribute("HighResSegmentation.Device") == "cpu"
    assert node.GetAttribute("HighResSegmentation.Seconds") == "1.3"
    assert node.GetAttribute("HighResSegmentation.Input") == "CT"
    assert node.GetAttribute("HighResSegmentation.Date").startswith("20")
    assert node.GetAttribute("HighResSegmentation.Citation") is None


def test_only_the_segmentation_is_added(scene: Any) -> None:
    volume = _volume()
    before = _class_names()
    _segmented(volume)
    added = sorted([*before, "vtkMRMLSegmentationNode", "vtkMRMLSegmentationDisplayNode"])
    assert _class_names() == added


@pytest.mark.parametrize("array", [np.zeros((4, 5), np.uint8), np.zeros(SHAPE, np.float32)])
def test_what_is_no_label_map_leaves_nothing_behind(array: NDArray, scene: Any) -> None:
    volume = _volume()
    before = _class_names()
    with pytest.raises(InputError, match="whole numbers"):
        segmentationFromResult(_result(gridOfVolume(volume)), array, volume)
    assert _class_names() == before


def test_volume_deleted_meanwhile(scene: Any) -> None:
    volume = _volume()
    result = _result(gridOfVolume(volume))
    scene.RemoveNode(volume)
    before = _class_names()
    with pytest.raises(InputError, match='"CT" is not in the scene any more'):
        segmentationFromResult(result, _labels(), volume)
    assert _class_names() == before


# --- empty results, several objects


def test_empty_result_has_all_segments_to_draw_in(scene: Any) -> None:
    volume = _volume()
    put_under(volume, TURN)
    node = segmentationFromResult(_result(gridOfVolume(volume)), np.zeros(SHAPE, np.uint8), volume)
    assert [s.GetName() for _, s in _segments(node)] == ["liver", "Läsion 1/2", "nothing"]
    show_surface(node)
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[3, 0, 0] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, "Segment_4", volume)
    assert [mask(node, i, volume).sum() for i in _ids(node)] == [0, 0, 1]


def test_one_segment_per_object(scene: Any) -> None:
    volume = _volume()
    array = np.zeros(SHAPE, np.uint16)
    array[0, 0, :3], array[0, 1, :2] = 1, 2
    boxes = [{"name": "nucleus 7"}, {"name": "nucleus 9"}]
    node = instancesFromResult(_result(gridOfVolume(volume), boxes=boxes), array, volume)
    assert node.GetName() == "CT objects"
    assert [s.GetName() for _, s in _segments(node)] == ["nucleus 7", "nucleus 9"]
    assert [mask(node, i, volume).sum() for i in _ids(node)] == [3, 2]
    assert len({s.GetColor() for _, s in _segments(node)}) == 2


# --- beside segments that are there


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
    volume = _volume()
    node, drawn = _drawn(volume)
    added = addSegmentsTo(node, _result(gridOfVolume(volume)), _labels(), volume)
    assert _ids(node) == ["Segment_1", *added]
    assert len(set(_ids(node))) == 4
    assert [s.GetName() for _, s in _segments(node)] == ["liver", "liver 2", "Läsion 1/2", "nothing"]
    assert _segments(node)[0][1].GetColor() == (1, 1, 0)
    np.testing.assert_array_equal(mask(node, "Segment_1", volume), drawn)
    for segment, value in zip(added, (1, 2, 4), strict=True):
        np.testing.assert_array_equal(mask(node, segment, volume), _labels() == value)
    assert node.GetAttribute("HighResSegmentation.Model") is None
    assert node.GetNumberOfDisplayNodes() == 1


def test_results_are_added_again_and_again(scene: Any) -> None:
    volume = _volume()
    node = _segmented(volume)
    for _ in range(2):
        addSegmentsTo(node, _result(gridOfVolume(volume)), _labels(), volume)
    names = [s.GetName() for _, s in _segments(node)]
    assert names[::3] == ["liver", "liver 2", "liver 3"]
    assert len(set(_ids(node))) == 9
    assert {mask(node, segment, volume).sum() for segment in _ids(node)[1::3]} == {9}


@pytest.mark.parametrize("kind", KINDS)
def test_segmentation_under_another_linear_transform(kind: str, scene: Any) -> None:
    volume = _volume(kind)
    node, _ = _drawn(volume)
    own, other = shift(3, 4, 5) @ TURN, np.diag([2.0, 1, 1, 1])  # together they shear
    put_under(volume, own)
    put_under(node, other)
    added = addSegmentsTo(node, _result(gridOfVolume(volume)), _labels(), volume)
    points = gridOfVolume(volume).to_world(np.argwhere(_labels() == 2))
    in_space, expected = _moved(other, _centers(node, added[1])), _moved(own, points)
    _assert_same_points(in_space, expected)


def test_segmentation_without_transform_beside_a_turned_volume(scene: Any) -> None:
    volume = _volume()
    node, drawn = _drawn(volume)
    put_under(volume, TURN)
    added = addSegmentsTo(node, _result(gridOfVolume(volume)), _labels(), volume)
    np.testing.assert_array_equal(mask(node, added[1], volume), _labels() == 2)
    volume.SetAndObserveTransformNodeID(None)
    np.testing.assert_array_equal(mask(node, "Segment_1", volume), drawn)


def _moved(matrix: NDArray, points: NDArray) -> NDArray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def test_warp_between_volume_and_segmentation_is_refused(scene: Any) -> None:
    volume = _volume()
    node, _ = _drawn(volume)
    put_under(volume)
    with pytest.raises(InputError, match='"CT" and "by hand" are under different transforms'):
        addSegmentsTo(node, _result(gridOfVolume(volume)), _labels(), volume)
    assert _ids(node) == ["Segment_1"]
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    added = addSegmentsTo(node, _result(gridOfVolume(volume)), _labels(), volume)
    np.testing.assert_array_equal(mask(node, added[1], volume), _labels() == 2)


def test_geometry_of_the_users_segmentation_stays(scene: Any) -> None:
    volume = _volume()
    node, _ = _drawn(volume)
    before = node.GetSegmentation().GetConversionParameter("Reference image geometry")
    grid = gridOfVolume(volume).finer(2)
    addSegmentsTo(node, _result(grid), _labels(grid.shape), volume)
    assert node.GetSegmentation().GetConversionParameter("Reference image geometry") == before


def test_new_empty_segmentation_gets_a_geometry(scene: Any) -> None:
    volume = _volume()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "new")
    grid = gridOfVolume(volume).finer(2)
    addSegmentsTo(node, _result(grid), _labels(grid.shape), volume)
    assert "0;11;0;9;0;7" in node.GetSegmentation().GetConversionParameter("Reference image geometry")
    assert node.GetDisplayNode() is not None


def test_segmentation_of_surfaces_is_refused(scene: Any) -> None:
    volume = _volume()
    node, _ = _drawn(volume)
    node.CreateClosedSurfaceRepresentation()
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    with pytest.raises(InputError, match='"by hand" is made of surfaces'):
        addSegmentsTo(node, _result(gridOfVolume(volume)), _labels(), volume)
    assert _ids(node) == ["Segment_1"]


def test_segmentation_that_was_deleted(scene: Any) -> None:
    volume = _volume()
    node, _ = _drawn(volume)
    scene.RemoveNode(node)
    for gone in (node, None):
        with pytest.raises(InputError, match="not in the scene any more"):
            addSegmentsTo(gone, _result(gridOfVolume(volume)), _labels(), volume)


# --- 3D, files


def test_surfaces_come_and_go(scene: Any) -> None:
    node = _segmented(_volume())
    show_surface(node)
    assert node.GetClosedSurfaceInternalRepresentation("Segment_2").GetNumberOfPoints() > 8
    added = addSegmentsTo(node, _result(gridOfVolume(_volume())), _labels(), _volume())
    assert node.GetClosedSurfaceInternalRepresentation(added[1]).GetNumberOfPoints() > 8
    show_surface(node, on=False)
    assert not node.GetSegmentation().ContainsRepresentation("Closed surface")


def test_saved_and_loaded(scene: Any, tmp_path: Path) -> None:
    volume = _volume("oblique", "CT 1")
    put_under(volume, TURN, "moved")
    _segmented(volume)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    scene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    volume, node = slicer.util.getNode("CT 1"), slicer.util.getNode("CT 1 segmentation")
    assert node.GetParentTransformNode().GetName() == "moved"
    assert node.GetAttribute("HighResSegmentation.Model") == MODEL["title"]
    assert [s.GetName() for _, s in _segments(node)] == ["liver", "Läsion 1/2", "nothing"]
    for segment, value in zip(_ids(node), (1, 2, 4), strict=True):
        np.testing.assert_array_equal(mask(node, segment, volume), _labels() == value)


def test_a_file_alone_tells_where_it_comes_from(scene: Any, tmp_path: Path) -> None:
    assert slicer.util.saveNode(_segmented(_volume()), str(tmp_path / "a.seg.nrrd"))
    scene.Clear(0)
    node = slicer.util.loadSegmentation(str(tmp_path / "a.seg.nrrd"))
    tags = {}
    for _, segment in _segments(node):
        value = vtk.reference("")
        assert segment.GetTag("HighResSegmentation.Model", value)
        tags[segment.GetName()] = str(value)
    assert tags["liver"] == 'Best: "model" <1>; a/b é'
    assert _segments(node)[0][1].GetTerminology() == LIVER
