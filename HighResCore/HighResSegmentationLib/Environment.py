"""Where inference runs: Slicer's own Python, or any other that the user names, so that nothing need be installed."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from slicer.i18n import tr as _

from HighResSegmentationLib import Packages
from HighResSegmentationLib.PythonCheck import TIME_LIMIT, PythonCheck, refusal
from HighResSegmentationLib.PythonReport import Report
from HighResSegmentationLib.Settings import readSetting, writeSetting
from hrseg.errors import InputError

#: The environment variable that goes before the user's choice.
VARIABLE = "HRSEG_WORKER_PYTHON"
_SETTING = "WorkerPython"
#: What Slicer's launcher sets for its own Python, which misleads any other one.
_FOREIGN = ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE")
_PLACES = ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe")


@dataclass(frozen=True)
class Environment:
    """A Python that inference runs in.

    Attributes:
        python: the executable.
        source: who named it: "slicer", "other" (the user) or "HRSEG_WORKER_PYTHON".
    """

    python: str
    source: str

    @property
    def variables(self) -> dict[str, str]:
        """All environment variables for a child process: Slicer's for its own Python, the system's for others."""
        if self.source == "slicer":
            return dict(os.environ)
        return {name: value for name, value in _systemVariables().items() if name not in _FOREIGN}

    def startCheck(self, timeLimit: float = TIME_LIMIT) -> PythonCheck:
        """Asks for versions and GPU; poll what is returned, as it takes some seconds."""
        return PythonCheck(self.python, self.variables, timeLimit)

    def check(self, timeLimit: float = TIME_LIMIT) -> Report:
        """Whether inference can run here; waits for the answer."""
        return self.startCheck(timeLimit).wait()

    def install(
        self,
        report: Report,
        ask: Callable[[str], bool],
        log: Callable[[str], None],
        host: Packages.Host | None = None,
    ) -> Packages.Outcome:
        """Installs what the ``report`` of a check has missing, into Slicer's Python only: :func:`Packages.install`."""
        if self.source != "slicer" and report.missing:
            return Packages.Outcome(False, _byHand(self.python, report.missing))
        return Packages.install(report, self.check, ask, log, host or Packages.Host())


def workerEnvironment() -> Environment:
    """The Python that inference runs in: by the environment variable, else the user's choice, else Slicer's own."""
    if named := os.environ.get(VARIABLE, ""):
        return Environment(pythonIn(named), VARIABLE)
    if chosen := readSetting(_SETTING):
        return Environment(chosen, "other")
    return slicerEnvironment()


def slicerEnvironment() -> Environment:
    """Slicer's own Python. Inside Slicer, ``sys.executable`` may be Slicer itself."""
    return Environment(shutil.which("PythonSlicer") or sys.executable or _systemPython(), "slicer")


def setOtherPython(path: str) -> Environment:
    """Has inference run in another Python from now on; ``path`` is its executable, or the folder of its environment.

    Raises:
        InputError: there is no Python there.
    """
    python = pythonIn(path.strip())
    check = refusal(python)
    if check is not None:
        raise InputError(check.text)
    writeSetting(_SETTING, python)
    return workerEnvironment()


def useSlicerPython() -> Environment:
    """Has inference run in Slicer's own Python from now on."""
    writeSetting(_SETTING, "")
    return workerEnvironment()


def pythonIn(path: str) -> str:
    """The executable in the folder of an environment (venv or conda); any other ``path`` as it is."""
    folder = Path(path).expanduser()
    found = (folder / place for place in _PLACES if (folder / place).is_file())
    return str(next(found, folder)) if path else ""


def _systemPython() -> str:
    """Of a Slicer that was built with the system's Python: it has no PythonSlicer, and ``sys.executable`` is empty."""
    folder = Path(sysconfig.get_config_var("BINDIR") or sys.base_prefix)
    python = folder / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return str(python) if python.is_file() else ""


def _systemVariables() -> dict[str, str]:
    """The environment that Slicer was started from."""
    import slicer

    if hasattr(getattr(slicer, "app", None), "startupEnvironment"):
        return slicer.util.startupEnvironment()
    return dict(os.environ)


def _byHand(python: str, missing: list[str]) -> str:
    quoted = " ".join(f'"{each}"' for each in missing)
    return _(
        "Packages are installed into Slicer's own Python only. In a terminal, this adds what is missing:\n{command}"
    ).format(command=f'"{python}" -m pip install {quoted}')
