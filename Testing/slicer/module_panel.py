"""What the tests of all module panels do again and again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import panel_env
import pytest
import qt_env
from fake_worker import FakeClient
from slicer_env import slicer

from HighResSegmentationLib import Settings
from HighResSegmentationLib.Jobs import Jobs

qt = panel_env.qt
#: Pictures of the panels are kept here, for people to look at.
PICTURES = os.environ.get("HRSEG_TEST_PICTURES")


@contextmanager
def shown_module(
    widget_class: Any, logic_module: Any, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """A module's widget as Slicer shows it, with a worker that says what the test says; its slots raise nothing."""
    jobs = Jobs(lambda: client)  # type: ignore[arg-type, return-value]
    monkeypatch.setattr(logic_module, "sharedJobs", lambda: jobs)
    monkeypatch.setattr(Settings, "_memory", {})
    qt_env.errors.clear()
    host = panel_env.window()
    widget = widget_class(host)
    widget.setup()
    host.show()
    widget.enter()
    answer(widget)
    yield widget
    widget.cleanup()
    assert not jobs.busy
    host.close()
    host.deleteLater()
    panel_env.spin()
    assert not qt_env.errors


def volume(name: str = "CT chest") -> Any:
    array = np.zeros((16, 16, 16), np.int16)
    array[6:10, 6:10, 6:10] = 100
    return slicer.util.addVolumeFromArray(array, np.eye(4), name)


def answer(panel: Any) -> None:
    """Lets the worker's answers arrive."""
    panel = getattr(panel, "panel", panel)
    for _ in range(3):
        panel.run.tick()
    panel_env.spin()


def picture(panel: Any, name: str) -> None:
    panel_env.spin(5)
    if PICTURES:
        window = panel.ui.inputsButton.window()
        window.resize(440, max(760, window.sizeHint().height()))
        panel_env.spin(5)
        window.grab().save(str(Path(PICTURES) / f"{name}.png"))


def status(panel: Any) -> str:
    return panel.run.statusLabel.text


def silent_controls(root: Any) -> list[tuple[str, str]]:
    """Controls that do not say what they do: neither they nor what they lie in has a tool tip."""
    silent = []
    for kind in (qt.QAbstractButton, qt.QComboBox, qt.QAbstractSpinBox, qt.QTableWidget):
        for widget in root.findChildren(kind):
            around: Any = widget
            while around is not None and not around.toolTip:
                around = around.parentWidget()
            if around is None and widget.objectName != "qt_spinbox_lineedit":
                silent.append((type(widget).__name__, widget.objectName))
    return silent
