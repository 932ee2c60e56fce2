"""The table of boxes, and drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cascade_panel import answer, qt, roi, status, tick, volume
from fake_worker import FakeClient, box
from slicer_env import slicer

if TYPE_CHECKING:
    from CropCascadeLib.Widget import CropCascadePanel


def test_proposed_boxes_are_listed_and_used(loaded: CropCascadePanel, client: FakeClient) -> None:
    loaded.ui.proposeButton.click()
    client.end({"boxes": [box("object 1", (8, 8, 8), (6, 4, 2)), box("object 2", (3, 3, 3), (2, 2, 2))]})
    answer(loaded)
    table = loaded.ui.boxTable
    assert [table.item(row, 0).text() for row in range(table.rowCount)] == ["object 1", "object 2"]
    assert table.item(0, 1).text() == "6 x 4 x 2 mm"
    assert [node.GetName() for node in loaded.usedBoxes] == ["object 1", "object 2"]
    assert status(loaded).startswith("2 boxes proposed")
    assert loaded.ui.addProposalsCheckBox.enabled


def test_only_ticked_boxes_are_sent(loaded: CropCascadePanel, client: FakeClient) -> None:
    loaded.parameters.boxes = [roi("a"), roi("b")]
    tick(loaded, 0, False)
    assert [node.GetName() for node in loaded.usedBoxes] == ["b"]
    loaded.run.applyButton.click()
    assert [entry.name for entry in client.requests[-1].boxes] == ["b"]
    assert not client.requests[-1].propose


def test_the_worker_is_told_which_proposals_nobody_has_edited(loaded: CropCascadePanel, client: FakeClient) -> None:
    loaded.ui.proposeButton.click()
    client.end({"boxes": [box("object 1", (8, 8, 8), (6, 4, 2)), box("object 2", (3, 3, 3), (2, 2, 2))]})
    answer(loaded)
    loaded.usedBoxes[0].SetCenter(9, 8, 8)
    loaded.parameters.boxes = [*loaded.usedBoxes, roi("drawn")]
    loaded.run.applyButton.click()
    told = {entry.name: entry.proposed for entry in client.requests[-1].boxes}
    assert told == {"object 1": False, "object 2": True, "drawn": False}


def test_boxes_of_other_modules_are_listed_but_not_used(loaded: CropCascadePanel) -> None:
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Crop Volume ROI")
    assert loaded.ui.boxTable.rowCount == 1
    assert loaded.ui.boxTable.item(0, 0).checkState() == qt.Qt.Unchecked
    assert loaded.usedBoxes == []


def test_what_is_no_box_of_the_user_s_is_not_listed(loaded: CropCascadePanel) -> None:
    for hidden, attribute in ((True, None), (False, "{}")):
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLMarkupsROINode")
        node.UnRegister(None)
        node.SetHideFromEditors(hidden)
        node.SetAttribute("HighResSegmentation.Searched", attribute)
        slicer.mrmlScene.AddNode(node)
    assert loaded.ui.boxTable.rowCount == 0


def test_rename_hide_jump_delete(loaded: CropCascadePanel) -> None:
    node = roi("a")
    loaded.parameters.boxes = [node]
    table = loaded.ui.boxTable
    table.item(0, 0).setText("left lesion")
    assert node.GetName() == "left lesion"
    table.cellWidget(0, 2).click()
    assert not node.GetDisplayVisibility()
    table.cellWidget(0, 2).click()
    assert node.GetDisplayVisibility()
    table.cellWidget(0, 3).click()
    table.cellWidget(0, 4).click()
    assert table.rowCount == 0
    assert loaded.usedBoxes == []
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsROINode") == 0


def test_jump_moves_the_slices(loaded: CropCascadePanel) -> None:
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    red = logic.AddSliceNode("Red")
    roi("a").SetCenter(3, 4, 5)
    loaded.ui.boxTable.cellWidget(0, 3).click()
    assert [red.GetSliceToRAS().GetElement(row, 3) for row in range(3)] == [3, 4, 5]
    slicer.mrmlScene.RemoveNode(red)


def test_the_size_follows_the_box(loaded: CropCascadePanel) -> None:
    node = roi("a")
    node.SetSize(31, 20, 12)
    assert loaded.ui.boxTable.item(0, 1).text() == "31 x 20 x 12 mm"


def test_drawing(loaded: CropCascadePanel) -> None:
    interaction = slicer.mrmlScene.GetSingletonNode("Singleton", "vtkMRMLInteractionNode")
    loaded.ui.drawButton.click()
    assert loaded.ui.drawButton.checked
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    node = slicer.util.getNodesByClass("vtkMRMLMarkupsROINode")[0]
    assert loaded.ui.boxTable.item(0, 1).text() == "being drawn"
    node.SetSize(5, 6, 0)
    node.SetCenter(8, 8, 8)
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)
    assert not loaded.ui.drawButton.checked
    assert loaded.usedBoxes == [node]
    assert node.GetSize()[2] == 5


@pytest.mark.parametrize("leave", ["button", "exit", "apply", "close"])
def test_place_mode_is_left_and_nothing_half_drawn_stays(shown: Any, leave: str) -> None:
    panel = shown.panel
    panel.ui.inputSelector.setCurrentNode(volume())
    interaction = slicer.mrmlScene.GetSingletonNode("Singleton", "vtkMRMLInteractionNode")
    panel.ui.drawButton.click()
    {
        "button": panel.ui.drawButton.click,
        "exit": shown.exit,
        "apply": panel.run.applyButton.click,
        "close": lambda: slicer.mrmlScene.Clear(0),
    }[leave]()
    assert interaction.GetCurrentInteractionMode() != interaction.Place
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsROINode") == 0
    assert not panel.ui.drawButton.checked
