"""The phantom in Slicer's Sample Data."""

from __future__ import annotations

import contextlib
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vtk
from slicer_env import slicer

from HighResSegmentationLib import SampleData as ours
from hrseg.phantom import Torso, default_grid


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is registered in a stand-in of Slicer's module SampleData, whose category function is that of 5.12."""
    calls: list[dict[str, Any]] = []
    module = types.ModuleType("SampleData")
    module.SampleDataLogic = types.SimpleNamespace(  # type: ignore[attr-defined]
        registerCustomSampleDataSource=lambda **source: calls.append(source),
        registerCustomSampleDataCategory=lambda **category: calls.append(category),
    )
    monkeypatch.setitem(sys.modules, "SampleData", module)
    return calls


def test_phantom_is_that_of_the_core(scene: Any) -> None:
    node = ours.makePhantomCT(size=(20, 16, 12), spacing=14.0)
    grid = default_grid((20, 16, 12), 14.0)
    expected = Torso.random(ours.SEED).image(grid).array[0]
    assert np.array_equal(slicer.util.arrayFromVolume(node), expected)
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    assert np.allclose(slicer.util.arrayFromVTKMatrix(matrix), grid.affine)
    display = node.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (-160, 240)
    assert node.GetName() == "PhantomCT"
    assert ours.makePhantomCT(size=(4, 4, 4), spacing=60.0).GetName() == "PhantomCT_1"


def test_registered_once_with_a_thumbnail_and_no_network(registered: list[dict[str, Any]]) -> None:
    ours.registerSampleData()
    category, source = registered
    assert category == {"category": "HighResSegmentation", "title": "HighResSegmentation"}
    assert source["category"] == "HighResSegmentation"
    assert source["sampleName"] == source["nodeNames"] == "PhantomCT"
    assert Path(source["thumbnailFileName"]).is_file()
    assert not source["uris"].startswith("http")


def test_older_slicers_have_no_categories(registered: list[dict[str, Any]]) -> None:
    del sys.modules["SampleData"].SampleDataLogic.registerCustomSampleDataCategory
    ours.registerSampleData()
    assert [call["sampleName"] for call in registered] == ["PhantomCT"]


def test_choosing_it_makes_and_shows_it(
    scene: Any, registered: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    make = ours.makePhantomCT
    monkeypatch.setattr(ours, "makePhantomCT", lambda: make(size=(4, 4, 4), spacing=60.0))
    monkeypatch.setattr(slicer.util, "WaitCursor", contextlib.nullcontext)
    monkeypatch.setattr(slicer.util, "showStatusMessage", lambda *_: True)
    monkeypatch.setattr(slicer.util, "setSliceViewerLayers", lambda background, fit: shown.append(background))
    ours.registerSampleData()
    (node,) = registered[-1]["customDownloader"](None)
    assert shown == [node]
    assert scene.GetFirstNodeByName("PhantomCT") is node
