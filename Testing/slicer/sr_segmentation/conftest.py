"""The panel of SRSegmentation on stand-ins of Slicer's widgets, with a worker that says what the test says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_worker import FakeClient
from module_panel import shown_module
from sr_panel import SRSegmentation, models, result, run

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
def searched(loaded: SRSegmentationPanel, client: FakeClient) -> SRSegmentationPanel:
    """After a run, with the crop where the search put it."""
    run(loaded, client, result(client))
    return loaded
