"""The set-up panel: what it shows for each answer, and what its buttons do."""

# ruff: noqa: N802, N803 -- the stand-ins have the names that Slicer gave the originals.

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import panel_env
import pytest
import qt_env
from slicer_env import slicer

from HighResSegmentationLib import Environment as environments
from HighResSegmentationLib import Settings
from HighResSegmentationLib.Environment import Environment
from HighResSegmentationLib.Packages import Outcome
from HighResSegmentationLib.PythonReport import Report

GOOD = Report(
    True, "all is there", {"python": "3.12.1", "torch": "2.4.0", "SimpleITK": ""}, gpu="RTX, 20.0 of 24.0 GiB"
)
BAD = Report(False, "Missing: PyTorch.", {"python": "3.12.1"}, missing=["torch>=2.4"], details="printed")


class FakeCheck:
    """Answers at the second poll."""

    def __init__(self, report: Report) -> None:
        self.report, self.polls, self.cancelled = report, 0, False

    def poll(self) -> Report | None:
        self.polls += 1
        return self.report if self.polls > 1 else None

    def cancel(self) -> None:
        self.cancelled = True


class Fakes:
    """What the panel works with, and what it asked for."""

    def __init__(self) -> None:
        self.report, self.outcome = BAD, Outcome(True, "installed")
        self.checks: list[FakeCheck] = []
        self.asked: list[Environment] = []
        self.installed: list[Environment] = []
        self.changes: list[Report] = []

    def startCheck(self, environment: Environment) -> Any:
        self.asked.append(environment)
        self.checks.append(FakeCheck(self.report))
        return self.checks[-1]

    def install(self, environment: Environment, ask: Any, log: Any) -> Outcome:
        self.installed.append(environment)
        log("Collecting torch")
        return self.outcome


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fakes]:
    monkeypatch.setattr(Settings, "_memory", {})
    monkeypatch.delenv(environments.VARIABLE, raising=False)
    qt_env.errors.clear()
    yield Fakes()
    assert not qt_env.errors


@pytest.fixture
def panel(fakes: Fakes) -> Iterator[Any]:
    from HighResSegmentationLib.SetupPanel import SetupPanel

    panel = SetupPanel(fakes.changes.append, fakes.startCheck, fakes.install)
    yield panel
    panel.close()


def answer(panel: Any) -> None:
    """Lets the timer run out until the check is answered."""
    for _ in range(2):
        panel._timer.timeout.emit()


def table(panel: Any) -> dict[str, tuple[str, str]]:
    widget = panel.ui.packagesTable
    cells = [[widget.item(row, column).text() for column in range(3)] for row in range(widget.rowCount)]
    return {name: (found, needed) for name, found, needed in cells}


def test_nothing_is_asked_before_it_is_shown(panel: Any, fakes: Fakes) -> None:
    assert fakes.asked == []
    assert panel.ui.slicerRadioButton.checked
    assert not panel.ui.pathLineEdit.enabled
    assert not panel.ui.installButton.enabled


def test_missing(panel: Any, fakes: Fakes) -> None:
    panel.check()
    assert fakes.asked == [environments.slicerEnvironment()]
    assert "Asking" in panel.ui.statusLabel.text
    assert not panel.ui.checkButton.enabled
    answer(panel)
    assert panel.ui.statusLabel.text == "Missing: PyTorch."
    assert panel.ui.installButton.enabled
    assert panel.ui.checkButton.enabled
    assert table(panel)["torch"] == ("missing", "2.4 or newer")
    assert fakes.changes == [BAD]
    assert not panel._timer.active


def test_all_there(panel: Any, fakes: Fakes) -> None:
    fakes.report = GOOD
    panel.check()
    answer(panel)
    assert not panel.ui.installButton.enabled
    assert table(panel)["python"] == ("3.12.1", "3.11 or newer")
    assert table(panel)["SimpleITK"] == ("yes", "2.3 or newer")
    assert table(panel)["GPU"] == ("RTX, 20.0 of 24.0 GiB", "not necessary")


def test_install_then_check_again(panel: Any, fakes: Fakes) -> None:
    panel.check()
    answer(panel)
    panel.ui.installButton.click()
    assert fakes.installed == [environments.slicerEnvironment()]
    assert len(fakes.checks) == 2
    assert "Missing: PyTorch.\nprinted\nCollecting torch\ninstalled" in panel.ui.logText.toPlainText()


def test_declined_or_failed_installation_stays_readable(panel: Any, fakes: Fakes) -> None:
    fakes.outcome = Outcome(False, "Nothing was installed.", restart=True)
    panel.check()
    answer(panel)
    panel.ui.installButton.click()
    assert panel.ui.statusLabel.text == "Nothing was installed."
    assert len(fakes.checks) == 1
    assert not panel.ui.restartButton.isHidden()


def test_other_python(panel: Any, fakes: Fakes, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.touch()
    panel.ui.otherRadioButton.click()
    assert panel.ui.pathLineEdit.enabled
    assert fakes.asked == []
    panel.ui.pathLineEdit.text = str(tmp_path / "nothing")
    panel.ui.pathLineEdit.returnPressed.emit()
    assert f'There is no file "{tmp_path / "nothing"}"' in panel.ui.statusLabel.text
    assert fakes.asked == []
    panel.ui.pathLineEdit.text = str(tmp_path)
    panel.ui.pathLineEdit.returnPressed.emit()
    assert fakes.asked == [Environment(str(python), "other")]
    assert panel.ui.pathLineEdit.text == str(python)
    panel.ui.slicerRadioButton.click()
    assert fakes.asked[1] == environments.slicerEnvironment()
    assert fakes.checks[0].cancelled
    assert not panel.ui.pathLineEdit.enabled


def test_variable_goes_first(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    from HighResSegmentationLib.SetupPanel import SetupPanel

    monkeypatch.setenv(environments.VARIABLE, "/named/python")
    ui = SetupPanel(None, fakes.startCheck, fakes.install).ui
    assert not ui.slicerRadioButton.enabled
    assert not ui.otherRadioButton.enabled
    assert ui.variableLabel.text == 'The environment variable HRSEG_WORKER_PYTHON says: "/named/python".'


def test_log_is_copied(panel: Any) -> None:
    panel._log("one\n")
    panel._log("two")
    panel.ui.copyLogButton.click()
    assert panel_env.app.clipboard().text() == "one\ntwo"


def test_every_control_is_explained(panel: Any) -> None:
    for name, widget in vars(panel.ui).items():
        if name.endswith(("Button", "LineEdit", "Label", "Table", "Text")):
            assert widget.toolTip, name


def test_dialog(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    from HighResSegmentationLib import SetupPanel as module

    monkeypatch.setattr(slicer.util, "mainWindow", lambda: None)
    monkeypatch.setattr(
        module, "SetupPanel", lambda onChanged, kind=module.SetupPanel: kind(onChanged, fakes.startCheck, fakes.install)
    )
    dialog = module.showSetup()
    assert module.showSetup() is dialog
    assert len(fakes.checks) == 1
    dialog.reject()
    assert fakes.checks[0].cancelled
    assert module.showSetup() is not dialog
    module._Setup.dialog.reject()
