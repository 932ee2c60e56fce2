"""A slice view that is followed: what is asked of the worker and when, what the view shows, and what is left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fake_worker import FakeClient, found
from oss_panel import add_view, volume
from scene_helpers import put_under, shift
from slicer_env import slicer
from views import SliceView

from HighResSegmentationLib.Jobs import Jobs
from hrseg.errors import Cancelled, InputError
from hrseg.worker.messages import SampleRequest

if TYPE_CHECKING:
    from OSSNetLib.SliceFollower import SliceFollower


class Followed:
    """A follower with a worker that says what the test says."""

    def __init__(self, client: FakeClient) -> None:
        from OSSNetLib.Logic import Settings
        from OSSNetLib.SliceFollower import SliceFollower

        self.client, self.jobs = client, Jobs(lambda: client)  # type: ignore[arg-type, return-value]
        self.errors: list[Exception] = []
        self.asked = 0
        self.follower: SliceFollower = SliceFollower(self.jobs, self._count, self.errors.append)
        self.settings = Settings("m")
        self.view, self.composite = add_view()

    def start(self, node: Any, **more: Any) -> None:
        self.follower.start(self.view, node, self.settings, **more)

    def end(self) -> SampleRequest:
        """The worker answers with labels as large as was asked; that request."""
        request = self.client.requests[-1]
        assert isinstance(request, SampleRequest)
        assert request.grid is not None
        array = np.ones(request.grid.shape, np.uint8)
        self.client.arrays["labels"] = array
        self.client.end(found(array, request.grid.affine))
        self.jobs.poll()
        return request

    def _count(self) -> None:
        self.asked += 1


@pytest.fixture
def followed(scene: Any, client: FakeClient) -> Iterator[Followed]:
    followed = Followed(client)
    yield followed
    followed.follower.stop()
    for node in (followed.view, followed.composite):
        slicer.mrmlScene.RemoveNode(node)


def test_the_pixels_of_the_view_are_asked_for(followed: Followed) -> None:
    from OSSNetLib.SliceFollower import sliceGrid

    node = volume()
    put_under(node, shift(10, 20, 30))
    followed.view.SetSliceOffset(37)
    grid, world = sliceGrid(followed.view, node)
    assert grid.shape == (1, 40, 60)
    # Pixels of half a millimetre; Slicer's first one is half a pixel inside the field of view.
    np.testing.assert_allclose(np.abs(np.diag(world)), [0.5, 0.5, 1, 1])
    np.testing.assert_allclose(grid.affine, shift(-10, -20, -30) @ world)
    np.testing.assert_allclose(grid.to_world([0, 0, 0])[2], 7)


def test_large_views_are_asked_for_in_steps(followed: Followed) -> None:
    from OSSNetLib.SliceFollower import sliceGrid

    followed.view.SetDimensions(3000, 2000, 1)
    followed.view.SetFieldOfView(30, 20, 1)
    grid, _ = sliceGrid(followed.view, volume())
    # Six million pixels in steps of three, which cover the same field of view.
    assert grid.shape == (1, 667, 1000)
    matrix = slicer.util.arrayFromVTKMatrix(followed.view.GetXYToRAS())
    np.testing.assert_allclose(grid.to_world([0, 0, 0]), (matrix @ [1, 1, 0, 1])[:3], atol=1e-9)
    np.testing.assert_allclose(grid.to_world([0, 0, 1]), (matrix @ [4, 1, 0, 1])[:3], atol=1e-9)


def test_one_request_at_a_time_and_the_newest_wins(followed: Followed) -> None:
    followed.start(volume())
    assert followed.asked == 1
    for offset in (1, 2, 3):
        followed.view.SetSliceOffset(offset)
    assert len(followed.client.requests) == 1
    followed.end()
    assert len(followed.client.requests) == 2
    newest = followed.end()
    assert newest.grid is not None
    assert newest.grid.affine[2][3] == 3
    assert len(followed.client.requests) == 2
    overlay = slicer.mrmlScene.GetNodeByID(followed.composite.GetLabelVolumeID())
    assert slicer.util.arrayFromVolume(overlay).shape == (1, 40, 60)
    # Nothing that concerns the picture has changed.
    followed.view.Modified()
    assert len(followed.client.requests) == 2


def test_a_volume_that_is_moved_is_looked_at_where_it_is(followed: Followed) -> None:
    node = volume()
    followed.start(node)
    first = followed.end()
    transform = put_under(node, shift(10, 20, 30))
    assert len(followed.client.requests) == 2
    under = followed.end()
    matrix = np.eye(4)
    matrix[:3, 3] = 1, 2, 3
    slicer.util.updateTransformMatrixFromArray(transform, matrix)
    moved = followed.end()
    assert len(followed.client.requests) == 3
    origins = [np.array(request.grid.affine)[:3, 3] for request in (first, under, moved)]  # type: ignore[union-attr]
    np.testing.assert_allclose(origins[0] - origins[1], (10, 20, 30))
    np.testing.assert_allclose(origins[0] - origins[2], (1, 2, 3))
    # The picture stays in the view's own plane.
    overlay = slicer.mrmlScene.GetNodeByID(followed.composite.GetLabelVolumeID())
    np.testing.assert_allclose(overlay.GetOrigin(), origins[0])
    # No longer followed, it may move.
    followed.follower.stop()
    slicer.util.updateTransformMatrixFromArray(transform, np.eye(4))
    assert len(followed.client.requests) == 3


def test_a_volume_that_is_warped_ends_it_in_words(followed: Followed) -> None:
    node = volume()
    followed.start(node)
    followed.end()
    put_under(node)
    assert "not linear" in str(followed.errors[0])
    assert not followed.follower.active


def test_level_and_label_are_asked_for(followed: Followed) -> None:
    followed.start(volume())
    followed.end()
    followed.follower.choose(0.3, (2,))
    assert (followed.client.requests[-1].level, followed.client.requests[-1].labels) == (0.3, (2,))  # type: ignore[attr-defined]
    followed.end()
    followed.follower.choose(0.3, (2,))
    assert len(followed.client.requests) == 2


def test_a_run_of_the_users_goes_first(followed: Followed) -> None:
    """The view waits for it, and is then asked for as it is by then."""
    from HighResSegmentationLib.Jobs import Job
    from hrseg.worker.messages import DevicesRequest

    followed.start(volume())
    results: list[Any] = []
    followed.jobs.start(Job(lambda client: DevicesRequest(), results.append))
    followed.view.SetSliceOffset(5)
    followed.end()
    assert followed.client.asked == ["SampleRequest", "DevicesRequest"]
    followed.view.SetSliceOffset(9)
    followed.jobs.poll()
    assert len(results) == 1
    assert followed.end().grid.affine[2][3] == 9  # type: ignore[union-attr]


def test_begun_anew_while_it_waits_the_new_view_is_asked_for(followed: Followed) -> None:
    """What waited for the old view must not count as asked of the new one."""
    from HighResSegmentationLib.Jobs import Job
    from hrseg.worker.messages import DevicesRequest

    node = volume()
    followed.jobs.start(Job(lambda client: DevicesRequest(), lambda result: None))
    followed.start(node)
    followed.follower.stop()
    followed.view.SetSliceOffset(7)
    followed.start(node)
    followed.jobs.poll()
    assert followed.client.asked == ["DevicesRequest", "SampleRequest"]
    assert followed.end().grid.affine[2][3] == 7  # type: ignore[union-attr]
    assert followed.composite.GetLabelVolumeID()
    assert followed.errors == []


def test_ended_while_it_waits(followed: Followed) -> None:
    from HighResSegmentationLib.Jobs import Job
    from hrseg.worker.messages import DevicesRequest

    followed.jobs.start(Job(lambda client: DevicesRequest(), lambda result: None))
    followed.start(volume())
    followed.follower.stop()
    followed.jobs.poll()
    assert followed.client.asked == ["DevicesRequest"]
    assert followed.errors == []
    assert "Traceback" not in "".join(followed.jobs.log)
    assert not followed.follower.waiting


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


def test_answers_that_come_too_late_are_dropped(followed: Followed) -> None:
    followed.start(volume())
    followed.follower.stop()
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    followed.end()
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert not followed.composite.GetLabelVolumeID()
    assert followed.errors == []


def test_a_view_that_is_not_shown_is_not_asked_for(followed: Followed) -> None:
    followed.view.SetDimensions(0, 0, 1)
    followed.start(volume())
    assert followed.client.requests == []
    followed.view.SetDimensions(60, 40, 1)
    assert len(followed.client.requests) == 1
    followed.end()


def test_a_changed_volume_ends_it_in_words(followed: Followed) -> None:
    """Following must not set off minutes of computation by itself."""
    node = volume()
    followed.start(node)
    followed.end()
    slicer.util.updateVolumeFromArray(node, slicer.util.arrayFromVolume(node) + 1)
    followed.view.SetSliceOffset(5)
    assert "has changed; press Apply" in str(followed.errors[0])
    assert not followed.follower.active
    assert not followed.composite.GetLabelVolumeID()


@pytest.mark.parametrize("what", ["worker", "scene"])
def test_failures_end_it(followed: Followed, what: str) -> None:
    followed.start(volume())
    if what == "worker":
        followed.client.fail("no_memory", "Memory ran out.")
        followed.jobs.poll()
        assert str(followed.errors[0]) == "Memory ran out."
    else:
        slicer.mrmlScene.Clear(0)
        assert isinstance(followed.errors[0], Cancelled)
        followed.end()
    assert not followed.follower.active
    assert len(followed.client.requests) == 1


def test_what_cannot_be_followed(followed: Followed) -> None:
    warped, (lonely, composite) = volume("warped"), add_view("Lonely")
    put_under(warped, name="warp")
    slicer.mrmlScene.RemoveNode(composite)
    for view, node, words in (
        (followed.view, warped, 'under the transform "warp", which is not linear'),
        (followed.view, None, "No volume is chosen"),
        (None, volume(), "No slice view is chosen"),
        (lonely, volume(), "shows no volumes"),
    ):
        with pytest.raises(InputError, match=words):
            followed.follower.start(view, node, followed.settings)
        assert not followed.follower.active
    slicer.mrmlScene.RemoveNode(lonely)


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
