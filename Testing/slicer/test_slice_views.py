"""Two images side by side, and jumping: on genuine slice nodes; without any, nothing happens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scene_helpers import add_volume, put_under, shift
from slicer_env import slicer

from HighResSegmentationLib.Views import jumpTo, showSideBySide


@pytest.fixture
def slices(scene: Any) -> Iterator[dict[str, Any]]:
    """The logics of the slice views Red and Yellow, and a layout."""
    layout = scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    layout.AddLayoutDescription(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView, "<layout/>")
    logics = {}
    for name, orientation in (("Red", "Coronal"), ("Yellow", "Sagittal")):
        logics[name] = slicer.vtkMRMLSliceLogic()
        logics[name].SetMRMLApplicationLogic(slicer.app.applicationLogic())
        logics[name].SetMRMLScene(scene)
        logics[name].AddSliceNode(name).SetOrientation(orientation)
    yield logics
    for logic in logics.values():
        scene.RemoveNode(logic.GetSliceCompositeNode())
        scene.RemoveNode(logic.GetSliceNode())
    scene.RemoveNode(layout)


def _place(logic: Any) -> Any:
    return slicer.util.arrayFromVTKMatrix(logic.GetSliceNode().GetSliceToRAS())


def test_side_by_side(slices: dict[str, Any]) -> None:
    left, right = add_volume(np.zeros((4, 5, 6), np.int16)), add_volume(np.zeros((8, 10, 12), np.int16))
    red, yellow = slices["Red"], slices["Yellow"]
    red.GetSliceNode().SetFieldOfView(50, 60, 1)
    red.GetSliceNode().JumpSliceByCentering(1, 2, 3)
    assert showSideBySide(left, right)
    layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    assert layout.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView
    shown = [logic.GetSliceCompositeNode().GetBackgroundVolumeID() for logic in (red, yellow)]
    assert shown == [left.GetID(), right.GetID()]
    np.testing.assert_allclose(_place(yellow), _place(red))
    assert _place(red)[:3, 3].tolist() == [1, 2, 3]
    assert yellow.GetSliceNode().GetFieldOfView()[:2] == (50, 60)
    assert all(logic.GetSliceCompositeNode().GetLinkedControl() for logic in (red, yellow))


def test_jump(slices: dict[str, Any]) -> None:
    volume = add_volume(np.zeros((4, 5, 6), np.int16))
    jumpTo((1.0, 2.0, 3.0))
    assert _place(slices["Yellow"])[:3, 3].tolist() == [1, 2, 3]
    put_under(volume, shift(10, 0, 0))
    jumpTo((1.0, 2.0, 3.0), volume)
    assert _place(slices["Red"])[:3, 3].tolist() == [11, 2, 3]


def test_without_a_window(scene: Any) -> None:
    volume = add_volume(np.zeros((4, 5, 6), np.int16))
    assert not showSideBySide(volume, volume)
    jumpTo((1, 2, 3))


def test_without_these_views(scene: Any) -> None:
    """As in a layout of one's own."""
    layout = scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    layout.AddLayoutDescription(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView, "<layout/>")
    volume = add_volume(np.zeros((4, 5, 6), np.int16))
    assert not showSideBySide(volume, volume)
    scene.RemoveNode(layout)
