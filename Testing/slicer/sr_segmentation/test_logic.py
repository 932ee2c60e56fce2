"""The self-test of the SRSegmentation module on Slicer's scene, and what only concerns developers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from import_cost import check_import_cost
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

import slicer
from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.methods import Options, method_of
from hrseg.model_file import load_model
from hrseg.model_header import read_header
from hrseg.runtime import Run
from model_helpers import edited
from SRSegmentationLib import Tests
from SRSegmentationLib.Lesions import rowsOf, sizeText, sizeUnit, tableFromResult
from SRSegmentationLib.ModelFacts import ModelFacts
from SRSegmentationLib.TinyModels import writeSasr


@pytest.fixture(autouse=True)
def _silent(scene: Any) -> None:
    """No VTK class reports an error during any test here."""


class TestSRSegmentation(Tests.SRSegmentationTests, ScriptedLoadableModuleTest):
    def skipTest(self, reason: Any) -> None:  # noqa: N802
        pytest.fail(f"Nothing may be skipped here: {reason}")


HEADERS: list[dict[str, Any]] = [
    {"method": "pfseg", "network": {}, "inference": {}},
    {
        "method": "pfseg",
        "network": {"factor": [1, 2, 4], "super_resolution": False, "guidance_widths": []},
        "inference": {},
        "preprocessing": {"orientation": "RIA"},
    },
    {"method": "pfseg", "network": {"factor": [2, 2]}, "inference": {"guidance": "none"}, "dimension": 2},
    {"method": "sasr", "network": {"widths": [4, 8]}, "inference": {"window": [8, 8, 8]}},
    {"method": "sasr", "network": {"sr": False, "factors": [1, 1]}, "inference": {"window": [8, 8]}, "dimension": 2},
    {"method": "sasr", "network": {"factors": [1, 2, 4]}, "inference": {"window": [8, 8, 8]}},
]


@pytest.mark.parametrize("header", HEADERS)
def test_facts_are_those_of_the_core(header: dict[str, Any]) -> None:
    """What the panel offers is what the model's own settings allow, defaults included."""
    from hrseg.methods import method_class

    header = {"dimension": 3, **header}
    method = method_class(header["method"])
    network: Any = method.NetworkSettings.model_validate(header["network"])
    inference: Any = method.InferenceSettings.model_validate(header["inference"])
    facts = ModelFacts.of(header)
    factors = network.all_factors(header["dimension"])
    assert facts.factors == tuple([1] * (3 - len(factors)) + factors)
    assert facts.makesFiner == (max(factors) > 1)
    assert facts.superResolves == (network.super_resolution if facts.method == "pfseg" else network.sr)
    uses_crop = facts.method == "pfseg" and bool(network.guidance_widths) and inference.guidance != "none"
    assert facts.usesCrop == uses_crop


def test_the_finer_grid_follows_the_models_orientation() -> None:
    """A model in RIA: k runs back along A. Its factors (1, 2, 4) are along A, S and R."""
    facts = ModelFacts("pfseg", (1, 2, 4), "RIA")
    grid = Grid.from_spacing((10, 20, 30))
    assert facts.finer(grid).shape == (20, 20, 120)
    assert ModelFacts("sasr", (1, 2, 4)).finer(grid).shape == (10, 40, 120)


def test_the_finer_grid_is_that_of_the_result(tmp_path: Path) -> None:
    """The panel's forecast of the size, against what the method makes of an image in another orientation."""
    path = writeSasr(tmp_path / "sasr.safetensors")
    model = load_model(edited(path, lambda header: header["preprocessing"].update(orientation="SAR")))
    image = Image(np.random.default_rng(0).integers(0, 99, (1, 8, 10, 12)), Grid.from_spacing((8, 10, 12)))
    result = method_of(model).segment(image, Options(resolution="fine"), Run())
    assert ModelFacts.of(read_header(path)).finer(image.grid).matches(result.label_map.grid)


@pytest.mark.parametrize(
    ("size", "unit", "text"),
    [
        (0.5, "mm3", "0.5 mm³"),
        (812.4, "mm3", "812 mm³"),
        (12_345.0, "mm3", "12.3 mL"),
        (-2500.0, "mm3", "-2.5 mL"),
        (45.0, "mm2", "45 mm²"),
        (1234.0, "mm2", "12.3 cm²"),
        (1234.4, "pixels", "1,234 pixels"),
    ],
)
def test_sizes_in_words(size: float, unit: str, text: str) -> None:
    assert sizeText(size, unit) == text


@pytest.mark.parametrize(
    ("file", "columns", "size", "diameter"),
    [
        ("mole.JPG", ["Area (pixels)", "Longest diameter (pixels)"], 144.0, 20.0),
        ("slice.nrrd", ["Area (mm2)", "Longest diameter (mm)"], 36.0, 10.0),
        (None, ["Area (mm2)", "Longest diameter (mm)"], 36.0, 10.0),
    ],
)
def test_lesions_of_pictures_are_measured_in_pixels(
    scene: Any, file: str | None, columns: list[str], size: float, diameter: float
) -> None:
    """A photograph's resolution, here half a millimetre a pixel, is meant for printing."""
    volume = slicer.util.addVolumeFromArray(np.zeros((1, 40, 40), np.uint8), np.diag([0.5, 0.5, 1, 1]), "picture")
    if file:
        volume.AddDefaultStorageNode()
        volume.GetStorageNode().SetFileName(file)
    found = {"name": "lesion 1", "size": 36.0, "diameter": 10.0, "probability": 0.5, "center": [1.0, 2.0, 3.0]}
    table = tableFromResult([found], volume)
    assert [table.GetColumnName(n) for n in (1, 2)] == columns
    assert sizeUnit(table) == columns[0][6:-1]
    (row,) = rowsOf(table)
    assert (row.size, row.diameter, row.center) == (size, diameter, (1.0, 2.0, 3.0))


def test_a_table_that_was_changed_has_no_lesions(scene: Any) -> None:
    table = scene.AddNewNodeByClass("vtkMRMLTableNode")
    assert rowsOf(table) == rowsOf(None) == []


def test_importing_the_module_costs_nothing() -> None:
    check_import_cost("SRSegmentation")
