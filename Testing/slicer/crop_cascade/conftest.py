"""The panel of CropCascade on stand-ins of Slicer's widgets, with a worker that says what the test says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from cascade_panel import CropCascade, answer, volume
from fake_worker import FakeClient
from module_panel import shown_module

if TYPE_CHECKING:
    from CropCascadeLib.Widget import CropCascadePanel


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def shown(scene: Any, client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module's widget as Slicer shows it, on an empty scene."""
    from CropCascadeLib import Logic

    with shown_module(CropCascade.CropCascadeWidget, Logic, client, monkeypatch) as widget:
        yield widget


@pytest.fixture
def panel(shown: Any) -> CropCascadePanel:
    return shown.panel


@pytest.fixture
def loaded(panel: CropCascadePanel) -> CropCascadePanel:
    """With a volume chosen and the forecast there."""
    panel.ui.inputSelector.setCurrentNode(volume())
    panel.forecast.ask()
    answer(panel)
    return panel
