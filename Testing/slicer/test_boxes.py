from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scene_helpers import KINDS, TURN, add_volume, affine, folder_of, put_in_folder, put_under, shift
from slicer_env import slicer

from HighResSegmentationLib.Boxes import boxFromRoi, finishDrawing, newRoi, placeRoi, roiFromBox, showHandles, sizeText
from HighResSegmentationLib.Volumes import gridOfVolume
from hrseg.errors import InputError
from hrseg.geometry import Box
from hrseg.prompts import RegionBox

CORNERS = np.array(list(itertools.product((-0.5, 0.5), repeat=3)))
FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

sides = st.tuples(*[st.floats(0.5, 40)] * 3)
places = st.tuples(*[st.floats(-100, 100)] * 3)
turns = st.tuples(*[st.floats(-3, 3)] * 3)


def _rotation(angles: tuple[float, float, float]) -> NDArray[np.float64]:
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        c, s = np.cos(angle), np.sin(angle)
        turn = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn[a, a], turn[a, b], turn[b, a], turn[b, b] = c, -s, s, c
        matrix = matrix @ turn
    return matrix


def _rigid(angles: tuple[float, float, float], place: tuple[float, float, float]) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = _rotation(angles), place
    return matrix


def _corners(box: RegionBox) -> NDArray[np.float64]:
    """The corners in a fixed order, so that boxes are compared as sets of points."""
    points = box.center + (CORNERS * box.size) @ box.axes.T
    return points[np.lexsort(np.round(points, 4).T)]


def _assert_same(one: RegionBox, other: RegionBox) -> None:
    """Markups keep their points in single precision: 0.00001 mm at a distance of 100 mm."""
    np.testing.assert_allclose(one.center, other.center, atol=2e-4)
    distance = np.linalg.norm(_corners(one)[:, None] - _corners(other)[None], axis=2)
    assert distance.min(axis=0).max() < 5e-4
    assert distance.min(axis=1).max() < 5e-4


def _volume(matrix: NDArray | None = None, shape: tuple[int, int, int] = (4, 5, 6)) -> Any:
    return add_volume(np.zeros(shape, np.int16), matrix)


def _roi(center: tuple[float, float, float] = (1, 2, 3), size: tuple[float, float, float] = (2, 4, 6)) -> Any:
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "lesion 1/2 ä")
    roi.SetSize(*size)
    roi.SetCenter(*center)
    return roi


# --- boxFromRoi


def test_without_transforms(scene: Any) -> None:
    box = boxFromRoi(_roi(), _volume(affine("oblique")))
    assert box.name == "lesion 1/2 ä"
    np.testing.assert_allclose(box.center, [1, 2, 3])
    np.testing.assert_allclose(box.size, [2, 4, 6])
    np.testing.assert_allclose(box.axes, np.eye(3), atol=1e-12)


def test_volume_under_a_translation(scene: Any) -> None:
    volume = _volume()
    put_under(volume, shift(10, 0, 0))
    np.testing.assert_allclose(boxFromRoi(_roi(), volume).center, [-9, 2, 3])


def test_roi_and_volume_under_different_transforms(scene: Any) -> None:
    volume, roi = _volume(), _roi()
    put_under(volume, shift(10, 0, 0))
    put_under(roi, shift(0, 0, 5))
    np.testing.assert_allclose(boxFromRoi(roi, volume).center, [-9, 2, 8])


def test_chain_of_transforms(scene: Any) -> None:
    volume = _volume()
    put_under(put_under(volume, shift(10, 0, 0)), shift(0, 20, 0))
    np.testing.assert_allclose(boxFromRoi(_roi(), volume).center, [-9, -18, 3])


def test_volume_under_a_rotation(scene: Any) -> None:
    volume = _volume()
    quarter = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])  # R to A, A to L
    put_under(volume, quarter)
    box = boxFromRoi(_roi(), volume)
    np.testing.assert_allclose(box.center, [2, -1, 3], atol=1e-9)
    np.testing.assert_allclose(np.abs(box.axes) @ box.size, [4, 2, 6], atol=1e-9)


def test_volume_that_is_scaled(scene: Any) -> None:
    volume = _volume()
    put_under(volume, np.diag([2.0, 4, 1, 1]))
    box = boxFromRoi(_roi(), volume)
    np.testing.assert_allclose(box.center, [0.5, 0.5, 3])
    np.testing.assert_allclose(box.size, [1, 1, 6])


def test_mirrored_roi(scene: Any) -> None:
    roi = _roi()
    put_under(roi, np.diag([-1.0, 1, 1, 1]))
    box = boxFromRoi(roi, _volume())
    np.testing.assert_allclose(box.center, [-1, 2, 3])
    np.testing.assert_allclose(np.abs(box.axes) @ box.size, [2, 4, 6])


def test_shear_gives_the_box_around(scene: Any) -> None:
    volume, roi = _volume(), _roi(center=(0, 0, 0), size=(2, 2, 2))
    shear = np.eye(4)
    shear[0, 1] = 0.5
    put_under(roi, shear)
    box = boxFromRoi(roi, volume)
    sheared = CORNERS * 2 @ shear[:3, :3].T
    assert (np.abs((sheared - box.center) @ box.axes) <= box.size / 2 + 1e-9).all()
    assert box.size.max() < 3.1  # no larger than it has to be: a corner touches every face
    assert np.isclose(np.abs((sheared - box.center) @ box.axes).max(axis=0), box.size / 2).all()


@FAST
@given(places, sides, turns, turns, places, turns, places)
def test_any_rigid_chain(scene, center, size, own, turn1, move1, turn2, move2) -> None:  # type: ignore[no-untyped-def]
    slicer.mrmlScene.Clear(0)
    volume, roi = _volume(), _roi(size=size)
    roi.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(_rigid(own, center)))
    for_volume, for_roi = _rigid(turn1, move1), _rigid(turn2, move2)
    put_under(volume, for_volume)
    put_under(put_under(roi, for_roi), np.linalg.inv(for_volume))
    expected = np.linalg.inv(for_volume) @ np.linalg.inv(for_volume) @ for_roi @ _rigid(own, center)
    _assert_same(boxFromRoi(roi, volume), RegionBox(expected[:3, 3], np.array(size), expected[:3, :3]))


def test_a_warp_is_refused(scene: Any) -> None:
    volume, roi = _volume(), _roi()
    put_under(put_under(roi, shift(1, 2, 3)), name="bent")
    with pytest.raises(InputError, match='box "lesion 1/2 ä" is under the transform "bent", which is not linear'):
        boxFromRoi(roi, volume)
    put_under(volume, name="bent, too")
    for refused in (lambda: boxFromRoi(_roi(), volume), lambda: newRoi(volume, "new")):
        with pytest.raises(InputError, match='volume "CT" is under the transform "bent, too", which is not linear'):
            refused()


def test_what_is_no_box(scene: Any) -> None:
    volume = _volume()
    with pytest.raises(InputError, match="No box is chosen"):
        boxFromRoi(None, volume)
    with pytest.raises(InputError, match='"drawn later" is not drawn yet'):
        boxFromRoi(newRoi(volume, "drawn later"), volume)
    with pytest.raises(InputError, match=r'"lesion 1/2 ä" is flat \(2 x 0 x 6 mm\)'):
        boxFromRoi(_roi(size=(2, 0, 6)), volume)
    turned = _roi()
    turned.SetInsideOut(True)
    with pytest.raises(InputError, match="is inside out"):
        boxFromRoi(turned, volume)
    with pytest.raises(InputError, match="No volume is chosen"):
        boxFromRoi(_roi(), None)


# --- which voxels


@FAST
@given(places, sides, turns, turns, st.sampled_from(KINDS))
def test_voxels_are_rounded_outward(scene, center, size, own, turn, kind) -> None:  # type: ignore[no-untyped-def]
    slicer.mrmlScene.Clear(0)
    volume = _volume(affine(kind, (0.7, 1.1, 5.0)))
    put_under(volume, _rigid(turn, (5, 6, 7)))
    roi = _roi(size=size)
    roi.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(_rigid(own, center)))
    grid = gridOfVolume(volume)
    box = boxFromRoi(roi, volume)
    index = grid.to_index(_corners(box))
    hull = box.hull(grid)
    # The voxels that hold the outermost corners; corners on a border between two voxels belong to the inner one.
    assert (hull.start <= np.rint(index.min(axis=0) + 2e-3)).all()
    assert (hull.start >= np.rint(index.min(axis=0) - 2e-3)).all()
    assert (np.array(hull.stop) - 1 >= np.rint(index.max(axis=0) - 2e-3)).all()
    assert (np.array(hull.stop) - 1 <= np.maximum(np.rint(index.max(axis=0) + 2e-3), hull.start)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_no_voxel_of_a_turned_box_is_missed(kind: str, scene: Any) -> None:
    """Against Slicer's own answer, voxel by voxel: is the centre in the ROI?"""
    volume = _volume(affine(kind, (1.0, 1.5, 2.0)), (7, 8, 9))
    put_under(volume, TURN @ shift(3, 1, -2))
    grid = gridOfVolume(volume)
    middle = (TURN @ shift(3, 1, -2) @ [*grid.to_world([3, 4, 4]), 1])[:3]
    roi = _roi(tuple(middle), (5, 6, 4))
    put_under(roi, shift(0.3, -0.2, 0.1))
    box = boxFromRoi(roi, volume)
    hull = box.hull(grid).clip(grid.shape)
    found = box.inside(grid, Box.whole(grid.shape))
    world = grid.to_world(np.indices(grid.shape).transpose(1, 2, 3, 0)) @ (TURN @ shift(3, 1, -2))[:3, :3].T
    world += (TURN @ shift(3, 1, -2))[:3, 3]
    in_roi = np.array([roi.IsPointInROIWorld(p) for p in world.reshape(-1, 3)]).reshape(grid.shape)
    assert 5 < in_roi.sum() < grid.size / 2
    assert found[in_roi].all()
    outside = np.ones(grid.shape, bool)
    outside[hull.slices] = False
    assert not in_roi[outside].any()


# --- roiFromBox


@FAST
@given(places, sides, turns, st.booleans(), turns, places, turns, places)
def test_the_box_comes_back(scene, center, size, own, mirrored, turn1, move1, turn2, move2) -> None:  # type: ignore[no-untyped-def]
    slicer.mrmlScene.Clear(0)
    volume = _volume()
    put_under(put_under(volume, _rigid(turn1, move1)), _rigid(turn2, move2))
    box = RegionBox(np.array(center), np.array(size), _rotation(own) * (-1 if mirrored else 1, 1, 1), "b")
    _assert_same(boxFromRoi(roiFromBox(box, volume), volume), box)


def test_the_box_comes_back_under_shear(scene: Any) -> None:
    volume = _volume()
    shear = np.diag([2.0, 1, 1, 1]) @ TURN
    put_under(volume, shear)
    box = RegionBox(np.array([1.0, 2, 3]), np.array([2.0, 4, 6]), TURN[:3, :3])
    _assert_same(boxFromRoi(roiFromBox(box, volume), volume), box)


def test_roi_of_voxels(scene: Any) -> None:
    volume = _volume(affine("left-handed", (0.5, 0.5, 2.0)))
    put_under(volume, shift(100, 0, 0))
    box = RegionBox.of_voxels(Box((1, 2, 3), (3, 4, 6)), gridOfVolume(volume), "nucleus")
    roi = roiFromBox(box, volume)
    # Of the 0.5 mm voxels i = 3, 4, 5 to the left of R 10, from 2.5 to 5.5; seen 100 mm further in the world.
    bounds = [0.0] * 6
    roi.GetRASBounds(bounds)
    np.testing.assert_allclose(bounds, [107.25, 108.75, -19.25, -18.25, 31, 35], atol=1e-6)
    assert roi.GetName() == "nucleus"
    assert roiFromBox(box, volume, "Kern ä/1").GetName() == "Kern ä/1"
    assert boxFromRoi(roi, volume).hull(gridOfVolume(volume)) == Box((1, 2, 3), (3, 4, 6))


def test_roi_stays_with_its_volume(scene: Any) -> None:
    volume = _volume()
    transform = put_under(volume, shift(1, 0, 0))
    folder = put_in_folder(volume)
    box = RegionBox(np.array([1.0, 2, 3]), np.array([2.0, 4, 6]), np.eye(3))
    roi = roiFromBox(box, volume)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(TURN))
    _assert_same(boxFromRoi(roi, volume), box)
    assert folder_of(roi) == folder


# --- newRoi


@pytest.mark.parametrize("kind", KINDS)
def test_new_roi_has_the_axes_of_the_volume(kind: str, scene: Any) -> None:
    roi = newRoi(_volume(affine(kind)), "lesion")
    axes = slicer.util.arrayFromVTKMatrix(roi.GetObjectToNodeMatrix())[:3, :3]
    own = affine(kind)[:3, :3] / (0.3, 0.3, 5.0)
    np.testing.assert_allclose(np.abs(axes.T @ own), np.eye(3), atol=1e-6)
    assert np.linalg.det(axes) == pytest.approx(1)
    assert roi.GetNumberOfControlPoints() == 0


def test_boxes_are_shown_with_handles_and_without_text(scene: Any) -> None:
    roi = newRoi(_volume(), "lesion")
    display = roi.GetDisplayNode()
    assert display.GetHandlesInteractive()
    assert not display.GetPropertiesLabelVisibility()
    assert display.GetFillOpacity() < 0.3
    showHandles(roi, False)
    assert not display.GetHandlesInteractive()


@pytest.mark.parametrize(
    ("size", "finished"),
    [
        ((28, 32, 7e-15), (28, 32, 28)),
        ((7e-15, 5, 9), (5, 5, 9)),
        ((28, 32, 4), (28, 32, 4)),
        ((0, 0, 0), (0, 0, 0)),
    ],
)
def test_depth_of_a_box_drawn_in_one_slice(size: Any, finished: Any, scene: Any) -> None:
    roi = _roi(size=size)
    finishDrawing(roi, _volume())
    np.testing.assert_allclose(roi.GetSize(), finished)


def test_size_as_text(scene: Any) -> None:
    roi = _roi(size=(31.2, 123.4, 0.255))
    assert sizeText(roi) == "31 x 123 x 0.26 mm"
    put_under(roi, np.diag([2.0, 1, 1, 1]))
    assert sizeText(roi) == "62 x 123 x 0.26 mm"


@pytest.mark.parametrize("kind", KINDS)
def test_a_roi_is_placed_anew(scene: Any, kind: str) -> None:
    """Another box, of another volume, under another transform: as if it had been made for it."""
    roi = roiFromBox(RegionBox(np.zeros(3), np.ones(3), np.eye(3), "box"), add_volume(np.zeros((3, 4, 5), np.int16)))
    volume = add_volume(np.zeros((3, 4, 5), np.int16), affine(kind))
    put_under(volume, TURN)
    wanted = RegionBox.of_voxels(Box((0, 1, 1), (2, 3, 4)), gridOfVolume(volume), "other")
    placeRoi(roi, wanted, volume)
    found = boxFromRoi(roi, volume)
    assert found.hull(gridOfVolume(volume)) == Box((0, 1, 1), (2, 3, 4))
    np.testing.assert_allclose(found.center, wanted.center, atol=1e-6)
    assert roi.GetName() == "box"
