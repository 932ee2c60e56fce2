"""A slice view that is followed: what is asked of the worker and when, and what ends it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oss_follower import Followed
from oss_panel import add_view, volume
from scene_helpers import put_under, shift
from slicer_env import slicer

from hrseg.errors import Cancelled, InputError


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
