"""The self-test of the CropCascade module on Slicer's scene, and what only concerns developers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from import_cost import check_import_cost
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest
from slicer_env import slicer

from CropCascadeLib import Inference, Tests

CENTERS = [(30, 40), (90, 50), (60, 120)]


@pytest.fixture(autouse=True)
def _silent(scene: Any) -> None:
    """No VTK class reports an error during any test here."""


class TestCropCascade(Tests.CropCascadeTests, ScriptedLoadableModuleTest):
    def skipTest(self, reason: Any) -> None:  # noqa: N802
        pytest.fail(f"Nothing may be skipped here: {reason}")


def test_defaults_are_those_of_the_core() -> None:
    from hrseg.crop_cascade.settings import InferenceSettings

    settings = InferenceSettings(size=[16, 16])
    assert {key: getattr(settings, key) for key in Inference.DEFAULTS} == Inference.DEFAULTS


def test_only_changes_of_the_models_settings_are_sent() -> None:
    header = {"inference": {"size": [64, 64], "threshold": 0.3}}
    assert Inference.settingsOf(header) == {"context": 0.15, "threshold": 0.3, "merge": "mean"}
    assert Inference.changes(header, 15, 0.3, "mean") == {}
    assert Inference.changes(header, 20, 0.3, "max") == {"context": 0.2, "merge": "max"}


def test_a_bundled_model_on_a_color_image(scene: Any) -> None:
    """Nuclei as under the microscope, in the worker: proposed, and one of them segmented alone."""
    from CropCascadeLib.Logic import CropCascadeLogic, Settings
    from HighResSegmentationLib.Models import listModels

    volume = _cells()
    model = next(model for model in listModels("crop_cascade") if model.name == "nuclei-crop-cascade")
    logic, settings = CropCascadeLogic(), Settings(str(model.path), "cpu")
    rois = logic.proposeBoxes(volume, settings)
    found = sorted((round(roi.GetCenter()[1]), round(roi.GetCenter()[0])) for roi in rois)
    assert np.abs(np.subtract(found, sorted(CENTERS))).max() <= 3
    (one,) = [roi for roi in rois if roi.GetCenter()[0] > 100]
    segmentation = logic.segment(volume, settings, [one]).segmentation
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "Segment_1", volume)
    assert mask[0, 60, 120] == 1
    assert mask[0, 30, 40] == 0
    assert 0.8 < mask.sum() / (np.pi * 11 * 9) < 1.3


def test_the_script_of_the_page_about_python(scene: Any, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "python.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```python\n(from CropCascade .*?)^```$", page, re.M | re.S)
    _cells()
    found: dict[str, Any] = {"slicer": slicer}
    exec(script, found)
    assert len(found["boxes"]) == len(CENTERS)
    assert found["outcome"].segmentation.GetName() in capsys.readouterr().out


def _cells() -> Any:
    """A picture as of a microscope, with a cell around each center (j, i)."""
    array = np.full((1, 128, 160, 3), 12, np.uint8)
    j, i = np.mgrid[:128, :160]
    for y, x in CENTERS:
        array[0][((j - y) / 11) ** 2 + ((i - x) / 9) ** 2 < 1] = 120
    array += np.random.default_rng(0).integers(0, 12, array.shape, np.uint8)
    return slicer.util.addVolumeFromArray(array, np.eye(4), "cells", "vtkMRMLVectorVolumeNode")


def test_importing_the_module_costs_nothing() -> None:
    check_import_cost("CropCascade")
