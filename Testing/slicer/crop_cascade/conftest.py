"""The panel of CropCascade on stand-ins of Slicer's widgets, with a worker that says what the test says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from cascade_panel import CropCascade
from fake_worker import FakeClient
from module_panel import shown_module

if TYPE_CHECKING:
    pass


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def shown(scene: Any, client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module's widget as Slicer shows it, on an empty scene."""
    from CropCascadeLib import Logic

    with shown_module(CropCascade.CropCascadeWidget, Logic, client, monkeypatch) as widget:
        yield widget
