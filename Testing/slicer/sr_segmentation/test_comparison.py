"""Runs that are compared: what the panel shows of it, and how changes are counted."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import panel_env
import pytest
from fake_worker import FakeClient
from module_panel import status, volume
from scene_helpers import put_under, shift
from slicer_env import slicer
from sr_panel import cells, cube, drag, result, run

if TYPE_CHECKING:
    from SRSegmentationLib.Widget import SRSegmentationPanel


def test_a_mask_that_vanishes_and_one_that_appears(searched: SRSegmentationPanel, client: FakeClient) -> None:
    drag(searched, (4, 5, 6))
    run(searched, client, result(client, 0 * cube()))
    assert status(searched).startswith('Nothing was found in "CT chest"')
    assert cells(searched.ui.changeTable) == [["lesion", "0 mm³", "-64 mm³ (-100.0 %)", "0.000"]]
    searched.ui.differenceButton.click()
    image = searched.parameters.inputVolume
    lost = slicer.util.arrayFromSegmentBinaryLabelmap(slicer.util.getNode("* difference"), "Segment_2", image)
    assert lost.sum() == 64
    run(searched, client, result(client))
    assert cells(searched.ui.changeTable) == [["lesion", "64 mm³", "+64 mm³", "0.000"]]
    # Nothing twice: nothing to show.
    for _ in range(2):
        run(searched, client, result(client, 0 * cube()))
    assert not searched.ui.changeTable.visible


def test_the_next_result_hides_the_last_one(searched: SRSegmentationPanel, client: FakeClient) -> None:
    first = searched.parameters.result
    run(searched, client, result(client))
    assert searched.parameters.result is not first
    assert [bool(n.GetDisplayVisibility()) for n in (first, searched.parameters.result)] == [False, True]
    assert cells(searched.ui.changeTable) == [["lesion", "64 mm³", "0 mm³ (0.0 %)", "1.000"]]


def test_a_result_deleted_before_it_is_compared(searched: SRSegmentationPanel, client: FakeClient) -> None:
    run(searched, client, result(client))
    slicer.mrmlScene.RemoveNode(searched.parameters.earlier)
    searched.ui.differenceButton.click()
    assert status(searched) == "One of the two results was deleted; press Apply again to compare."
    run(searched, client, result(client))
    assert searched.ui.changeTable.visible


def test_added_to_one_segmentation_the_runs_are_still_compared(
    searched: SRSegmentationPanel, client: FakeClient
) -> None:
    target = searched.parameters.result
    searched.ui.outputSelector.setCurrentNode(target)
    run(searched, client, result(client, cube(6, 9)))
    assert searched.parameters.result is target
    assert target.GetDisplayVisibility()
    assert cells(searched.ui.changeTable)[0][1] == "27 mm³"


def test_changes_take_little_memory() -> None:
    """Whole arrays of truth values would be 16 MB each, four times so many bytes where they are counted."""
    from SRSegmentationLib.Comparison import changesOf

    before = np.zeros((16, 1024, 1024), np.uint8)
    after = before.copy()
    before[3:9], after[6:12], after[0, 0, 0] = 1, 1, 2
    tracemalloc.start()
    one, two = changesOf(before, after, ["one", "two"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (one.before, one.after, one.dice) == (6 * 2**20, 6 * 2**20, 0.5)
    assert (two.before, two.after, two.dice) == (0, 1, 0.0)
    assert changesOf(before, after, ["one"])[0] == one
    assert peak < 20 * 2**20


def test_the_user_sees_that_runs_are_compared(
    loaded: SRSegmentationPanel, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from SRSegmentationLib import Comparison

    cursors: list[Any] = []
    changes = Comparison.changes

    def seen(*arguments: Any) -> Any:
        cursors.append(panel_env.qt.QApplication.overrideCursor())
        return changes(*arguments)

    monkeypatch.setattr(Comparison, "changes", seen)
    for _ in range(2):
        run(loaded, client, result(client))
    (cursor,) = cursors
    assert cursor.shape() == panel_env.qt.Qt.CursorShape.WaitCursor
    assert panel_env.qt.QApplication.overrideCursor() is None


def test_changes_of_two_label_maps() -> None:
    from SRSegmentationLib.Comparison import changesOf, differenceOf

    before, after = np.array([[[0, 1, 1, 2, 0]]], np.uint8), np.array([[[1, 1, 2, 2, 0]]], np.uint8)
    one, two, none = changesOf(before, after, ["one", "two", "none"])
    assert (one.before, one.after, one.dice) == (2, 2, 0.5)
    assert (two.before, two.after, two.dice) == (1, 2, pytest.approx(2 / 3))
    assert none.dice == 1
    assert differenceOf(before, after).tolist() == [[[1, 0, 3, 0, 0]]]
    assert differenceOf(after, before).tolist() == [[[2, 0, 3, 0, 0]]]


@pytest.mark.parametrize("where", ["as made", "moved segmentation", "edited beyond the volume", "empty"])
def test_label_maps_of_results(scene: Any, where: str) -> None:
    """Read as they are stored where they lie on the volume's grid; else resampled: it must come to the same."""
    from HighResSegmentationLib.Segmentations import segmentationFromResult
    from SRSegmentationLib.Comparison import Result

    node, array = volume(), cube() + 2 * cube(11, 13)
    labels = [{"value": n, "name": f"{n}", "color": [9, 9, 9], "terminology": None} for n in (1, 2, 3)]
    array[3, 4, 5] = 3
    array = array * (where != "empty")
    segmentation = segmentationFromResult({"affine": np.eye(4).tolist(), "labels": labels}, array, node)
    if where == "moved segmentation":
        put_under(segmentation, shift(0, 0, 2))
        array = np.roll(array, 2, axis=0)
    if where == "edited beyond the volume":
        wide = np.zeros((20, 16, 16), np.uint8)
        wide[3:20, 1, 1] = 1
        other = slicer.util.addVolumeFromArray(wide, np.eye(4), "wide")
        slicer.util.updateSegmentBinaryLabelmapFromArray(wide, segmentation, "Segment_3", other)
        array[array == 3] = 0
        array[3:16, 1, 1] = 3
    result = Result(segmentation, ["Segment_1", "Segment_2", "Segment_3"])
    np.testing.assert_array_equal(result.labels(node), array)
