"""The panel of OSSNet on stand-ins of Slicer's widgets, with a worker that says what the test says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_worker import FakeClient
from module_panel import answer, shown_module
from oss_follower import Followed
from oss_panel import OSSNet, volume
from slicer_env import slicer

from HighResSegmentationLib.Models import ModelEntry

if TYPE_CHECKING:
    from OSSNetLib.Widget import OSSNetPanel

MODELS = [
    ModelEntry(
        Path("/models/hippocampus.safetensors"),
        "hippocampus-mr-oss-net",
        "Hippocampus, MR (OSS-Net)",
        labels=("anterior hippocampus", "posterior hippocampus"),
        licence="Apache-2.0",
        accuracy="Dice 0.88 on 40 held-out images",
    )
]


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def shown(scene: Any, client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module's widget as Slicer shows it, on an empty scene."""
    from HighResSegmentationLib import Models
    from OSSNetLib import Logic

    monkeypatch.setattr(Models, "listModels", lambda *methods: MODELS)
    with shown_module(OSSNet.OSSNetWidget, Logic, client, monkeypatch) as widget:
        yield widget


@pytest.fixture
def loaded(panel: OSSNetPanel) -> OSSNetPanel:
    """With a volume chosen and the forecast there."""
    panel.ui.inputSelector.setCurrentNode(volume())
    panel.forecast.ask()
    answer(panel)
    return panel


@pytest.fixture
def followed(scene: Any, client: FakeClient) -> Iterator[Followed]:
    followed = Followed(client)
    yield followed
    followed.follower.stop()
    for node in (followed.view, followed.composite):
        slicer.mrmlScene.RemoveNode(node)
