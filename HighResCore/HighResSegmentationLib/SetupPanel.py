"""The set-up: where inference runs, what is there, and the installation of what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import qt
from slicer.i18n import tr as _

import slicer
from HighResSegmentationLib import Environment as environments
from HighResSegmentationLib.Environment import Environment
from HighResSegmentationLib.Jobs import sharedJobs
from HighResSegmentationLib.Packages import Outcome
from HighResSegmentationLib.PythonCheck import PythonCheck
from HighResSegmentationLib.PythonReport import Report
from HighResSegmentationLib.Requirements import MINIMUM_PYTHON, requirements
from hrseg.errors import InputError

_UI_FILE = Path(__file__).resolve().parents[1] / "Resources" / "UI" / "HighResSetup.ui"
_POLL_MILLISECONDS = 100
#: Given the Python, the report on it, how to ask the user, and what takes the lines of the log.
Install = Callable[[Environment, Report, Callable[[str], bool], Callable[[str], None]], Outcome]


class _Setup:
    """What all panels share."""

    #: The dialog while it is open; Python would otherwise drop it.
    dialog: Any = None
    #: Who is told by that dialog.
    callbacks: ClassVar[list[Callable[[Report], None]]] = []
    #: An installation lets Slicer process events, by which a second one could be started.
    installing = False


class SetupPanel:
    """The panel, in ``widget``. Call :meth:`enter` when it is shown, and :meth:`exit` when it is no longer.

    The next job after a change of the Python, or of what is in it, gets a fresh worker; no caller need see to that.

    Args:
        onChanged: called with the report of each check, and so after each change of the Python.
        startCheck: how a Python is checked.
        install: how what is missing is installed.
    """

    def __init__(
        self,
        onChanged: Callable[[Report], None] | None = None,
        startCheck: Callable[[Environment], PythonCheck] = Environment.startCheck,
        install: Install = Environment.install,
    ) -> None:
        self._onChanged, self._startCheck, self._install = onChanged, startCheck, install
        self._check: PythonCheck | None = None
        self._environment = environments.workerEnvironment()
        self._report: Report | None = None
        self.widget = slicer.util.loadUI(str(_UI_FILE))
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self._timer = qt.QTimer(self.widget)
        self._timer.setInterval(_POLL_MILLISECONDS)
        self._timer.connect("timeout()", self._poll)
        self.ui.packagesTable.horizontalHeader().setDefaultAlignment(qt.Qt.AlignLeft)
        self.ui.packagesTable.verticalHeader().setMinimumSectionSize(1)
        self._showChoice()
        for button in (self.ui.checkButton, self.ui.installButton, self.ui.restartButton, self.ui.copyLogButton):
            # Else Enter in the field of the path presses one of them as well.
            button.autoDefault = False
        self.ui.slicerRadioButton.connect("clicked()", self._onSlicerChosen)
        self.ui.otherRadioButton.connect("clicked()", self._onOtherChosen)
        self.ui.pathLineEdit.connect("returnPressed()", self._onPathEntered)
        self.ui.browseButton.connect("clicked()", self._onBrowse)
        self.ui.checkButton.connect("clicked()", self.check)
        self.ui.installButton.connect("clicked()", self._onInstall)
        self.ui.restartButton.connect("clicked()", self._onRestart)
        self.ui.copyLogButton.connect("clicked()", self._onCopyLog)

    def check(self) -> None:
        """Starts the check of the chosen Python; the panel shows the answer when it comes."""
        self._stopCheck()
        if self._waits():
            return
        # Now, not with the answer: the panel may be closed before that comes.
        sharedJobs().renew()
        self._environment, self._report = environments.workerEnvironment(), None
        self._check = self._startCheck(self._environment)
        self.ui.statusLabel.text = _("Asking {python} ...").format(python=self._environment.python)
        self.ui.checkButton.enabled = self.ui.installButton.enabled = False
        self._timer.start()

    def enter(self) -> None:
        """Asks the Python anew whenever the panel is shown."""
        self.check()

    def exit(self) -> None:
        """Ends a check that is still running."""
        self._stopCheck()

    cleanup = exit

    def _poll(self) -> None:
        report = self._check.poll() if self._check else None
        if report is not None:
            self._stopCheck()
            self._show(report.text, report)

    def _stopCheck(self) -> None:
        self._timer.stop()
        if self._check is not None:
            self._check.cancel()
            self._check = None
        self.ui.checkButton.enabled = True

    def _show(self, text: str, report: Report | None) -> None:
        """Shows how things are, and what a check has found if there was one."""
        self.ui.statusLabel.text = text
        self._log(text if report is None else f"{text}\n{report.details}")
        if report is None:
            return
        self._report = report
        self._fillTable(report)
        self.ui.installButton.enabled = bool(report.missing)
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
        if self._report is None or self._waits():
            return
        self._stopCheck()
        with slicer.util.tryWithErrorDisplay(_("The installation failed.")), self._installing():
            outcome = self._install(self._environment, self._report, _ask, self._log)
        self.ui.restartButton.visible = outcome.restart
        sharedJobs().renew()
        self._show(outcome.text, outcome.report)

    @contextmanager
    def _installing(self) -> Iterator[None]:
        """Nothing else can be started meanwhile, neither here nor in another panel."""
        boxes = self.ui.pythonGroupBox, self.ui.stateGroupBox
        try:
            _Setup.installing = True
            for box in boxes:
                box.enabled = False
            yield
        finally:
            _Setup.installing = False
            for box in boxes:
                box.enabled = True

    def _waits(self) -> bool:
        """Whether packages are being installed; the user is told so."""
        if _Setup.installing:
            self.ui.statusLabel.text = _("Packages are being installed; check again when that has finished.")
        return _Setup.installing

    def _onRestart(self) -> None:
        question = _(
            "Slicer is ended and started again. Data that have not been saved are lost: to keep them, press Cancel, "
            "and save them first. Restart now?"
        )
        if slicer.util.confirmOkCancelDisplay(question, windowTitle=_title()):
            slicer.util.restart()

    def _log(self, text: str) -> None:
        self.ui.logText.appendPlainText(text.strip("\n"))

    def _onCopyLog(self) -> None:
        qt.QApplication.clipboard().setText(self.ui.logText.toPlainText())


def showSetup(onChanged: Callable[[Report], None] | None = None) -> Any:
    """Opens the set-up as a window of its own, which does not hold up Slicer; returns it.

    Args:
        onChanged: as in :class:`SetupPanel`, until the window is closed; a window that is open already takes it, too.
    """
    if onChanged is not None and onChanged not in _Setup.callbacks:
        _Setup.callbacks.append(onChanged)
    if _Setup.dialog is not None:
        _Setup.dialog.raise_()
        return _Setup.dialog
    dialog = qt.QDialog(slicer.util.mainWindow())
    dialog.windowTitle = _title()
    panel = SetupPanel(_tell)
    qt.QVBoxLayout(dialog).addWidget(panel.widget)
    buttons = qt.QDialogButtonBox()
    buttons.setStandardButtons(qt.QDialogButtonBox.Close)
    buttons.button(qt.QDialogButtonBox.Close).autoDefault = False
    dialog.layout().addWidget(buttons)

    def closed(result: int) -> None:
        if _Setup.installing:
            # Its end has something to say.
            dialog.show()
            return
        panel.exit()
        _Setup.dialog = None
        _Setup.callbacks.clear()
        # The main window would keep it, hidden, until Slicer ends.
        dialog.deleteLater()

    buttons.connect("rejected()", dialog.reject)
    dialog.connect("finished(int)", closed)
    _Setup.dialog = dialog
    dialog.resize(600, 560)
    dialog.show()
    panel.enter()
    return dialog


def _tell(report: Report) -> None:
    for callback in list(_Setup.callbacks):
        callback(report)


def _ask(question: str) -> bool:
    return bool(slicer.util.confirmYesNoDisplay(question, windowTitle=_title()))


def _title() -> str:
    return _("HighResSegmentation: set-up")
