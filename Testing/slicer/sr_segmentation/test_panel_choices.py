"""What a user chooses in the panel, and what the panel says about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fake_worker import FakeClient
from module_panel import answer, picture, silent_controls, status, volume
from slicer_env import slicer
from sr_panel import choose, result, run

if TYPE_CHECKING:
    from SRSegmentationLib.Widget import SRSegmentationPanel


def test_empty_scene(panel: SRSegmentationPanel) -> None:
    assert not panel.run.applyButton.enabled
    assert panel.run.applyButton.toolTip == status(panel) == "Choose the volume to segment."
    assert not panel.ui.sideBySideButton.enabled
    assert not panel.ui.resetCropButton.enabled
    picture(panel, "sr-empty")


def test_every_control_says_what_it_does(panel: SRSegmentationPanel) -> None:
    assert silent_controls(panel.ui.SRSegmentation) == []


def test_both_methods_are_in_one_list(loaded: SRSegmentationPanel) -> None:
    box = loaded.models.comboBox
    assert [box.itemText(n) for n in range(box.count)] == ["Head and neck in CT (PFSeg)", "Lesions (SASR-Net)"]
    assert loaded.models.entry.method == "pfseg"
    assert loaded.ui.cropButton.visible
    assert not loaded.ui.lesionsButton.visible
    choose(loaded, "tiny-sasr-3d")
    assert not loaded.ui.cropButton.visible
    assert loaded.ui.lesionsButton.visible


def test_the_size_of_the_result(loaded: SRSegmentationPanel) -> None:
    assert loaded.ui.sizeLabel.text == "16 x 16 x 16 voxels of 1 x 1 x 1 mm"
    loaded.ui.resolutionComboBox.setCurrentIndex(1)
    assert loaded.ui.sizeLabel.text == "32 x 32 x 32 voxels of 0.5 x 0.5 x 0.5 mm"


def test_choices_go_to_the_worker(loaded: SRSegmentationPanel, client: FakeClient) -> None:
    run(loaded, client, result(client))
    request = client.requests[-2]
    assert request.options == {}
    assert not request.lesions
    loaded.ui.resolutionComboBox.setCurrentIndex(1)
    loaded.ui.superResolveCheckBox.checked = True
    choose(loaded, "tiny-sasr-3d")
    loaded.run.applyButton.click()
    request = client.requests[-1]
    assert Path(request.model).name == "sasr.safetensors"
    assert request.options == {"resolution": "fine", "super_resolved": True}
    assert request.lesions
    client.fail("cancelled", "Canceled.")
    answer(loaded)


def test_the_forecast_is_of_these_choices(loaded: SRSegmentationPanel, client: FakeClient) -> None:
    assert loaded.ui.forecastLabel.text == "1.2 GB of 14.2 GB free on cuda:0, about 12 s"
    asked = len(client.requests)
    loaded.forecast.ask()
    assert len(client.requests) == asked
    loaded.ui.resolutionComboBox.setCurrentIndex(1)
    loaded.forecast.ask()
    assert client.requests[-1].options == {"resolution": "fine"}


def test_what_the_model_does_not_offer_is_greyed_with_a_reason(loaded: SRSegmentationPanel, monkeypatch: Any) -> None:
    from SRSegmentationLib import Widget
    from SRSegmentationLib.ModelFacts import ModelFacts

    loaded.ui.superResolveCheckBox.checked = True
    loaded.ui.resolutionComboBox.setCurrentIndex(1)
    monkeypatch.setattr(Widget, "_factsOf", lambda entry: ModelFacts("pfseg", (1, 1, 1)))
    loaded._facts = (None, None)
    loaded.changed()
    assert not loaded.ui.resolutionComboBox.enabled
    assert loaded.ui.resolutionComboBox.toolTip == "This model makes no results finer than the image."
    assert not loaded.ui.superResolveCheckBox.enabled
    assert "without the part that sharpens" in loaded.ui.superResolveCheckBox.toolTip
    assert loaded.ui.cropLabel.text == "This model uses no guidance crop."
    assert not loaded.ui.showCropCheckBox.enabled
    assert loaded.settings().options == {}


def test_a_damaged_model_is_said(loaded: SRSegmentationPanel, monkeypatch: Any) -> None:
    from SRSegmentationLib import Widget

    monkeypatch.setattr(Widget, "read_header", lambda path: {"method": "pfseg", "dimension": "three"})
    loaded._facts = (None, None)
    loaded.changed()
    assert status(loaded) == 'The settings of the model "tiny-pfseg-3d" are damaged; get its file again.'
    assert not loaded.run.applyButton.enabled


def test_a_finer_result_uses_no_crop(loaded: SRSegmentationPanel, client: FakeClient) -> None:
    run(loaded, client, result(client))
    assert loaded.parameters.crop.GetDisplayVisibility()
    loaded.ui.resolutionComboBox.setCurrentIndex(1)
    assert not loaded.parameters.crop.GetDisplayVisibility()
    assert loaded.ui.cropLabel.text.startswith("A result finer than the image uses no guidance crop")
    assert not loaded.ui.showCropCheckBox.enabled
    loaded.ui.resolutionComboBox.setCurrentIndex(0)
    assert loaded.parameters.crop.GetDisplayVisibility()


def test_choices_follow_the_scene(shown: Any, client: FakeClient, tmp_path: Path) -> None:
    """Saved, closed and loaded, the panel shows them again."""
    panel = shown.panel
    panel.ui.inputSelector.setCurrentNode(volume())
    run(panel, client, result(client))
    panel.ui.superResolveCheckBox.checked = True
    slicer.util.saveScene(str(tmp_path / "s.mrb"))
    slicer.mrmlScene.Clear(0)
    assert panel.parameters.crop is None
    assert not panel.ui.superResolveCheckBox.checked
    slicer.util.loadScene(str(tmp_path / "s.mrb"))
    assert panel.ui.inputSelector.currentNode().GetName() == "CT chest"
    assert panel.ui.superResolveCheckBox.checked
    assert panel.parameters.result.GetName() == "CT chest segmentation"
    assert panel.ui.cropLabel.text.startswith("6 x 4 x 4 mm, where the search put it.")
