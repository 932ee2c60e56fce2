"""Apply, which is Cancel during a run; progress; what came of it; and the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ctk
import qt
from slicer.i18n import tr as _

from HighResSegmentationLib.Jobs import Jobs
from hrseg.errors import Cancelled, HrsegError, OutputError

_POLL_MS = 100


class RunPanel:
    """The foot of a module's panel.

    Args:
        holder: an empty widget of the panel.
        jobs: what is polled while it has something to do.
        onApply: called by the button, unless a run is to be cancelled.
        onRunning: told when a run begins (True) and ends (False), to enable what else can start one.
        askPath: where to save the log; "" when the user thinks better of it.
    """

    def __init__(
        self,
        holder: qt.QWidget,
        jobs: Jobs,
        onApply: Callable[[], None],
        onRunning: Callable[[bool], None] = lambda running: None,
        askPath: Callable[[], str] | None = None,
    ) -> None:
        self._jobs, self._askPath = jobs, askPath or _askLogPath
        self._onApply, self._onRunning = onApply, onRunning
        self._reason = self._tip = ""
        self._running = False
        self._build(holder)
        self._timer = qt.QTimer(holder)
        self._timer.setInterval(_POLL_MS)
        self._timer.connect("timeout()", self.tick)
        self.setReady(_("Choose what to do first."))

    @property
    def running(self) -> bool:
        """Whether the user waits for a run that began here."""
        return self._running

    def setReady(self, reason: str, tip: str = "") -> None:
        """Enables Apply where there is no reason against it; else the reason is shown, where no message is."""
        if not self._running:
            self.applyButton.enabled = not reason
            self.applyButton.toolTip = reason or tip
            if self.statusLabel.text in ("", self._reason):
                self._show(reason)
        self._reason, self._tip = reason, tip

    def started(self, text: str) -> None:
        """A run has begun, or a short question whose answer the user waits for."""
        self._running = True
        self._onRunning(True)
        self.applyButton.text = _("Cancel")
        self.applyButton.toolTip = _("Stop within a second; nothing is changed.")
        self.applyButton.enabled = True
        self._show(text)
        self.progressBar.setRange(0, 0)
        self.progressBar.setVisible(True)
        self.watch()

    def watch(self) -> None:
        """Polls until the jobs are done."""
        self._timer.start()

    def progress(self, title: str, done: int, total: int, seconds: float) -> None:
        """Shows the stage, its units and percent, and the time since the start."""
        if not self._running:
            return
        if total > 1:
            self.progressBar.setRange(0, total)
            self.progressBar.setValue(done)
            title = _("{title}: {done} of {total}").format(title=title, done=done, total=total)
        else:
            self.progressBar.setRange(0, 0)
        self._show(_("{title} ({seconds:.0f} s)").format(title=title, seconds=seconds))

    def finished(self, text: str) -> None:
        """The run is over."""
        self._stop(text)

    def failed(self, error: Exception) -> None:
        """The run has failed, or was cancelled, which needs no alarm."""
        if isinstance(error, HrsegError):
            self._stop(str(error), warn=not isinstance(error, Cancelled))
        else:
            self._stop(_("Something unexpected happened ({error}); the log has the details.").format(error=error), True)

    def tick(self) -> None:
        """One look at the worker."""
        self._jobs.poll()
        self.refreshLog()
        if not self._jobs.active:
            self._timer.stop()

    def refreshLog(self) -> None:
        """Shows the log as it is now, at its end, where it is open."""
        text = "\n".join(self._jobs.log)
        if not self.logButton.collapsed and text != self.logText.plainText:
            self.logText.setPlainText(text)
            bar = self.logText.verticalScrollBar()
            bar.setValue(bar.maximum)

    def saveLog(self) -> None:
        """Asks for a file and writes the log to it."""
        path = self._askPath()
        if not path:
            return
        try:
            self._jobs.saveLog(path)
        except OutputError as error:
            self._show(str(error), warn=True)
        else:
            self._show(_('The log was saved to "{path}".').format(path=path))

    def cleanup(self) -> None:
        """Stops what the panel has started, as nobody is left to be told, and polling."""
        if self._running:
            self._jobs.drop(_("The module was closed, so the run was canceled."))
        self._timer.stop()

    def _clicked(self) -> None:
        if self._running:
            self.applyButton.enabled = False
            self._show(_("Canceling ..."))
            self._jobs.cancel()
        elif not self._reason:
            self._onApply()

    def _stop(self, text: str, warn: bool = False) -> None:
        self._running = False
        self._onRunning(False)
        self.applyButton.text = _("Apply")
        self.progressBar.setVisible(False)
        self.setReady(self._reason, self._tip)
        self._show(text, warn)
        self.refreshLog()

    def _show(self, text: str, warn: bool = False) -> None:
        self.statusLabel.text = text
        self.statusLabel.setVisible(bool(text))
        self.warningLabel.setVisible(warn)

    def _build(self, holder: qt.QWidget) -> None:
        layout = qt.QVBoxLayout(holder)
        layout.setContentsMargins(0, 0, 0, 0)
        self.applyButton = qt.QPushButton(_("Apply"))
        self.applyButton.name = "applyButton"
        self.applyButton.connect("clicked()", self._clicked)
        self.progressBar = qt.QProgressBar()
        self.progressBar.toolTip = _("How far the current stage is.")
        self.progressBar.setVisible(False)
        layout.addWidget(self.applyButton)
        layout.addWidget(self.progressBar)
        layout.addLayout(self._statusRow())
        layout.addWidget(self._logPanel())

    def _statusRow(self) -> Any:
        self.warningLabel, self.statusLabel = qt.QLabel(), qt.QLabel()
        icon = self.warningLabel.style().standardIcon(qt.QStyle.SP_MessageBoxWarning)
        self.warningLabel.setPixmap(icon.pixmap(16, 16))
        self.warningLabel.setSizePolicy(qt.QSizePolicy.Fixed, qt.QSizePolicy.Preferred)
        self.statusLabel.wordWrap = True
        self.statusLabel.setTextInteractionFlags(qt.Qt.TextSelectableByMouse)
        self._show("")
        row = qt.QHBoxLayout()
        row.addWidget(self.warningLabel)
        row.addWidget(self.statusLabel)
        return row

    def _logPanel(self) -> Any:
        self.logButton, self.logText = ctk.ctkCollapsibleButton(), qt.QPlainTextEdit()
        self.logButton.text = _("Log")
        self.logButton.toolTip = _("What the inference process reported.")
        self.logText.readOnly = True
        self.logText.toolTip = self.logButton.toolTip
        self.logText.setMinimumHeight(90)
        self.saveLogButton, self.copyLogButton = qt.QPushButton(_("Save...")), qt.QPushButton(_("Copy"))
        self.saveLogButton.toolTip = _("Save the log to a text file, for example to ask for help.")
        self.copyLogButton.toolTip = _("Copy the log to the clipboard.")
        self.saveLogButton.connect("clicked()", self.saveLog)
        self.copyLogButton.connect("clicked()", self._copyLog)
        buttons = qt.QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self.copyLogButton)
        buttons.addWidget(self.saveLogButton)
        layout = qt.QVBoxLayout(self.logButton)
        layout.addWidget(self.logText)
        layout.addLayout(buttons)
        self.logButton.collapsed = True
        self.logButton.connect("contentsCollapsed(bool)", lambda collapsed: self.refreshLog())
        return self.logButton

    def _copyLog(self) -> None:
        qt.QApplication.clipboard().setText("\n".join(self._jobs.log))


def _askLogPath() -> str:
    path = qt.QFileDialog.getSaveFileName(None, _("Save the log"), "HighResSegmentation.log.txt", "*.txt")
    return path if isinstance(path, str) else path[0]
