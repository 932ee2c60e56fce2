"""The choice of the device: what the worker has, and a choice of another computer that is kept."""

from __future__ import annotations

from typing import Any

import panel_env  # noqa: F401 -- makes Qt's stand-ins
import pytest

GPU = {"name": "cuda:0", "title": "H100", "free_bytes": 9.8 * 2**30}


@pytest.fixture
def chosen() -> list[str]:
    return []


@pytest.fixture
def panel(chosen: list[str]) -> Any:
    import qt

    from HighResSegmentationLib.DevicePanel import DevicePanel

    return DevicePanel(qt.QComboBox(), chosen.append)


def titles(panel: Any) -> list[str]:
    box = panel._comboBox
    return [box.itemText(index) for index in range(box.count)]


def test_devices_of_the_worker(panel: Any, chosen: list[str]) -> None:
    assert titles(panel) == ["Automatic"]
    panel.setDevices([GPU, {"name": "cpu", "title": "Processor", "free_bytes": 340 * 2**20}])
    assert titles(panel) == ["Automatic", "H100 (9.8 GB free)", "Processor (340 MB free)"]
    panel._comboBox.activated.emit(1)
    assert chosen == ["cuda:0"]
    panel.setDevices([{"name": "cpu", "title": "Processor", "free_bytes": 0}, GPU])
    assert panel._comboBox.currentIndex == 2


def test_a_device_that_is_not_here(panel: Any, chosen: list[str]) -> None:
    """As in a scene that was saved elsewhere: shown, kept, and named so once the worker has told what is here."""
    panel.choose("cuda:3")
    assert titles(panel) == ["Automatic", "cuda:3"]
    assert panel._comboBox.currentIndex == 1
    panel.setDevices([GPU])
    assert titles(panel) == ["Automatic", "H100 (9.8 GB free)", "cuda:3 (not seen here)"]
    assert panel._comboBox.currentIndex == 2
    panel.choose("")
    assert panel._comboBox.currentIndex == 0
    assert chosen == []
