"""Images of the worker as volume nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scene_helpers import KINDS, TURN, add_volume, affine, folder_of, put_in_folder, put_under
from slicer_env import slicer

from HighResSegmentationLib.Frames import sourceOf
from HighResSegmentationLib.ResultVolumes import volumeFromResult
from HighResSegmentationLib.Volumes import gridOfVolume
from hrseg.errors import InputError


@pytest.mark.parametrize("kind", KINDS)
def test_it_lies_where_the_volume_lies(scene: Any, kind: str) -> None:
    volume = add_volume(np.zeros((3, 4, 5), np.int16), affine(kind))
    transform, folder = put_under(volume, TURN), put_in_folder(volume)
    finer = gridOfVolume(volume).finer((1, 2, 2))
    array = np.arange(3 * 8 * 10, dtype=np.float32).reshape(1, 3, 8, 10) - 0.4
    node = volumeFromResult(array, finer.affine.tolist(), volume, "sharp")
    assert gridOfVolume(node).matches(finer)
    assert node.GetTransformNodeID() == transform.GetID()
    assert folder_of(node) == folder
    assert sourceOf(node) is volume
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), array[0])


def test_the_grays_of_the_volume(scene: Any) -> None:
    """Its type, rounded and clipped, and its window."""
    volume = add_volume(np.zeros((1, 2, 2), np.uint8))
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevel(30, 15)
    array = np.array([[[[-3, 1.6], [2.4, 300]]]], np.float32)
    node = volumeFromResult(array, np.eye(4).tolist(), volume, "sharp", sameGreys=True)
    found = slicer.util.arrayFromVolume(node)
    assert found.dtype == np.uint8
    assert found.tolist() == [[[0, 2], [2, 255]]]
    assert (node.GetDisplayNode().GetWindow(), node.GetDisplayNode().GetLevel()) == (30, 15)
    assert slicer.util.arrayFromVolume(volume).max() == 0


def test_color(scene: Any) -> None:
    volume = add_volume(np.zeros((1, 2, 2, 3), np.uint8))
    array = np.arange(12, dtype=np.uint8).reshape(3, 1, 2, 2)
    node = volumeFromResult(array, np.eye(4).tolist(), volume, "sharp", sameGreys=True)
    assert node.GetClassName() == "vtkMRMLVectorVolumeNode"
    assert slicer.util.arrayFromVolume(node)[0, 0, 1].tolist() == [1, 5, 9]


def test_a_node_is_taken_again_unless_it_is_of_another_kind(scene: Any) -> None:
    volume = add_volume(np.zeros((1, 2, 2), np.uint8))
    gray, color = np.ones((1, 1, 4, 4), np.uint8), np.ones((3, 1, 4, 4), np.uint8)
    first = volumeFromResult(gray, np.eye(4).tolist(), volume, "sharp")
    assert volumeFromResult(gray, np.eye(4).tolist(), volume, "sharp", first) is first
    second = volumeFromResult(color, np.eye(4).tolist(), volume, "sharp", first)
    assert second is not first
    assert first.GetScene() is None


def test_without_a_volume(scene: Any) -> None:
    with pytest.raises(InputError, match="No volume is chosen"):
        volumeFromResult(np.ones((1, 1, 2, 2)), np.eye(4).tolist(), None, "sharp")
