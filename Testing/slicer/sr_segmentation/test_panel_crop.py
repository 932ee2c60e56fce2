"""The guidance crop in the panel: it appears, is dragged, put back, hidden; and what changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fake_worker import FakeClient, box
from module_panel import answer, picture, status, volume
from scene_helpers import put_under, shift
from slicer_env import slicer
from sr_panel import GUIDANCE, cells, choose, cube, drag, result, run

if TYPE_CHECKING:
    from SRSegmentationLib.Widget import SRSegmentationPanel


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


def test_a_crop_under_a_warp_is_refused(searched: SRSegmentationPanel) -> None:
    drag(searched, (4, 5, 6))
    put_under(searched.parameters.crop)
    searched.run.applyButton.click()
    assert "which is not linear" in status(searched)
    assert searched.run.applyButton.text == "Apply"
    searched.forecast.ask()
    assert "which is not linear" in searched.ui.forecastLabel.text


def test_nothing_observes_after_cleanup(scene: Any, shown: Any, client: FakeClient) -> None:
    shown.panel.ui.inputSelector.setCurrentNode(volume())
    run(shown.panel, client, result(client))
    shown.cleanup()
    assert shown.panel.Observations == []
    assert shown.panel.crop.Observations == []
    scene.Clear(0)
