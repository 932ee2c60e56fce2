"""From Apply to the result, and all that can come between."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import panel_env
import pytest
import qt_env
from cascade_panel import CropCascade, answer, labels, picture, qt, roi, status, volume
from fake_worker import FakeClient, box
from slicer_env import slicer

if TYPE_CHECKING:
    from CropCascadeLib.Widget import CropCascadePanel


def test_a_run_from_apply_to_result(loaded: CropCascadePanel, client: FakeClient) -> None:
    loaded.parameters.boxes = [roi("lesion 1"), roi("lesion 2", 6)]
    picture(loaded, "loaded")
    loaded.run.applyButton.click()
    assert loaded.run.applyButton.text == "Cancel"
    assert not loaded.ui.proposeButton.enabled
    assert not loaded.ui.inputSelector.enabled
    client.step("crops", 12, 80, 4.2)
    answer(loaded)
    assert status(loaded) == "Segmenting boxes: 12 of 80 (4 s)"
    assert loaded.run.progressBar.value == 12
    assert loaded.run.progressBar.maximum == 80
    picture(loaded, "running")
    client.end(labels(client))
    answer(loaded)
    assert loaded.run.applyButton.text == "Apply"
    assert loaded.ui.proposeButton.enabled
    assert loaded.ui.inputSelector.enabled
    assert status(loaded).startswith('"CT chest" segmented')
    result = loaded.parameters.result
    assert result.GetName() == "CT chest segmentation"
    assert loaded.ui.show3DButton.segmentationNode() is result
    assert not loaded.run.progressBar.visible
    loaded.ui.optionsButton.collapsed = False
    picture(loaded, "done")


def test_the_next_result_does_not_cover_the_last_one(loaded: CropCascadePanel, client: FakeClient) -> None:
    results = []
    for _ in range(2):
        loaded.run.applyButton.click()
        client.end(labels(client))
        answer(loaded)
        results.append(loaded.parameters.result)
    assert results[0] is not results[1]
    assert [bool(node.GetDisplayVisibility()) for node in results] == [False, True]


def test_nothing_found_is_explained(loaded: CropCascadePanel, client: FakeClient) -> None:
    loaded.run.applyButton.click()
    client.end({**labels(client, 0), "boxes": []})
    answer(loaded)
    assert status(loaded).startswith('No object found in "CT chest"')
    assert loaded.parameters.result is None


def test_errors_are_shown_with_advice(loaded: CropCascadePanel, client: FakeClient) -> None:
    loaded.run.applyButton.click()
    client.fail("no_memory", "Memory ran out.", "Close other programs, or choose a smaller image, model or device.")
    answer(loaded)
    assert status(loaded) == "Memory ran out. Close other programs, or choose a smaller image, model or device."
    assert loaded.run.warningLabel.visible
    assert loaded.run.applyButton.enabled
    loaded.run.logButton.collapsed = False
    assert "Memory ran out." in loaded.run.logText.plainText
    picture(loaded, "error")


def test_a_run_of_another_module_is_not_disturbed(loaded: CropCascadePanel, client: FakeClient) -> None:
    told: list[Any] = []
    loaded.logic.startPropose(loaded.parameters.inputVolume, loaded.settings(), [], told.append, told.append)
    loaded.run.applyButton.click()
    assert "still running" in status(loaded)
    assert loaded.run.applyButton.text == "Apply"
    client.end({"boxes": []})
    answer(loaded)
    assert len(told) == 1


def test_cancel(loaded: CropCascadePanel, client: FakeClient) -> None:
    loaded.run.applyButton.click()
    loaded.run.applyButton.click()
    assert client.cancelled == 1
    assert not loaded.run.applyButton.enabled
    client.fail("cancelled", "Canceled; nothing was changed.")
    answer(loaded)
    assert status(loaded) == "Canceled; nothing was changed."
    assert not loaded.run.warningLabel.visible
    assert loaded.run.applyButton.enabled


def test_scene_closed_during_a_run(shown: Any, client: FakeClient) -> None:
    panel = shown.panel
    panel.ui.inputSelector.setCurrentNode(volume())
    panel.run.applyButton.click()
    slicer.mrmlScene.Clear(0)
    assert client.cancelled == 1
    assert "scene was closed" in status(panel)
    client.end(labels(client))
    answer(panel)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert panel.run.applyButton.text == "Apply"


def test_a_run_goes_on_while_another_module_is_shown(shown: Any, client: FakeClient) -> None:
    panel = shown.panel
    panel.ui.inputSelector.setCurrentNode(volume())
    panel.run.applyButton.click()
    shown.exit()
    client.end(labels(client))
    answer(panel)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1
    assert panel.parameters is None
    shown.enter()
    assert panel.ui.inputSelector.currentNode().GetName() == "CT chest"
    first = panel.parameters.result
    assert first.GetName() == "CT chest segmentation"
    assert panel.ui.show3DButton.segmentationNode() is first
    answer(panel)
    panel.run.applyButton.click()
    shown.exit()
    client.end(labels(client))
    answer(panel)
    shown.enter()
    assert panel.parameters.result is not first
    assert not first.GetDisplayVisibility()


def test_boxes_proposed_while_another_module_is_shown_are_there(shown: Any, client: FakeClient) -> None:
    panel = shown.panel
    panel.ui.inputSelector.setCurrentNode(volume())
    panel.parameters.boxes = [roi("mine")]
    panel.ui.proposeButton.click()
    shown.exit()
    client.end({"boxes": [box("object 1", (2.0, 2.0, 2.0), (3.0, 3.0, 3.0))]})
    answer(panel)
    shown.enter()
    assert len(panel.parameters.boxes) == 2
    assert panel.parameters.boxes[0].GetName() == "mine"


def test_what_cannot_be_started_leaves_no_bar(
    loaded: CropCascadePanel, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded, "settings", lambda: {}["missing"])
    loaded.run.applyButton.click()
    assert not loaded.run.running
    assert not loaded.run.progressBar.visible
    assert status(loaded).startswith("Something unexpected happened")
    assert "KeyError" in loaded.logic.jobs.log[-1]
    assert "Traceback" in loaded.logic.jobs.log[-1]


def test_the_timer_polls_while_there_is_something_to_do(loaded: CropCascadePanel, client: FakeClient) -> None:
    loaded.run.applyButton.click()
    assert loaded.run._timer.active
    client.fail("cancelled", "Canceled.")
    answer(loaded)
    assert not loaded.run._timer.active


def test_the_log_is_saved_and_copied(panel: CropCascadePanel, tmp_path: Path) -> None:
    panel.logic.jobs.write("hello")
    panel.run._askPath = lambda: str(tmp_path / "log.txt")
    panel.run.saveLogButton.click()
    assert "hello" in (tmp_path / "log.txt").read_text()
    panel.run._askPath = lambda: str(tmp_path / "missing" / "log.txt")
    panel.run.saveLogButton.click()
    assert "no folder" in status(panel)
    panel.run.copyLogButton.click()
    assert "hello" in qt.QApplication.clipboard().text()


def test_reloading_the_module_ends_its_run(shown: Any, client: FakeClient) -> None:
    shown.panel.ui.inputSelector.setCurrentNode(volume())
    shown.panel.run.applyButton.click()
    shown.cleanup()
    assert client.cancelled == 1
    assert not shown.logic.jobs.busy
    assert not shown.panel.run._timer.active


def test_nothing_observes_after_cleanup(scene: Any, shown: Any) -> None:
    shown.cleanup()
    assert shown.panel.Observations == []
    assert shown.panel.boxes.Observations == []
    volume()
    scene.Clear(0)


def test_set_up_is_opened(panel: CropCascadePanel) -> None:
    opened: list[Any] = []
    panel._openSetup = opened.append
    panel.ui.setupButton.click()
    opened[0](SimpleNamespace(ok=True))
    answer(panel)
    assert panel.logic.jobs._stale is False


def test_with_the_genuine_worker(scene: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From the press on Apply to the segmentation, by the panel's own timer alone."""
    from CropCascadeLib import Logic
    from CropCascadeLib.ThresholdModel import writeThresholdModel
    from HighResSegmentationLib import Models
    from HighResSegmentationLib.Jobs import sharedJobs

    file = writeThresholdModel(tmp_path / "threshold.safetensors", size=16)
    monkeypatch.setattr(Models, "listModels", lambda method: [Models.ModelEntry(file, "threshold-3d", "Threshold")])
    monkeypatch.setattr(Logic, "sharedJobs", sharedJobs)
    node = volume()
    widget = CropCascade.CropCascadeWidget(panel_env.window())
    widget.setup()
    widget.enter()
    widget.panel.run.applyButton.click()
    deadline = time.monotonic() + 60
    while widget.panel.run.running and time.monotonic() < deadline:
        panel_env.spin(1)
        time.sleep(0.02)
    assert status(widget.panel).startswith('"CT chest" segmented')
    result = widget.panel.parameters.result
    found = slicer.util.arrayFromSegmentBinaryLabelmap(result, "Segment_1", node) > 0
    truth = slicer.util.arrayFromVolume(node) > 50
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.9
    widget.cleanup()
    assert not qt_env.errors
