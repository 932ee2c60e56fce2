"""The panel of SRSegmentation on stand-ins of Slicer's widgets, with a worker that says what the test says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_worker import FakeClient
from module_panel import answer, shown_module, volume
from sr_panel import SRSegmentation, models

if TYPE_CHECKING:
    from SRSegmentationLib.Widget import SRSegmentationPanel


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def shown(scene: Any, client: FakeClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The module's widget as Slicer shows it, on an empty scene, with a model of each method."""
    from HighResSegmentationLib import Models
    from SRSegmentationLib import Logic

    entries = models(tmp_path)
    monkeypatch.setattr(Models, "listModels", lambda methods: entries)
    with shown_module(SRSegmentation.SRSegmentationWidget, Logic, client, monkeypatch) as widget:
        yield widget


@pytest.fixture
def panel(shown: Any) -> SRSegmentationPanel:
    return shown.panel


@pytest.fixture
def loaded(panel: SRSegmentationPanel) -> SRSegmentationPanel:
    """With a volume chosen and the forecast there."""
    panel.ui.inputSelector.setCurrentNode(volume())
    panel.forecast.ask()
    answer(panel)
    return panel
