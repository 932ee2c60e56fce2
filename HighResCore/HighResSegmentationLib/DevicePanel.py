"""Choice of the device, with its free memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

AUTOMATIC = "auto"


class DevicePanel:
    """A list of devices; until the worker has told them there is only the automatic choice.

    Args:
        comboBox: an empty combo box of the panel.
        onChosen: called with the device's name when the user chooses another one.
    """

    def __init__(self, comboBox: qt.QComboBox, onChosen: Callable[[str], None]) -> None:
        self._comboBox, self._onChosen = comboBox, onChosen
        self._names: list[str] = []
        self._chosen = AUTOMATIC
        self.setDevices([])
        comboBox.connect("activated(int)", self._activated)

    def setDevices(self, devices: Sequence[dict[str, Any]]) -> None:
        """Lists devices as the worker tells them: ``name``, ``title``, ``free_bytes``."""
        self._names = [AUTOMATIC, *(str(device["name"]) for device in devices)]
        titles = [_("Automatic"), *(_title(device) for device in devices)]
        if self._chosen not in self._names:
            self._names.append(self._chosen)
            titles.append(_("{name} (not seen here)").format(name=self._chosen) if devices else self._chosen)
        self._comboBox.clear()
        for title in titles:
            self._comboBox.addItem(title)
        self._comboBox.setCurrentIndex(self._names.index(self._chosen))

    def choose(self, name: str) -> None:
        """Shows the device of that name as the chosen one."""
        self._chosen = name or AUTOMATIC
        if self._chosen not in self._names:
            self._names.append(self._chosen)
            self._comboBox.addItem(self._chosen)
        self._comboBox.setCurrentIndex(self._names.index(self._chosen))

    def _activated(self, index: int) -> None:
        self._chosen = self._names[index]
        self._onChosen(self._chosen)


def _title(device: dict[str, Any]) -> str:
    return _("{title} ({free} free)").format(title=device["title"], free=memoryText(device["free_bytes"]))


def memoryText(size: float) -> str:
    """Bytes for people: "340 MB", "9.8 GB"."""
    return f"{size / 2**20:.0f} MB" if size < 2**30 else f"{size / 2**30:.1f} GB"
