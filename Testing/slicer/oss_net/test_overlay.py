"""What a slice view that is followed shows, and that it is afterwards as it was."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from oss_follower import Followed
from oss_panel import add_view, volume
from slicer_env import slicer
from views import SliceView


def test_the_view_is_as_it_was_afterwards(followed: Followed) -> None:
    before = slicer.mrmlScene.GetNumberOfNodes()
    own = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "own")
    followed.composite.SetLabelVolumeID(own.GetID())
    followed.composite.SetLabelOpacity(0.7)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "coarse")
    segmentation.CreateDefaultDisplayNodes()
    display = segmentation.GetDisplayNode()
    other, other_composite = add_view("Other view")
    node = volume()
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    followed.start(node, covered=[segmentation])
    followed.end()
    assert followed.composite.GetLabelVolumeID() not in ("", own.GetID())
    assert followed.composite.GetLabelOpacity() == 0.5
    assert not display.IsDisplayableInView(followed.view.GetID())
    assert display.IsDisplayableInView(other.GetID())
    followed.follower.stop()
    assert followed.composite.GetLabelVolumeID() == own.GetID()
    assert followed.composite.GetLabelOpacity() == 0.7
    assert display.GetNumberOfViewNodeIDs() == 0
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert before < nodes
    for extra in (other, other_composite):
        slicer.mrmlScene.RemoveNode(extra)


def test_hidden_also_where_there_is_no_other_view(followed: Followed) -> None:
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "coarse")
    segmentation.CreateDefaultDisplayNodes()
    followed.start(volume(), covered=[segmentation])
    assert not segmentation.GetDisplayNode().IsDisplayableInView(followed.view.GetID())
    followed.follower.stop()
    assert segmentation.GetDisplayNode().IsDisplayableInView(followed.view.GetID())


def test_what_the_user_chose_meanwhile_stays(followed: Followed) -> None:
    followed.start(volume())
    followed.end()
    own = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "own")
    followed.composite.SetLabelVolumeID(own.GetID())
    followed.follower.stop()
    assert followed.composite.GetLabelVolumeID() == own.GetID()


def test_the_overlay_is_neither_listed_nor_saved(followed: Followed) -> None:
    followed.start(volume())
    followed.end()
    overlay = slicer.mrmlScene.GetNodeByID(followed.composite.GetLabelVolumeID())
    for node in (overlay, overlay.GetDisplayNode(), overlay.GetDisplayNode().GetColorNode()):
        assert node.GetHideFromEditors()
        assert not node.GetSaveWithScene()


@pytest.mark.parametrize("views", [0, 2])
def test_a_scene_saved_meanwhile_is_loaded_with_its_views_as_they_were(
    followed: Followed, views: int, tmp_path: Path
) -> None:
    """Slicer tells nobody that it is about to save."""
    from OSSNet import OSSNet as Module

    other, other_composite = add_view("OtherView")
    own = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "own")
    slicer.util.updateVolumeFromArray(own, np.ones((2, 2, 2), np.uint8))
    followed.composite.SetLabelVolumeID(own.GetID())
    followed.composite.SetLabelOpacity(0.7)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "coarse")
    segmentation.CreateDefaultDisplayNodes()
    for view in (followed.view, other)[:views]:
        segmentation.GetDisplayNode().AddViewNodeID(view.GetID())
    followed.start(volume(), covered=[segmentation])
    followed.end()
    assert slicer.util.saveScene(str(tmp_path / "s.mrb"))
    followed.follower.stop()
    slicer.mrmlScene.Clear(0)
    started: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slicer.app, "connect", lambda signal, slot: started.append(slot), raising=False)
        Module(SimpleNamespace())
    started[0]()
    slicer.util.loadScene(str(tmp_path / "s.mrb"))
    display = slicer.util.getNode("coarse").GetDisplayNode()
    assert display.GetNumberOfViewNodeIDs() == views
    assert display.IsDisplayableInView(followed.view.GetID())
    assert followed.composite.GetLabelVolumeID() == slicer.util.getNode("own").GetID()
    assert followed.composite.GetLabelOpacity() == 0.7
    for node in (display, followed.composite):
        assert not [name for name in node.GetAttributeNames() if name.startswith("HighResSegmentation")]
    for extra in (other, other_composite):
        slicer.mrmlScene.RemoveNode(extra)


# ---- with the genuine worker and a view that draws ----


def test_the_view_shows_the_boundary_at_its_own_pixels(slice_view: SliceView, tmp_path: Path) -> None:
    """Zoomed in until a voxel has some 25 pixels, the border of the ball is round, not a staircase."""
    from OSSNetLib.BrightModel import writeBrightModel
    from OSSNetLib.Logic import OSSNetLogic, Settings
    from OSSNetLib.Phantom import RADIUS, phantomVolume, radii
    from OSSNetLib.SliceFollower import SliceFollower

    node, logic = phantomVolume("translated"), OSSNetLogic()
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0, 400)
    settings = Settings(str(writeBrightModel(tmp_path / "bright.safetensors")), "cpu")
    segmentation = logic.sample(node, settings).node
    slice_view.show(node, k=13.5)
    slice_view.node.SetFieldOfView(16, 16, 1)
    errors: list[Exception] = []
    follower = SliceFollower(logic.jobs, onStopped=errors.append)
    follower.start(slice_view.node, node, settings, covered=[segmentation])
    logic.jobs.wait()
    assert errors == []
    picture = slice_view.picture(tmp_path / "followed.png").astype(int)
    reddish = picture[..., 0] - picture[..., 1:].max(axis=-1) > 30
    rows, columns = np.indices(reddish.shape)
    pixels = np.stack([columns, reddish.shape[0] - 1 - rows, 0 * rows, np.ones_like(rows)], -1)
    world = (pixels @ slicer.util.arrayFromVTKMatrix(slice_view.node.GetXYToRAS()).T)[..., :3]
    local = world - slicer.util.arrayFromTransformMatrix(node.GetParentTransformNode())[:3, 3]
    distance = radii(local, node)
    assert reddish[distance < RADIUS - 0.15].all()
    assert not reddish[distance > RADIUS + 0.15].any()
    follower.stop()
