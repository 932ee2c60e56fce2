"""The set-up: where inference runs, what is there, and the installation of what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

import slicer
from HighResSegmentationLib import Environment as environments
from HighResSegmentationLib.Environment import Environment
from HighResSegmentationLib.Packages import Outcome
from HighResSegmentationLib.PythonCheck import PythonCheck
from HighResSegmentationLib.PythonReport import Report
from HighResSegmentationLib.Requirements import MINIMUM_PYTHON, requirements
from hrseg.errors import InputError

_UI_FILE = Path(__file__).resolve().parents[1] / "Resources" / "UI" / "HighResSetup.ui"
_POLL_MILLISECONDS = 100


class SetupPanel:
    """The panel, in ``widget``. Call :meth:`close` when it is no longer shown.

    Args:
        onChanged: called with the report of each check, and so after each change of the Python.
        startCheck: how a Python is checked.
        install: how what is missing is installed.
    """

    def __init__(
        self,
        onChanged: Callable[[Report], None] | None = None,
        startCheck: Callable[[Environment], PythonCheck] = Environment.startCheck,
        install: Callable[[Environment, Callable[[str], bool], Callable[[str], None]], Outcome] = Environment.install,
    ) -> None:
        self._onChanged, self._startCheck, self._install = onChanged, startCheck, install
        self._check: PythonCheck | None = None
        self.widget = slicer.util.loadUI(str(_UI_FILE))
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MILLISECONDS)
        self._timer.connect("timeout()", self._poll)
        self.ui.packagesTable.horizontalHeader().setDefaultAlignment(qt.Qt.AlignLeft)
        self.ui.packagesTable.verticalHeader().setMinimumSectionSize(1)
        self._showChoice()
        self.ui.slicerRadioButton.connect("clicked()", self._onSlicerChosen)
        self.ui.otherRadioButton.connect("clicked()", self._onOtherChosen)
        self.ui.pathLineEdit.connect("returnPressed()", self._onPathEntered)
        self.ui.browseButton.connect("clicked()", self._onBrowse)
        self.ui.checkButton.connect("clicked()", self.check)
        self.ui.installButton.connect("clicked()", self._onInstall)
        self.ui.restartButton.connect("clicked()", slicer.util.restart)
        self.ui.copyLogButton.connect("clicked()", self._onCopyLog)

    def check(self) -> None:
        """Starts the check of the chosen Python; the panel shows the answer when it comes."""
        self._stopCheck()
        self._check = self._startCheck(environments.workerEnvironment())
        self.ui.statusLabel.text = _("Asking {python} ...").format(python=environments.workerEnvironment().python)
        self.ui.checkButton.enabled = self.ui.installButton.enabled = False
        self._timer.start()

    def close(self) -> None:
        """Ends a check that is still running."""
        self._stopCheck()

    def _poll(self) -> None:
        report = self._check.poll() if self._check else None
        if report is not None:
            self._stopCheck()
            self._show(report)

    def _stopCheck(self) -> None:
        self._timer.stop()
        if self._check is not None:
            self._check.cancel()
            self._check = None
        self.ui.checkButton.enabled = True

    def _show(self, report: Report) -> None:
        self.ui.statusLabel.text = report.text
        self._fillTable(report)
        self.ui.installButton.enabled = bool(report.missing)
        self._log(f"{report.text}\n{report.details}")
        if self._onChanged is not None:
            self._onChanged(report)

    def _fillTable(self, report: Report) -> None:
        needed = [("python", MINIMUM_PYTHON), *((each.name, each.minimum) for each in requirements())]
        rows = [(name, report.versions.get(name), _("{version} or newer").format(version=v)) for name, v in needed]
        rows.append(("GPU", report.gpu or None, _("not necessary")))
        table = self.ui.packagesTable
        table.setRowCount(len(rows))
        for row, (name, found, wanted) in enumerate(rows):
            absent = _("none") if name == "GPU" else _("missing")
            known = absent if found is None else found or _("yes")
            for column, text in enumerate((name, known if report.versions else "", wanted)):
                table.setItem(row, column, qt.QTableWidgetItem(text))
        table.resizeColumnsToContents()
        table.resizeRowsToContents()
        # All rows at once: the list is short.
        heights = [table.rowHeight(row) for row in range(len(rows))]
        table.setMinimumHeight(sum(heights) + table.horizontalHeader().height + 4)

    def _showChoice(self) -> None:
        environment, ui = environments.workerEnvironment(), self.ui
        other, byVariable = environment.source == "other", environment.source == environments.VARIABLE
        ui.slicerRadioButton.checked, ui.otherRadioButton.checked = not other, other
        ui.slicerRadioButton.enabled = ui.otherRadioButton.enabled = not byVariable
        ui.pathLineEdit.enabled = ui.browseButton.enabled = other
        ui.pathLineEdit.text = environment.python if other else ""
        ui.variableLabel.visible = byVariable
        text = _('The environment variable {variable} says: "{python}".')
        ui.variableLabel.text = text.format(variable=environments.VARIABLE, python=environment.python)

    def _onSlicerChosen(self) -> None:
        environments.useSlicerPython()
        self._showChoice()
        self.check()

    def _onOtherChosen(self) -> None:
        self.ui.pathLineEdit.enabled = self.ui.browseButton.enabled = True
        self.ui.pathLineEdit.setFocus()
        if self.ui.pathLineEdit.text:
            self._onPathEntered()

    def _onBrowse(self) -> None:
        path = qt.QFileDialog.getOpenFileName(self.widget, _("Choose a Python"), self.ui.pathLineEdit.text)
        # PySide answers with a pair, PythonQt with the path alone.
        path = path[0] if isinstance(path, tuple) else path
        if path:
            self.ui.pathLineEdit.text = path
            self._onPathEntered()

    def _onPathEntered(self) -> None:
        try:
            environments.setOtherPython(self.ui.pathLineEdit.text)
        except InputError as error:
            self._stopCheck()
            self.ui.statusLabel.text = str(error)
            return
        self._showChoice()
        self.check()

    def _onInstall(self) -> None:
        self._stopCheck()
        with slicer.util.tryWithErrorDisplay(_("The installation failed."), waitCursor=True):
            outcome = self._install(environments.workerEnvironment(), _ask, self._log)
            self.ui.statusLabel.text = outcome.text
            self._log(outcome.text)
            self.ui.restartButton.visible = outcome.restart
            if outcome.ok:
                self.check()

    def _log(self, text: str) -> None:
        self.ui.logText.appendPlainText(text.strip("\n"))

    def _onCopyLog(self) -> None:
        qt.QApplication.clipboard().setText(self.ui.logText.toPlainText())


class _Setup:
    """The dialog while it is open; Python would otherwise drop it."""

    dialog: Any = None


def showSetup(onChanged: Callable[[Report], None] | None = None) -> Any:
    """Opens the set-up as a window of its own, which does not hold up Slicer; returns it."""
    if _Setup.dialog is not None:
        _Setup.dialog.raise_()
        return _Setup.dialog
    dialog = qt.QDialog(slicer.util.mainWindow())
    dialog.windowTitle = _("HighResSegmentation: set-up")
    panel = SetupPanel(onChanged)
    qt.QVBoxLayout(dialog).addWidget(panel.widget)
    buttons = qt.QDialogButtonBox(qt.QDialogButtonBox.Close)
    dialog.layout().addWidget(buttons)

    def closed(result: int) -> None:
        panel.close()
        _Setup.dialog = None

    buttons.connect("rejected()", dialog.reject)
    dialog.connect("finished(int)", closed)
    _Setup.dialog = dialog
    dialog.resize(600, 560)
    dialog.show()
    panel.check()
    return dialog


def _ask(question: str) -> bool:
    return bool(slicer.util.confirmYesNoDisplay(question, windowTitle=_("HighResSegmentation: set-up")))
