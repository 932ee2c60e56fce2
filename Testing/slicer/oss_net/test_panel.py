"""The panel from the choices to the results, and all that can come between."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fake_worker import FakeClient
from module_panel import answer, picture, silent_controls, status
from oss_panel import apply, labels, volume
from slicer_env import slicer

from hrseg.worker.messages import SampleRequest, SurfaceRequest

if TYPE_CHECKING:
    from OSSNetLib.Widget import OSSNetPanel


def region(start: tuple[int, int, int] = (4, 4, 4), stop: tuple[int, int, int] = (8, 12, 12)) -> Any:
    from OSSNetLib.Phantom import phantomRegion

    return phantomRegion(slicer.util.getNode("T1 brain"), start, stop)


def test_empty_scene(panel: OSSNetPanel) -> None:
    assert not panel.run.applyButton.enabled
    assert panel.run.applyButton.toolTip == status(panel) == "Choose the volume to segment."
    assert not panel.ui.closerButton.enabled
    assert panel.ui.sizeLabel.text == ""
    picture(panel, "oss-empty")


def test_every_control_says_what_it_does(panel: OSSNetPanel) -> None:
    assert silent_controls(panel.ui.OSSNet) == []


def test_apply_encodes_and_shows_the_field_at_the_inputs_spacing(loaded: OSSNetPanel, client: FakeClient) -> None:
    loaded.ui.factorSlider.value = 4
    loaded.run.applyButton.click()
    request = client.requests[-1]
    assert isinstance(request, SampleRequest)
    assert (request.grid, request.level, request.labels, request.what) == (None, None, (), "label_map")
    assert loaded.run.applyButton.text == "Cancel"
    client.step("encoding", 0, 1, 0.4)
    answer(loaded)
    assert status(loaded) == "Encoding the image (0 s)"
    assert not loaded.ui.closerButton.enabled
    picture(loaded, "oss-running")
    client.end(labels(client))
    answer(loaded)
    assert loaded.parameters.result.GetName() == "T1 brain segmentation 0.5 x 0.5 x 2 mm"
    assert loaded.ui.closerButton.enabled
    assert status(loaded) == '"T1 brain segmentation 0.5 x 0.5 x 2 mm" made in 3.2 s on cuda:0.'
    assert loaded.ui.forecastLabel.text.startswith("1.2 GB of 14.2 GB free")
    picture(loaded, "oss-applied")


def test_size_and_memory_are_shown_before(loaded: OSSNetPanel) -> None:
    loaded.ui.factorSlider.value = 4
    # 64^3 voxels, two bytes for labels, four for each of two probabilities.
    text = "0.125 x 0.125 x 0.5 mm\n64 x 64 x 64 voxels\nLabel map below 1 MB, probability 2 MB"
    assert loaded.ui.sizeLabel.text == text
    loaded.ui.equalSpacingCheckBox.checked = True
    assert loaded.ui.sizeLabel.text == "0.125 mm\n64 x 64 x 256 voxels\nLabel map 2 MB, probability 8 MB"
    loaded.parameters.region = region()
    assert loaded.ui.sizeLabel.text.startswith("0.125 mm\n32 x 32 x 64 voxels")
    loaded.parameters.region.SetSize(2, 2, 2)
    assert loaded.ui.sizeLabel.text.startswith("0.125 mm\n16 x 16 x 16 voxels")
    loaded.parameters.region.SetCenter(500, 0, 0)
    assert 'The box "region" lies wholly outside' in loaded.ui.sizeLabel.text


def test_looking_closer(loaded: OSSNetPanel, client: FakeClient) -> None:
    apply(loaded, client)
    loaded.ui.factorSlider.value = 2
    loaded.ui.ownLevelCheckBox.checked = True
    assert loaded.ui.levelSlider.enabled
    loaded.ui.levelSlider.value = 0.3
    box = loaded.ui.labelComboBox
    assert [box.itemText(n) for n in range(box.count)] == [
        "All labels",
        "anterior hippocampus",
        "posterior hippocampus",
    ]
    box.setCurrentIndex(2)
    box.activated.emit(2)
    loaded.parameters.region = region()
    expected = {"labelMap": "label_map", "probability": "probability", "segmentation": "label_map"}
    for button, what in expected.items():
        getattr(loaded.ui, f"{button}Button").click()
        request = client.requests[-1]
        assert isinstance(request, SampleRequest)
        assert request.what == what
        assert request.grid is not None
        assert request.grid.shape == (8, 16, 16)
        # The first voxel of the region, (4, 4, 4), in two: its centre moves by a quarter.
        origin = np.array(request.grid.affine)[:3, 3]
        np.testing.assert_allclose(origin, [3.75 * 0.5, 3.75 * 0.5, 3.75 * 2])
        assert (request.level, request.labels) == (0.3, (2,))
        client.fail("cancelled", "Canceled.")
        answer(loaded)
    loaded.ui.surfaceButton.click()
    assert isinstance(client.requests[-1], SurfaceRequest)
    client.fail("cancelled", "Canceled.")
    answer(loaded)
    picture(loaded, "oss-closer")


def test_a_finer_segmentation_takes_the_place_of_the_coarser_one(loaded: OSSNetPanel, client: FakeClient) -> None:
    first = apply(loaded, client)
    loaded.ui.segmentationButton.click()
    client.end(labels(client))
    answer(loaded)
    assert loaded.parameters.result is not first
    assert loaded.ui.show3DButton.segmentationNode() is loaded.parameters.result
    assert (bool(first.GetDisplayVisibility()), bool(loaded.parameters.result.GetDisplayVisibility())) == (False, True)


def test_a_region_is_shown_beside_the_whole(loaded: OSSNetPanel, client: FakeClient) -> None:
    whole = apply(loaded, client)

    def look() -> Any:
        loaded.ui.segmentationButton.click()
        client.end(labels(client))
        answer(loaded)
        return loaded.parameters.part

    loaded.parameters.region = region()
    first = look()
    assert first.GetName() == "T1 brain segmentation 0.5 x 0.5 x 2 mm, region"
    assert status(loaded).endswith(
        '\nIt shows the region alone; "T1 brain segmentation 0.5 x 0.5 x 2 mm" still shows the rest.'
    )
    assert loaded.parameters.result is whole
    assert loaded.ui.show3DButton.segmentationNode() is whole
    second = look()
    assert [bool(node.GetDisplayVisibility()) for node in (whole, first, second)] == [True, False, True]
    loaded.parameters.region = None
    assert look() is None
    finer = loaded.parameters.result
    assert [bool(node.GetDisplayVisibility()) for node in (whole, second, finer)] == [False, False, True]
    assert "region" not in status(loaded)


def test_surfaces_become_models(loaded: OSSNetPanel, client: FakeClient) -> None:
    apply(loaded, client)
    loaded.ui.surfaceButton.click()
    client.arrays["points"] = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    client.arrays["triangles"] = np.array([[0, 1, 2]])
    entry = {"label": 1, "points": {"file": "points"}, "triangles": {"file": "triangles"}}
    client.end({**labels(client), "surfaces": [entry]})
    answer(loaded)
    (model,) = slicer.util.getNodesByClass("vtkMRMLModelNode")[-1:]
    assert (model.GetName(), model.GetPolyData().GetNumberOfCells()) == ("T1 brain lesion", 1)
    np.testing.assert_allclose(slicer.util.arrayFromModelPointData(model, "Normals")[0], [0, 0, 1])
    np.testing.assert_allclose(model.GetDisplayNode().GetColor(), np.array([230, 80, 60]) / 255)
    assert model.GetDisplayNode().GetBackfaceCulling()
    assert model.GetAttribute("HighResSegmentation.Input") == "T1 brain"


def test_another_volume_or_model_needs_apply_again(loaded: OSSNetPanel, client: FakeClient) -> None:
    apply(loaded, client)
    node = loaded.parameters.inputVolume
    loaded.ui.inputSelector.setCurrentNode(volume("T2"))
    assert not loaded.ui.closerButton.enabled
    assert loaded.ui.closerButton.toolTip == "Press Apply first."
    loaded.ui.inputSelector.setCurrentNode(node)
    assert loaded.ui.closerButton.enabled
    loaded.parameters.device = "cpu"
    assert not loaded.ui.closerButton.enabled


def test_nothing_found_is_explained(loaded: OSSNetPanel, client: FakeClient) -> None:
    loaded.run.applyButton.click()
    client.end(labels(client, 0))
    answer(loaded)
    assert status(loaded).startswith('Nothing was found in "T1 brain"')
    assert loaded.parameters.result is None
    # There is a field all the same, which another level may find something in.
    assert loaded.ui.closerButton.enabled


def test_no_room_is_said(loaded: OSSNetPanel, client: FakeClient) -> None:
    apply(loaded, client)
    loaded.ui.probabilityButton.click()
    client.fail("no_memory", "Too much.", "Choose a smaller region.")
    answer(loaded)
    assert status(loaded) == "Too much. Choose a smaller region."
    assert loaded.run.warningLabel.visible
    assert loaded.ui.closerButton.enabled


def test_scene_closed_during_a_run(shown: Any, client: FakeClient) -> None:
    panel = shown.panel
    panel.ui.inputSelector.setCurrentNode(volume())
    panel.run.applyButton.click()
    slicer.mrmlScene.Clear(0)
    assert client.cancelled == 1
    client.end(labels(client))
    answer(panel)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert not panel.ui.closerButton.enabled


def test_a_run_ends_while_another_module_is_shown(shown: Any, client: FakeClient) -> None:
    panel = shown.panel
    panel.ui.inputSelector.setCurrentNode(volume())
    whole = apply(panel, client)
    panel.parameters.region = region()
    for button in (panel.ui.segmentationButton, panel.run.applyButton):
        answer(panel)
        button.click()
        shown.exit()
        client.end(labels(client))
        answer(panel)
        shown.enter()
        if button is panel.ui.segmentationButton:
            part = panel.parameters.part
            assert part.GetName().endswith(", region")
            assert panel.parameters.result is whole
    last = panel.parameters.result
    assert panel.parameters.part is None
    assert last is not whole
    assert [bool(node.GetDisplayVisibility()) for node in (whole, part, last)] == [False, False, True]
    assert panel.ui.show3DButton.segmentationNode() is last


def test_choices_follow_the_scene(shown: Any, tmp_path: Path) -> None:
    """Saved, closed and loaded, the panel shows them again."""
    panel = shown.panel
    panel.ui.inputSelector.setCurrentNode(volume())
    panel.parameters.region = region()
    panel.ui.factorSlider.value = 3
    panel.ui.ownLevelCheckBox.checked = True
    panel.parameters.label = "posterior hippocampus"
    slicer.util.saveScene(str(tmp_path / "s.mrb"))
    slicer.mrmlScene.Clear(0)
    assert panel.ui.factorSlider.value == 2
    assert not panel.ui.ownLevelCheckBox.checked
    slicer.util.loadScene(str(tmp_path / "s.mrb"))
    assert panel.ui.factorSlider.value == 3
    assert panel.ui.ownLevelCheckBox.checked
    assert panel.ui.regionSelector.currentNode().GetName() == "region"
    assert panel.ui.labelComboBox.currentIndex == 2


def test_a_scene_that_is_added_leaves_the_choices(shown: Any, tmp_path: Path) -> None:
    """Selectors lose their nodes for a moment, which must not be taken for a choice."""
    panel, _, chosen = shown.panel, volume("other"), volume()
    added = slicer.vtkMRMLScene()
    added.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "added")
    added.Commit(str(tmp_path / "s.mrml"))
    panel.ui.inputSelector.setCurrentNode(chosen)
    panel.ui.regionSelector.setCurrentNode(region())
    slicer.mrmlScene.SetURL(str(tmp_path / "s.mrml"))
    slicer.mrmlScene.Import()
    assert panel.parameters.inputVolume is chosen
    assert panel.ui.inputSelector.currentNode() is chosen
    assert panel.parameters.region.GetName() == "region"
    assert panel.ui.inputSelector.nodeCount() == 3


def test_a_region_is_drawn(loaded: OSSNetPanel, client: FakeClient) -> None:
    apply(loaded, client)
    loaded.ui.drawRegionButton.click()
    assert loaded.ui.drawRegionButton.checked
    (roi,) = slicer.util.getNodesByClass("vtkMRMLMarkupsROINode")
    roi.SetSize(2, 2, 2)
    roi.SetCenter(4, 4, 16)
    loaded.ui.drawRegionButton.click()
    assert not loaded.ui.drawRegionButton.checked
    assert loaded.parameters.region is roi
    loaded.ui.drawRegionButton.click()
    loaded.exit()
    assert slicer.util.getNodesByClass("vtkMRMLMarkupsROINode") == [roi]
    loaded.enter()


def test_nothing_observes_after_cleanup(scene: Any, shown: Any, client: FakeClient) -> None:
    shown.panel.ui.inputSelector.setCurrentNode(volume())
    shown.panel.parameters.region = region()
    shown.cleanup()
    assert shown.panel.Observations == []
    assert shown.panel.closer.Observations == []
    assert not shown.panel._soon.active
    scene.Clear(0)


@pytest.mark.parametrize("kind", ["fields", "slices"])
def test_sampling_text(kind: str) -> None:
    from hrseg.geometry import Grid
    from OSSNetLib.Sampling import shapeText, spacingText

    if kind == "fields":
        assert spacingText(Grid.from_spacing((4, 5, 6), 0.5)) == "0.5 mm"
    else:
        grid = Grid.from_spacing((4, 5, 6), (1.234, 0.25, 0.25))
        assert (spacingText(grid), shapeText(grid)) == ("0.25 x 0.25 x 1.23 mm", "6 x 5 x 4 voxels")
