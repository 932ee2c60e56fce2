"""What a user chooses in the panel, and what the panel says about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cascade_panel import answer, picture, qt, roi, status, volume
from fake_worker import FakeClient
from module_panel import silent_controls
from slicer_env import slicer

from hrseg.worker.messages import Failed, SegmentRequest

if TYPE_CHECKING:
    from CropCascadeLib.Widget import CropCascadePanel


def test_empty_scene(panel: CropCascadePanel) -> None:
    assert not panel.run.applyButton.enabled
    assert panel.run.applyButton.toolTip == status(panel) == "Choose the volume to segment."
    assert not panel.ui.proposeButton.enabled
    assert not panel.ui.drawButton.enabled
    picture(panel, "empty")


def test_every_control_says_what_it_does(panel: CropCascadePanel) -> None:
    assert silent_controls(panel.ui.CropCascade) == []


def test_the_first_volume_and_a_model_that_fits_are_chosen(shown: Any) -> None:
    # Without a volume it is the first of the list; nobody has chosen it, so it gives way.
    assert shown.panel.models.entry is shown.panel.models.entries[0]
    assert shown.panel.models.entry.dimension == 2
    node = volume()
    shown.exit()
    shown.enter()
    assert shown.panel.ui.inputSelector.currentNode() is node
    assert shown.panel.models.entry.dimension == 3
    assert shown.panel.run.applyButton.enabled


def test_a_model_that_the_user_has_chosen_stays(shown: Any) -> None:
    shown.panel._modelChosen("nuclei-crop-cascade")
    shown.panel.parameters.inputVolume = volume()
    assert shown.panel.models.entry.name == "nuclei-crop-cascade"


def test_the_model_of_the_last_run_is_chosen_again(loaded: CropCascadePanel, scene: Any, client: FakeClient) -> None:
    loaded._modelChosen("nuclei-crop-cascade")
    loaded.run.applyButton.click()
    client.fail("cancelled", "Canceled.")
    answer(loaded)
    scene.Clear(0)
    assert loaded.models.entry is not None
    assert loaded.models.entry.name == "nuclei-crop-cascade"


def test_the_model_says_what_it_is(panel: CropCascadePanel) -> None:
    panel._modelChosen("nuclei-crop-cascade")
    text = panel.models.detailsLabel.text
    assert "cell nucleus" in text
    assert "Dice 0.88 on 60 held-out images" in text
    assert "Apache-2.0" in text


def test_devices_and_forecast(loaded: CropCascadePanel, client: FakeClient) -> None:
    box = loaded.ui.deviceComboBox
    assert [box.itemText(n) for n in range(box.count)] == [
        "Automatic",
        "NVIDIA RTX A4000 (14.2 GB free)",
        "CPU (8 cores) (21.4 GB free)",
    ]
    assert loaded.ui.forecastLabel.text == "1.2 GB of 14.2 GB free on cuda:0, about 12 s"
    asked = len(client.requests)
    loaded.forecast.ask()
    assert len(client.requests) == asked
    box.setCurrentIndex(2)
    box.activated.emit(2)
    assert loaded.parameters.device == "cpu"
    loaded.forecast.ask()
    assert client.requests[-1].device == "cpu"


def test_forecast_in_words() -> None:
    from HighResSegmentationLib.ForecastPanel import forecastText

    text = forecastText({"bytes": 3 * 2**30, "free_bytes": 2**30, "seconds": None, "device": "cpu"})
    assert text == "3.0 GB of 1.0 GB free on cpu; it will be done in smaller parts"


def test_no_inference_is_said_with_the_way_out(panel: CropCascadePanel, client: FakeClient) -> None:
    client.devices = Failed(1, "internal", "There is no torch.")
    panel._setUpChanged(None)
    answer(panel)
    assert panel.ui.forecastLabel.text == "There is no torch. See Set up..."


def test_options_go_to_the_worker(loaded: CropCascadePanel, client: FakeClient) -> None:
    loaded.ui.contextSlider.value = 30
    loaded.ui.mergeComboBox.setCurrentIndex(1)
    loaded.ui.instancesCheckBox.checked = True
    loaded.run.applyButton.click()
    request = client.requests[-1]
    assert isinstance(request, SegmentRequest)
    assert request.inference == {"context": 0.3, "merge": "max"}
    assert request.instances
    assert request.propose
    client.fail("cancelled", "Canceled.")
    answer(loaded)
    loaded.ui.modelValuesButton.click()
    assert (loaded.parameters.context, loaded.parameters.threshold) == (15.0, 0.4)
    assert loaded.ui.contextSlider.value == 15


def test_choices_follow_the_scene(shown: Any, tmp_path: Path) -> None:
    """Saved, closed and loaded, the panel shows them again."""
    panel = shown.panel
    volume("CT abdomen")
    panel.ui.inputSelector.setCurrentNode(volume())
    panel.parameters.boxes = [roi("a")]
    panel.ui.thresholdSlider.value = 0.7
    panel.ui.addProposalsCheckBox.checked = True
    slicer.util.saveScene(str(tmp_path / "s.mrb"))
    slicer.mrmlScene.Clear(0)
    assert panel.parameters.boxes == []
    assert panel.ui.boxTable.rowCount == 0
    assert not panel.ui.addProposalsCheckBox.checked
    slicer.util.loadScene(str(tmp_path / "s.mrb"))
    assert panel.ui.inputSelector.currentNode().GetName() == "CT chest"
    assert panel.ui.thresholdSlider.value == 0.7
    assert panel.ui.addProposalsCheckBox.checked
    assert [node.GetName() for node in panel.usedBoxes] == ["a"]
    assert panel.ui.boxTable.item(0, 0).checkState() == qt.Qt.Checked
