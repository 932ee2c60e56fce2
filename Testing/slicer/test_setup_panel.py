"""The set-up panel: what it shows for each answer, and what its buttons do."""

# ruff: noqa: N803 -- the stand-ins have the names that Slicer gave the originals.

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import panel_env
import pytest
from setup_fakes import BAD, GOOD, Fakes, fakes
from slicer_env import slicer

from HighResSegmentationLib import Environment as environments
from HighResSegmentationLib.Environment import Environment
from HighResSegmentationLib.Packages import Outcome

__all__ = ["fakes"]


@pytest.fixture
def panel(fakes: Fakes) -> Iterator[Any]:
    from HighResSegmentationLib.SetupPanel import SetupPanel

    panel = SetupPanel(fakes.changes.append, fakes.startCheck, fakes.install)
    yield panel
    panel.exit()


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


def test_install_and_show_what_is_there_then(panel: Any, fakes: Fakes) -> None:
    fakes.outcome = Outcome(True, "installed", report=GOOD)
    panel.check()
    answer(panel)
    panel.ui.installButton.click()
    # With what the panel shows: the Python is not asked once more.
    assert fakes.installed == [(environments.slicerEnvironment(), BAD)]
    assert len(fakes.checks) == 1
    assert fakes.changes == [BAD, GOOD]
    assert panel.ui.statusLabel.text == "installed"
    assert table(panel)["torch"] == ("2.4.0", "2.4 or newer")
    assert not panel.ui.installButton.enabled
    assert "Missing: PyTorch.\nprinted\nCollecting torch\ninstalled" in panel.ui.logText.toPlainText()


def test_declined_or_failed_installation_stays_readable(panel: Any, fakes: Fakes) -> None:
    fakes.outcome = Outcome(False, "Nothing was installed.", restart=True)
    panel.check()
    answer(panel)
    panel.ui.installButton.click()
    assert panel.ui.statusLabel.text == "Nothing was installed."
    assert len(fakes.checks) == 1
    assert not panel.ui.restartButton.isHidden()


def test_nothing_else_is_started_during_an_installation(panel: Any, fakes: Fakes) -> None:
    from HighResSegmentationLib.SetupPanel import SetupPanel

    other = SetupPanel(None, fakes.startCheck, fakes.install)
    for each in (panel, other):
        each.check()
        answer(each)
    ui, enabled = panel.ui, []

    def during() -> None:
        controls = ui.installButton, ui.checkButton, ui.restartButton, ui.slicerRadioButton, ui.otherRadioButton
        enabled.extend(each.enabled for each in (*controls, ui.pathLineEdit, ui.browseButton))
        # As when the panel is left and entered, and by another panel.
        panel.exit()
        panel.check()
        panel._onInstall()
        other.ui.installButton.click()
        other.ui.checkButton.click()
        enabled.append(ui.checkButton.enabled)

    fakes.during = during
    ui.installButton.click()
    assert enabled == [False] * 8
    assert (len(fakes.installed), len(fakes.checks)) == (1, 2)
    assert "are being installed" in other.ui.statusLabel.text
    assert ui.statusLabel.text == "installed"
    assert ui.installButton.enabled
    assert ui.checkButton.enabled
    assert ui.slicerRadioButton.enabled
    assert not ui.browseButton.enabled


def test_an_error_leaves_the_panel_usable(panel: Any, fakes: Fakes) -> None:
    def fail() -> None:
        raise RuntimeError("unexpected")

    fakes.during = fail
    panel.check()
    answer(panel)
    with pytest.raises(RuntimeError):
        panel._onInstall()
    assert panel.ui.installButton.enabled
    panel.check()
    assert len(fakes.checks) == 2


@pytest.mark.parametrize("yes", [True, False])
def test_restart_asks_first(panel: Any, yes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, windowTitle: calls.append(text) or yes)
    monkeypatch.setattr(slicer.util, "restart", lambda: calls.append("restart"))
    panel.ui.restartButton.click()
    assert "not been saved are lost" in calls[0]
    assert calls[1:] == ["restart"] * yes
    assert "after asking about unsaved data" not in panel.ui.restartButton.toolTip


def test_the_next_job_gets_a_fresh_worker(panel: Any, fakes: Fakes, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.touch()
    panel.ui.otherRadioButton.click()
    panel.ui.pathLineEdit.text = str(python)
    panel.ui.pathLineEdit.returnPressed.emit()
    # The panel may be closed before the answer comes.
    assert fakes.renewed == 1
    answer(panel)
    panel.ui.installButton.click()
    assert fakes.renewed == 2


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
