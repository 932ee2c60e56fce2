"""The set-up as a window of its own."""

# ruff: noqa: N803 -- fixtures come from where they are shared; names as in Slicer.

from __future__ import annotations

from typing import Any

import pytest
from PySide6 import QtCore, QtWidgets
from PySide6.QtTest import QTest
from setup_fakes import BAD, GOOD, Fakes, fakes
from slicer_env import slicer

from HighResSegmentationLib.PythonReport import Report

__all__ = ["fakes"]


@pytest.fixture
def module(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the set-up, with stand-ins."""
    from HighResSegmentationLib import SetupPanel as module

    monkeypatch.setattr(slicer.util, "mainWindow", lambda: None)
    monkeypatch.setattr(
        module, "SetupPanel", lambda onChanged, kind=module.SetupPanel: kind(onChanged, fakes.startCheck, fakes.install)
    )
    return module


def test_dialog(fakes: Fakes, module: Any) -> None:
    first: list[Report] = []
    second: list[Report] = []
    dialog = module.showSetup(first.append)
    assert module.showSetup(second.append) is dialog
    assert module.showSetup(first.append) is dialog
    assert len(fakes.checks) == 1
    module._tell(BAD)
    assert (first, second) == ([BAD], [BAD])
    dialog.reject()
    assert fakes.checks[0].cancelled
    assert module.showSetup() is not dialog
    module._tell(GOOD)
    assert first == [BAD]
    module._Setup.dialog.reject()


def test_enter_in_the_path_presses_no_button(fakes: Fakes, module: Any) -> None:
    dialog = module.showSetup()
    path = dialog.findChild(QtWidgets.QLineEdit, "pathLineEdit")
    dialog.findChild(QtWidgets.QRadioButton, "otherRadioButton").click()
    path.text = "/nowhere/python"
    checks = len(fakes.checks)
    QTest.keyClick(path, QtCore.Qt.Key.Key_Return)
    assert "nowhere" in dialog.findChild(QtWidgets.QLabel, "statusLabel").text
    assert len(fakes.checks) == checks
    module._Setup.installing = True
    dialog.reject()
    assert not dialog.isHidden()
    assert module._Setup.dialog is dialog
    module._Setup.installing = False
    dialog.reject()
    assert module._Setup.dialog is None
