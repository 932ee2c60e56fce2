"""Regions of interest: made of boxes, drawn anew, placed, and how they look."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from box_helpers import FAST, a_roi, a_volume, assert_same, places, rigid, rotation, sides, turns
from hypothesis import given
from hypothesis import strategies as st
from scene_helpers import KINDS, TURN, add_volume, affine, folder_of, put_in_folder, put_under, shift
from slicer_env import slicer

from HighResSegmentationLib.Boxes import boxFromRoi, finishDrawing, newRoi, placeRoi, roiFromBox, showHandles, sizeText
from HighResSegmentationLib.Volumes import gridOfVolume
from hrseg.geometry import Box
from hrseg.prompts import RegionBox

# --- roiFromBox


@FAST
@given(places, sides, turns, st.booleans(), turns, places, turns, places)
def test_the_box_comes_back(scene, center, size, own, mirrored, turn1, move1, turn2, move2) -> None:  # type: ignore[no-untyped-def]
    slicer.mrmlScene.Clear(0)
    volume = a_volume()
    put_under(put_under(volume, rigid(turn1, move1)), rigid(turn2, move2))
    box = RegionBox(np.array(center), np.array(size), rotation(own) * (-1 if mirrored else 1, 1, 1), "b")
    assert_same(boxFromRoi(roiFromBox(box, volume), volume), box)


def test_the_box_comes_back_under_shear(scene: Any) -> None:
    volume = a_volume()
    shear = np.diag([2.0, 1, 1, 1]) @ TURN
    put_under(volume, shear)
    box = RegionBox(np.array([1.0, 2, 3]), np.array([2.0, 4, 6]), TURN[:3, :3])
    assert_same(boxFromRoi(roiFromBox(box, volume), volume), box)


def test_roi_of_voxels(scene: Any) -> None:
    volume = a_volume(affine("left-handed", (0.5, 0.5, 2.0)))
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
    volume = a_volume()
    transform = put_under(volume, shift(1, 0, 0))
    folder = put_in_folder(volume)
    box = RegionBox(np.array([1.0, 2, 3]), np.array([2.0, 4, 6]), np.eye(3))
    roi = roiFromBox(box, volume)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(TURN))
    assert_same(boxFromRoi(roi, volume), box)
    assert folder_of(roi) == folder


# --- newRoi


@pytest.mark.parametrize("kind", KINDS)
def test_new_roi_has_the_axes_of_the_volume(kind: str, scene: Any) -> None:
    roi = newRoi(a_volume(affine(kind)), "lesion")
    axes = slicer.util.arrayFromVTKMatrix(roi.GetObjectToNodeMatrix())[:3, :3]
    own = affine(kind)[:3, :3] / (0.3, 0.3, 5.0)
    np.testing.assert_allclose(np.abs(axes.T @ own), np.eye(3), atol=1e-6)
    assert np.linalg.det(axes) == pytest.approx(1)
    assert roi.GetNumberOfControlPoints() == 0


def test_boxes_are_shown_with_handles_and_without_text(scene: Any) -> None:
    roi = newRoi(a_volume(), "lesion")
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
    roi = a_roi(size=size)
    finishDrawing(roi, a_volume())
    np.testing.assert_allclose(roi.GetSize(), finished)


def test_size_as_text(scene: Any) -> None:
    roi = a_roi(size=(31.2, 123.4, 0.255))
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
