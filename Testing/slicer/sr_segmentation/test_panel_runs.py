"""From Apply to the result, and all that can come between."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import panel_env
import pytest
import qt_env
from fake_worker import FakeClient
from module_panel import answer, picture, status, volume
from slicer_env import slicer
from sr_panel import SRSegmentation, cells, choose, cube, lesion, result, run, sharp

if TYPE_CHECKING:
    from SRSegmentationLib.Widget import SRSegmentationPanel


def test_a_run_from_apply_to_result(loaded: SRSegmentationPanel, client: FakeClient) -> None:
    picture(loaded, "sr-loaded")
    loaded.run.applyButton.click()
    assert loaded.run.applyButton.text == "Cancel"
    assert not loaded.ui.inputSelector.enabled
    assert not loaded.ui.resolutionComboBox.enabled
    client.step("inference", 12, 80, 4.2)
    answer(loaded)
    assert status(loaded) == "Segmenting: 12 of 80 (4 s)"
    picture(loaded, "sr-running")
    client.end(result(client))
    answer(loaded)
    assert loaded.run.applyButton.text == "Apply"
    assert loaded.ui.inputSelector.enabled
    assert loaded.ui.resolutionComboBox.enabled
    assert status(loaded) == '"CT chest" segmented in 3.2 s on cuda:0.'
    node = loaded.parameters.result
    assert node.GetName() == "CT chest segmentation"
    assert loaded.ui.show3DButton.segmentationNode() is node
    picture(loaded, "sr-done")


def test_lesions_are_listed_and_jumped_to(loaded: SRSegmentationPanel, client: FakeClient) -> None:
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    red = logic.AddSliceNode("Red")
    choose(loaded, "tiny-sasr-3d")
    lesions = [lesion(1, 1234.0), lesion(2, 64.0, (3.0, 4.0, 5.0)), lesion(3, 7.5)]
    run(loaded, client, result(client, method="sasr", lesions=lesions))
    table = loaded.ui.lesionTable
    assert cells(table) == [
        ["lesion 1", "1.2 mL", "6.2 mm", "93 %"],
        ["lesion 2", "64 mm³", "6.2 mm", "93 %"],
        ["lesion 3", "7.5 mm³", "6.2 mm", "93 %"],
    ]
    assert status(loaded).endswith("Lesions: 3.")
    table.selectRow(1)
    assert [red.GetSliceToRAS().GetElement(row, 3) for row in range(3)] == [3, 4, 5]
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, 9, 9, 9, slicer.vtkMRMLSliceNode.CenteredJumpSlice)
    table.cellClicked.emit(1, 0)
    assert [red.GetSliceToRAS().GetElement(row, 3) for row in range(3)] == [3, 4, 5]
    picture(loaded, "sr-lesions")
    node = loaded.parameters.lesions
    assert node.GetName() == "CT chest lesions"
    # The next run fills the same table.
    run(loaded, client, result(client, method="sasr", lesions=[lesion(1)]))
    assert loaded.parameters.lesions is node
    assert len(cells(table)) == 1
    # Those of another volume are not shown, nor overwritten.
    loaded.ui.inputSelector.setCurrentNode(volume("other"))
    assert cells(table) == []
    run(loaded, client, result(client, method="sasr", lesions=[lesion(1), lesion(2)]))
    assert loaded.parameters.lesions is not node
    assert len(cells(table)) == 2
    node = loaded.parameters.lesions
    slicer.mrmlScene.RemoveNode(node)
    loaded.changed()
    assert cells(table) == []
    slicer.mrmlScene.RemoveNode(red)


def test_a_lesion_under_a_transform_is_jumped_to_where_it_is_seen(scene: Any) -> None:
    from scene_helpers import put_under, shift

    from SRSegmentationLib.Lesions import jumpToLesion, tableFromResult

    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLScene(scene)
    red = logic.AddSliceNode("Red")
    node = volume()
    put_under(node, shift(100, 0, -20))
    jumpToLesion(tableFromResult([lesion(1, center=(1.0, 2.0, 3.0))], node), 0)
    assert [red.GetSliceToRAS().GetElement(row, 3) for row in range(3)] == [101, 2, -17]
    scene.RemoveNode(red)


def test_the_super_resolved_image_is_shown_beside_the_input(
    loaded: SRSegmentationPanel, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(
        "HighResSegmentationLib.Views.showSideBySide", lambda a, b: shown.append(f"{a.GetName()}, {b.GetName()}")
    )
    display = loaded.parameters.inputVolume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(80, 40)
    loaded.ui.superResolveCheckBox.checked = True
    run(loaded, client, result(client, super_resolved=sharp(client)))
    image = loaded.parameters.superResolved
    assert shown == ["CT chest, CT chest super-resolved"]
    assert image.GetImageData().GetDimensions() == (32, 32, 32)
    # Grey values as in the input: whole numbers, the same window.
    array = slicer.util.arrayFromVolume(image)
    assert array.dtype == np.int16
    assert array.max() == 109
    assert (image.GetDisplayNode().GetWindow(), image.GetDisplayNode().GetLevel()) == (80, 40)
    loaded.ui.sideBySideButton.click()
    assert len(shown) == 2
    # The next run on the same volume takes the same node; that of another volume has its own.
    run(loaded, client, result(client, super_resolved=sharp(client)))
    assert loaded.parameters.superResolved is image
    loaded.ui.inputSelector.setCurrentNode(volume("other"))
    run(loaded, client, result(client, super_resolved=sharp(client)))
    assert loaded.parameters.superResolved is not image
    assert image.GetScene() is not None


def test_nothing_found_is_explained(loaded: SRSegmentationPanel, client: FakeClient) -> None:
    run(loaded, client, result(client, 0 * cube()))
    assert status(loaded).startswith('Nothing was found in "CT chest"')
    assert loaded.parameters.result is None
    # The crop, which may be why, can be dragged all the same.
    assert loaded.parameters.crop is not None


def test_errors_are_shown_with_advice(loaded: SRSegmentationPanel, client: FakeClient) -> None:
    loaded.run.applyButton.click()
    client.fail("no_memory", "Memory ran out.", "Close other programs, or choose a smaller image, model or device.")
    answer(loaded)
    assert status(loaded) == "Memory ran out. Close other programs, or choose a smaller image, model or device."
    assert loaded.run.warningLabel.visible
    assert loaded.run.applyButton.enabled


def test_cancel(loaded: SRSegmentationPanel, client: FakeClient) -> None:
    loaded.run.applyButton.click()
    loaded.run.applyButton.click()
    assert client.cancelled == 1
    client.fail("cancelled", "Canceled; nothing was changed.")
    answer(loaded)
    assert status(loaded) == "Canceled; nothing was changed."
    assert loaded.ui.resolutionComboBox.enabled


def test_scene_closed_during_a_run(shown: Any, client: FakeClient) -> None:
    panel = shown.panel
    panel.ui.inputSelector.setCurrentNode(volume())
    panel.run.applyButton.click()
    slicer.mrmlScene.Clear(0)
    assert client.cancelled == 1
    assert "scene was closed" in status(panel)
    client.end(result(client))
    answer(panel)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_a_run_goes_on_while_another_module_is_shown(shown: Any, client: FakeClient) -> None:
    panel = shown.panel
    panel.ui.inputSelector.setCurrentNode(volume())
    panel.run.applyButton.click()
    shown.exit()
    client.end(result(client))
    answer(panel)
    assert panel.parameters is None
    shown.enter()
    assert panel.parameters.result.GetName() == "CT chest segmentation"
    assert panel.ui.cropLabel.text.startswith("6 x 4 x 4 mm, where the search put it.")


def test_with_the_genuine_worker(scene: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From the press on Apply to lesions, segmentation and sharper image, by the panel's own timer alone."""
    from HighResSegmentationLib import Models
    from HighResSegmentationLib.Jobs import sharedJobs
    from SRSegmentationLib import Logic
    from SRSegmentationLib.TinyModels import writeSasr

    entry = Models.ModelEntry(writeSasr(tmp_path / "sasr.safetensors"), "tiny-sasr-3d", "Lesions", "sasr")
    monkeypatch.setattr(Models, "listModels", lambda methods: [entry])
    monkeypatch.setattr(Logic, "sharedJobs", sharedJobs)
    node = volume()
    widget = SRSegmentation.SRSegmentationWidget(panel_env.window())
    widget.setup()
    widget.enter()
    widget.panel.ui.superResolveCheckBox.checked = True
    widget.panel.run.applyButton.click()
    deadline = time.monotonic() + 60
    while widget.panel.run.running and time.monotonic() < deadline:
        panel_env.spin(1)
        time.sleep(0.02)
    assert status(widget.panel).startswith('"CT chest" segmented')
    parameters = widget.panel.parameters
    found = slicer.util.arrayFromSegmentBinaryLabelmap(parameters.result, "Segment_1", node) > 0
    assert (found == (slicer.util.arrayFromVolume(node) > 50)).all()
    assert cells(widget.panel.ui.lesionTable)[0][:2] == ["bright object 1", "64 mm³"]
    assert parameters.superResolved.GetImageData().GetDimensions() == (32, 32, 32)
    widget.cleanup()
    assert not qt_env.errors
