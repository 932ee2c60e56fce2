"""Asks a Python for its packages and its GPU, in a child process: nothing is imported into Slicer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from slicer.i18n import tr as _

import slicer
from HighResSegmentationLib import Probe
from HighResSegmentationLib.PythonReport import Report, reportFromOutput
from HighResSegmentationLib.Requirements import requirements
from hrseg.worker.processes import Process

#: Seconds: the first import of PyTorch from a cold disk takes long.
TIME_LIMIT = 90.0


class PythonCheck:
    """A question to a Python, asked at once; :meth:`poll` it until the answer is there.

    Args:
        python: the executable.
        variables: the environment variables that it runs with.
        timeLimit: seconds after which it is ended.
        names: of the packages to ask for; all that inference needs if left out.
    """

    def __init__(
        self,
        python: str,
        variables: Mapping[str, str],
        timeLimit: float = TIME_LIMIT,
        names: Sequence[str] | None = None,
    ) -> None:
        self._python, self._timeLimit = python, timeLimit
        self._end = time.monotonic() + timeLimit
        self._printed: list[str] = []
        self._process: Process | None = None
        self._report = refusal(python)
        if self._report is None:
            self._start(variables, [each.name for each in requirements()] if names is None else names)

    def poll(self) -> Report | None:
        """The report once it is there, else None; never waits."""
        process = self._process
        if process is not None:
            # Asked before the lines are read, so that none comes too late.
            ended = process.ended
            self._printed += [line for _stream, line in process.lines()]
            if ended:
                self._report = reportFromOutput(self._python, "\n".join(self._printed), process.returncode)
                self._process = None
            elif time.monotonic() > self._end:
                self.cancel()
                text = _('"{python}" did not answer within {seconds:g} seconds; try again, or choose another Python.')
                text = text.format(python=self._python, seconds=self._timeLimit)
                self._report = Report(False, text, details="\n".join(self._printed))
        return self._report

    def wait(self) -> Report:
        """The report; waits for it, at most for the time limit, while Slicer goes on."""
        app = getattr(slicer, "app", None)
        while (report := self.poll()) is None:
            if app is not None:
                app.processEvents()
            time.sleep(0.02)
        return report

    def cancel(self) -> None:
        """Ends the child, if it still runs; no report comes then."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def _start(self, variables: Mapping[str, str], names: Sequence[str]) -> None:
        quiet = {"PYTHONIOENCODING": "utf-8", "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            self._process = Process([self._python, Probe.__file__, *names], {**variables, **quiet})
        except OSError as error:
            text = _('"{python}" cannot be run ({reason}); choose another Python.')
            self._report = Report(False, text.format(python=self._python, reason=error.strerror))


def refusal(python: str) -> Report | None:
    """Why ``python`` is not run at all; None if it may be."""
    if not python or not Path(python).exists():
        text = _('There is no file "{python}"; choose a Python, such as bin/python or python.exe of an environment.')
        if not python:
            text = _('There is no Python to run (""); choose one on this computer, such as that of an environment.')
    elif not Path(python).is_file() or "python" not in Path(python).name.lower():
        # What is chosen by mistake, such as Slicer itself, is not started.
        text = _('"{python}" is not a Python; choose a file such as bin/python or python.exe of an environment.')
    else:
        return None
    return Report(False, text.format(python=python))
