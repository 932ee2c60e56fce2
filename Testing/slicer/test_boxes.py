"""Boxes of regions of interest: where they lie in a volume, and which voxels they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from box_helpers import CORNERS, FAST, a_roi, a_volume, assert_same, corners, places, rigid, sides, turns
from hypothesis import given
from hypothesis import strategies as st
from scene_helpers import KINDS, TURN, affine, put_under, shift
from slicer_env import slicer

from HighResSegmentationLib.Boxes import boxFromRoi, newRoi
from HighResSegmentationLib.Volumes import gridOfVolume
from hrseg.errors import InputError
from hrseg.geometry import Box
from hrseg.prompts import RegionBox

# --- boxFromRoi


def test_without_transforms(scene: Any) -> None:
    box = boxFromRoi(a_roi(), a_volume(affine("oblique")))
    assert box.name == "lesion 1/2 ä"
    np.testing.assert_allclose(box.center, [1, 2, 3])
    np.testing.assert_allclose(box.size, [2, 4, 6])
    np.testing.assert_allclose(box.axes, np.eye(3), atol=1e-12)


def test_volume_under_a_translation(scene: Any) -> None:
    volume = a_volume()
    put_under(volume, shift(10, 0, 0))
    np.testing.assert_allclose(boxFromRoi(a_roi(), volume).center, [-9, 2, 3])


def test_roi_and_volume_under_different_transforms(scene: Any) -> None:
    volume, roi = a_volume(), a_roi()
    put_under(volume, shift(10, 0, 0))
    put_under(roi, shift(0, 0, 5))
    np.testing.assert_allclose(boxFromRoi(roi, volume).center, [-9, 2, 8])


def test_chain_of_transforms(scene: Any) -> None:
    volume = a_volume()
    put_under(put_under(volume, shift(10, 0, 0)), shift(0, 20, 0))
    np.testing.assert_allclose(boxFromRoi(a_roi(), volume).center, [-9, -18, 3])


def test_volume_under_a_rotation(scene: Any) -> None:
    volume = a_volume()
    quarter = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])  # R to A, A to L
    put_under(volume, quarter)
    box = boxFromRoi(a_roi(), volume)
    np.testing.assert_allclose(box.center, [2, -1, 3], atol=1e-9)
    np.testing.assert_allclose(np.abs(box.axes) @ box.size, [4, 2, 6], atol=1e-9)


def test_volume_that_is_scaled(scene: Any) -> None:
    volume = a_volume()
    put_under(volume, np.diag([2.0, 4, 1, 1]))
    box = boxFromRoi(a_roi(), volume)
    np.testing.assert_allclose(box.center, [0.5, 0.5, 3])
    np.testing.assert_allclose(box.size, [1, 1, 6])


def test_mirrored_roi(scene: Any) -> None:
    roi = a_roi()
    put_under(roi, np.diag([-1.0, 1, 1, 1]))
    box = boxFromRoi(roi, a_volume())
    np.testing.assert_allclose(box.center, [-1, 2, 3])
    np.testing.assert_allclose(np.abs(box.axes) @ box.size, [2, 4, 6])


def test_shear_gives_the_box_around(scene: Any) -> None:
    volume, roi = a_volume(), a_roi(center=(0, 0, 0), size=(2, 2, 2))
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
    volume, roi = a_volume(), a_roi(size=size)
    roi.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(rigid(own, center)))
    for_volume, for_roi = rigid(turn1, move1), rigid(turn2, move2)
    put_under(volume, for_volume)
    put_under(put_under(roi, for_roi), np.linalg.inv(for_volume))
    expected = np.linalg.inv(for_volume) @ np.linalg.inv(for_volume) @ for_roi @ rigid(own, center)
    assert_same(boxFromRoi(roi, volume), RegionBox(expected[:3, 3], np.array(size), expected[:3, :3]))


def test_a_warp_is_refused(scene: Any) -> None:
    volume, roi = a_volume(), a_roi()
    put_under(put_under(roi, shift(1, 2, 3)), name="bent")
    with pytest.raises(InputError, match='box "lesion 1/2 ä" is under the transform "bent", which is not linear'):
        boxFromRoi(roi, volume)
    put_under(volume, name="bent, too")
    for refused in (lambda: boxFromRoi(a_roi(), volume), lambda: newRoi(volume, "new")):
        with pytest.raises(InputError, match='volume "CT" is under the transform "bent, too", which is not linear'):
            refused()


def test_what_is_no_box(scene: Any) -> None:
    volume = a_volume()
    with pytest.raises(InputError, match="No box is chosen"):
        boxFromRoi(None, volume)
    with pytest.raises(InputError, match='"drawn later" is not drawn yet'):
        boxFromRoi(newRoi(volume, "drawn later"), volume)
    with pytest.raises(InputError, match=r'"lesion 1/2 ä" is flat \(2 x 0 x 6 mm\)'):
        boxFromRoi(a_roi(size=(2, 0, 6)), volume)
    turned = a_roi()
    turned.SetInsideOut(True)
    with pytest.raises(InputError, match="is inside out"):
        boxFromRoi(turned, volume)
    with pytest.raises(InputError, match="No volume is chosen"):
        boxFromRoi(a_roi(), None)


# --- which voxels


@FAST
@given(places, sides, turns, turns, st.sampled_from(KINDS))
def test_voxels_are_rounded_outward(scene, center, size, own, turn, kind) -> None:  # type: ignore[no-untyped-def]
    slicer.mrmlScene.Clear(0)
    volume = a_volume(affine(kind, (0.7, 1.1, 5.0)))
    put_under(volume, rigid(turn, (5, 6, 7)))
    roi = a_roi(size=size)
    roi.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(rigid(own, center)))
    grid = gridOfVolume(volume)
    box = boxFromRoi(roi, volume)
    index = grid.to_index(corners(box))
    hull = box.hull(grid)
    # The voxels that hold the outermost corners; corners on a border between two voxels belong to the inner one.
    assert (hull.start <= np.rint(index.min(axis=0) + 2e-3)).all()
    assert (hull.start >= np.rint(index.min(axis=0) - 2e-3)).all()
    assert (np.array(hull.stop) - 1 >= np.rint(index.max(axis=0) - 2e-3)).all()
    assert (np.array(hull.stop) - 1 <= np.maximum(np.rint(index.max(axis=0) + 2e-3), hull.start)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_no_voxel_of_a_turned_box_is_missed(kind: str, scene: Any) -> None:
    """Against Slicer's own answer, voxel by voxel: is the centre in the ROI?"""
    volume = a_volume(affine(kind, (1.0, 1.5, 2.0)), (7, 8, 9))
    put_under(volume, TURN @ shift(3, 1, -2))
    grid = gridOfVolume(volume)
    middle = (TURN @ shift(3, 1, -2) @ [*grid.to_world([3, 4, 4]), 1])[:3]
    roi = a_roi(tuple(middle), (5, 6, 4))
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
