"""The guidance crop in the panel: it appears, is dragged, put back, hidden; and what changes."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import panel_env
import pytest
from fake_worker import FakeClient, box
from module_panel import answer, picture, status, volume
from scene_helpers import put_under, shift
from slicer_env import slicer
from sr_panel import GUIDANCE, cells, choose, cube, drag, result, run

if TYPE_CHECKING:
    from SRSegmentationLib.Widget import SRSegmentationPanel


@pytest.fixture
def searched(loaded: SRSegmentationPanel, client: FakeClient) -> SRSegmentationPanel:
    """After a run, with the crop where the search put it."""
    run(loaded, client, result(client))
    return loaded


def test_before_the_first_run(loaded: SRSegmentationPanel) -> None:
    assert loaded.parameters.crop is None
    assert loaded.ui.cropLabel.text == "It appears where the search puts it when you press Apply."
    assert not loaded.ui.showCropCheckBox.enabled
    assert not loaded.ui.changeTable.visible


def test_it_appears_where_the_search_put_it(searched: SRSegmentationPanel) -> None:
    crop = searched.parameters.crop
    assert list(crop.GetCenter()) == GUIDANCE["center"]
    assert list(crop.GetSize()) == GUIDANCE["size"]
    assert searched.ui.cropLabel.text == (
        "6 x 4 x 4 mm, where the search put it. Drag it elsewhere and press Apply to compare."
    )
    assert not searched.ui.resetCropButton.enabled
    display = crop.GetDisplayNode()
    assert display.GetHandlesInteractive()
    assert display.GetTranslationHandleVisibility()
    assert not display.GetScaleHandleVisibility()
    assert not display.GetRotationHandleVisibility()


def test_dragged_it_is_sent_and_the_change_is_shown(searched: SRSegmentationPanel, client: FakeClient) -> None:
    drag(searched, (4, 5, 6))
    assert searched.ui.cropLabel.text.startswith("6 x 4 x 4 mm, moved.")
    assert searched.ui.resetCropButton.enabled
    moved = result(client, cube(6, 9), guidance=box("guidance", (4.5, 5.5, 5.5), (6, 4, 4)))
    run(searched, client, moved)
    assert client.requests[-2].options == {"guidance_center": [4, 5, 6]}
    # Whole voxels, as the worker took it.
    assert list(searched.parameters.crop.GetCenter()) == [4.5, 5.5, 5.5]
    # 64 voxels became 27, all of them among the 64.
    assert cells(searched.ui.changeTable) == [["lesion", "27 mm³", "-37 mm³ (-57.8 %)", f"{54 / 91:.3f}"]]
    assert searched.ui.changeTable.visible
    picture(searched, "sr-compared")
    searched.ui.differenceButton.click()
    difference = slicer.util.getNode("CT chest difference")
    assert status(searched) == 'The difference is in the segmentation "CT chest difference".'
    names = [difference.GetSegmentation().GetNthSegment(n).GetName() for n in range(2)]
    assert names == ["gained", "lost"]
    lost = slicer.util.arrayFromSegmentBinaryLabelmap(difference, "Segment_2", searched.parameters.inputVolume)
    assert lost.sum() == 37


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
    assert cells(searched.ui.changeTable) == [["lesion", "64 mm³", "0 mm³ (+0.0 %)", "1.000"]]


def test_put_back_it_is_searched_again(searched: SRSegmentationPanel, client: FakeClient) -> None:
    drag(searched, (4, 5, 6))
    searched.ui.resetCropButton.click()
    assert list(searched.parameters.crop.GetCenter()) == GUIDANCE["center"]
    assert not searched.ui.resetCropButton.enabled
    run(searched, client, result(client))
    assert client.requests[-2].options == {}


def test_after_a_run_at_a_given_place_it_can_still_be_put_back(
    searched: SRSegmentationPanel, client: FakeClient
) -> None:
    drag(searched, (4, 5, 6))
    run(searched, client, result(client, guidance=box("guidance", (4.5, 5.5, 5.5), (6, 4, 4))))
    searched.ui.resetCropButton.click()
    assert list(searched.parameters.crop.GetCenter()) == GUIDANCE["center"]


def test_dragged_during_a_run_it_stays_there(searched: SRSegmentationPanel, client: FakeClient) -> None:
    put_under(searched.parameters.inputVolume, shift(100, 0, 0))
    put_under(searched.parameters.crop, shift(100, 0, 0))
    drag(searched, (4, 5, 6))
    searched.run.applyButton.click()
    drag(searched, (8, 9, 10))
    client.end(result(client, guidance=box("guidance", (4.5, 5.5, 5.5), (6, 4, 4))))
    answer(searched)
    assert list(searched.parameters.crop.GetCenter()) == [8, 9, 10]
    told = status(searched).splitlines()[-1]
    assert told.startswith("For this result the guidance crop was at 104.5, 5.5, 5.5 (R, A, S in mm); press Apply")
    assert searched.ui.cropLabel.text.startswith("6 x 4 x 4 mm, moved.")
    # The next run uses it there, and has it lie on whole voxels again.
    run(searched, client, result(client, guidance=box("guidance", (8.5, 9.5, 9.5), (6, 4, 4))))
    assert client.requests[-2].options == {"guidance_center": [8, 9, 10]}
    assert list(searched.parameters.crop.GetCenter()) == [8.5, 9.5, 9.5]
    assert "guidance crop" not in status(searched)
    searched.ui.resetCropButton.click()
    assert list(searched.parameters.crop.GetCenter()) == GUIDANCE["center"]


def test_a_crop_of_another_volume_that_was_dragged_meanwhile_is_placed(
    searched: SRSegmentationPanel, client: FakeClient
) -> None:
    """Its size would not fit."""
    searched.ui.inputSelector.setCurrentNode(volume("CT abdomen"))
    searched.run.applyButton.click()
    searched.parameters.crop.SetCenter(1, 1, 1)
    client.end(result(client, guidance=box("guidance", (4.5, 5.5, 5.5), (2, 2, 2))))
    answer(searched)
    assert list(searched.parameters.crop.GetCenter()) == [4.5, 5.5, 5.5]
    assert list(searched.parameters.crop.GetSize()) == [2, 2, 2]
    assert "guidance crop" not in status(searched)


def test_only_its_place_can_be_changed(searched: SRSegmentationPanel) -> None:
    crop = searched.parameters.crop
    crop.SetSize(1, 9, 2)
    assert list(crop.GetSize()) == GUIDANCE["size"]


def test_hidden(searched: SRSegmentationPanel, client: FakeClient) -> None:
    searched.ui.showCropCheckBox.checked = False
    assert not searched.parameters.crop.GetDisplayVisibility()
    # It is used all the same.
    drag(searched, (4, 5, 6))
    run(searched, client, result(client))
    assert "guidance_center" in client.requests[-2].options
    assert not searched.parameters.crop.GetDisplayVisibility()
    searched.ui.showCropCheckBox.checked = True
    assert searched.parameters.crop.GetDisplayVisibility()


def test_go_to(searched: SRSegmentationPanel) -> None:
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    red = logic.AddSliceNode("Red")
    searched.ui.jumpCropButton.click()
    assert [red.GetSliceToRAS().GetElement(row, 3) for row in range(3)] == GUIDANCE["center"]
    slicer.mrmlScene.RemoveNode(red)


def test_a_crop_of_another_volume_or_model_is_not_used(searched: SRSegmentationPanel, client: FakeClient) -> None:
    crop = searched.parameters.crop
    drag(searched, (4, 5, 6))
    searched.ui.inputSelector.setCurrentNode(volume("CT abdomen"))
    assert not crop.GetDisplayVisibility()
    assert searched.ui.cropLabel.text == "It appears where the search puts it when you press Apply."
    run(searched, client, result(client))
    assert client.requests[-2].options == {}
    # The same node shows the crop of the volume that is segmented now; the results are not comparable.
    assert searched.parameters.crop is crop
    assert list(crop.GetCenter()) == GUIDANCE["center"]
    assert not searched.ui.changeTable.visible
    choose(searched, "tiny-sasr-3d")
    assert not crop.GetDisplayVisibility()


def test_deleted_by_the_user(searched: SRSegmentationPanel, client: FakeClient) -> None:
    slicer.mrmlScene.RemoveNode(searched.parameters.crop)
    answer(searched)
    assert searched.ui.cropLabel.text == "It appears where the search puts it when you press Apply."
    run(searched, client, result(client))
    assert searched.parameters.crop is not None


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


def test_a_crop_under_a_warp_is_refused(searched: SRSegmentationPanel) -> None:
    drag(searched, (4, 5, 6))
    put_under(searched.parameters.crop)
    searched.run.applyButton.click()
    assert "which is not linear" in status(searched)
    assert searched.run.applyButton.text == "Apply"
    searched.forecast.ask()
    assert "which is not linear" in searched.ui.forecastLabel.text


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


def test_nothing_observes_after_cleanup(scene: Any, shown: Any, client: FakeClient) -> None:
    shown.panel.ui.inputSelector.setCurrentNode(volume())
    run(shown.panel, client, result(client))
    shown.cleanup()
    assert shown.panel.Observations == []
    assert shown.panel.crop.Observations == []
    scene.Clear(0)
