"""Installs what inference needs into Slicer's own Python: asks first, keeps a log, says in words what happened."""

from __future__ import annotations

import contextlib
import io
import sys
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from HighResSegmentationLib.PythonReport import Report

#: They come with Slicer, whose other modules break when they are replaced.
_SHIPPED = ("numpy", "SimpleITK")
_TORCH = "torch"


@dataclass(frozen=True)
class Outcome:
    """How an installation ended.

    Attributes:
        ok: inference can run now.
        text: one or two sentences for the user.
        restart: Slicer should be started again.
        report: of the check that followed; None if nothing was tried.
    """

    ok: bool
    text: str
    restart: bool = False
    report: Report | None = None


class Host:
    """What an installation needs of Slicer; tests put their own in its place."""

    def pyTorch(self) -> Any | None:
        """The logic of the PyTorch extension, which picks the build that suits the GPU; None if it is not there."""
        # The module is asked for, not the extension's name: an installed extension is there only after a restart.
        try:
            import PyTorchUtils
        except ImportError:
            return None
        return PyTorchUtils.PyTorchUtilsLogic()

    def hasPyTorchExtension(self) -> bool:
        """Whether the PyTorch extension is installed, be it loaded or not."""
        import slicer

        return bool(slicer.app.extensionsManagerModel().isExtensionInstalled("PyTorch"))

    def installPyTorchExtension(self) -> bool:
        """Downloads the PyTorch extension; False if the server did not give it."""
        import slicer

        manager = slicer.app.extensionsManagerModel()
        # No questions in between: the user has just been asked.
        interactive, manager.interactive = manager.interactive, False
        try:
            # Not interactive it would restart Slicer at once, and unsaved data be lost: False says no to that.
            return bool(manager.installExtensionFromServer("PyTorch", False))
        finally:
            manager.interactive = interactive

    def busy(self) -> AbstractContextManager[Any]:
        """Shows that Slicer is busy."""
        import slicer

        return slicer.util.WaitCursor()

    def closeWorker(self) -> None:
        """Ends the worker process, if there is one: on Windows nobody can replace the files that it has loaded."""
        from HighResSegmentationLib.Jobs import sharedJobs

        sharedJobs().close()

    def installPackages(self, requirements: list[str]) -> None:
        """Has pip install packages; raises whatever Slicer raises when it fails."""
        import slicer

        try:
            from slicer.packaging import pip_ensure  # Slicer 5.12 and newer
        except ImportError:
            slicer.util.pip_install(requirements)
        else:
            name = "HighResSegmentation"
            pip_ensure(requirements, prompt_install=False, prompt_restart=False, requester=name, skip_in_testing=False)

    def reinstallPackages(self, requirements: list[str]) -> None:
        """Has pip install packages anew that are there, but damaged; raises as :meth:`installPackages`."""
        import slicer

        # Dependencies are left as they are: other extensions share them.
        slicer.util.pip_install([*requirements, "--force-reinstall", "--no-deps"])
        # Those that are missing, or too old for what is there now.
        slicer.util.pip_install(list(requirements))


def install(
    report: Report,
    check: Callable[[], Report],
    ask: Callable[[str], bool],
    log: Callable[[str], None],
    host: Host,
) -> Outcome:
    """Installs what a check of Slicer's own Python found missing.

    It returns when all is done, as Slicer's installers do; some of them let Slicer process events meanwhile.

    Args:
        report: what the check found.
        check: checks again, afterwards.
        ask: asks the user a question that is answered with yes or no.
        log: takes the lines that pip prints.
        host: Slicer.
    """
    if report.ok or not report.missing:
        return Outcome(report.ok, report.text)
    shipped = [each for each in report.missing if _name(each) in _SHIPPED]
    if shipped:
        text = _("{names} belongs to Slicer and is not replaced; update Slicer, or choose another Python.")
        return Outcome(False, text.format(names=", ".join(shipped)))
    torch = next((each for each in report.missing if _name(each) == _TORCH), None)
    pyTorch = host.pyTorch() if torch else None
    if torch and pyTorch is None:
        return _installExtension(ask, log, host)
    if not ask(_question(report)):
        return Outcome(False, _("Nothing was installed."))
    loaded = _TORCH in sys.modules
    with host.busy():
        host.closeWorker()
        try:
            with contextlib.redirect_stdout(_Lines(log)):
                if torch:
                    _installTorch(pyTorch, torch, replace=torch in report.tooOld)
                _installOthers(report, host)
        # Slicer's installers raise errors of many kinds.
        except Exception as error:
            log(traceback.format_exc())
            return Outcome(False, _failure(error), restart=loaded, report=check())
        after = check()
        return Outcome(after.ok, after.text, restart=loaded and bool(torch), report=after)


def _installOthers(report: Report, host: Host) -> None:
    others = [each for each in report.missing if _name(each) != _TORCH]
    damaged = [each for each in others if _isDamaged(each, report)]
    absent = [each for each in others if each not in damaged]
    if damaged:
        host.reinstallPackages(damaged)
    if absent:
        host.installPackages(absent)


def _installTorch(pyTorch: Any, requirement: str, replace: bool) -> None:
    if replace:
        pyTorch.uninstallTorch()
    pyTorch.installTorch(askConfirmation=False, torchVersionRequirement=requirement.removeprefix(_TORCH))


def _installExtension(ask: Callable[[str], bool], log: Callable[[str], None], host: Host) -> Outcome:
    question = _(
        "PyTorch is missing. Slicer's PyTorch extension installs the build that suits this computer's GPU. "
        "Download that extension now (less than 1 MB)? Slicer has to be restarted afterwards."
    )
    refused = _("Nothing was installed. Inference can also run in another Python that has PyTorch.")
    try:
        if host.hasPyTorchExtension():
            text = _(
                "The PyTorch extension is installed but does not load. If it has just been installed, restart Slicer; "
                "if not, enable it in the Extensions Manager, or look into Slicer's error log."
            )
            return Outcome(False, text, restart=True)
        if not ask(question):
            return Outcome(False, refused)
        with host.busy():
            done = host.installPyTorchExtension()
    except Exception:
        log(traceback.format_exc())
        done = False
    if not done:
        text = _("The PyTorch extension could not be downloaded; install it in the Extensions Manager.")
        return Outcome(False, text)
    text = _("The PyTorch extension is installed. Restart Slicer, then open this set-up again to install PyTorch.")
    return Outcome(False, text, restart=True)


def _question(report: Report) -> str:
    lines = [_("These packages are installed into Slicer's own Python, which all extensions share:"), ""]
    for each in report.missing:
        replaced = each in report.tooOld and report.versions.get(_name(each))
        note = _(" (replaces {version})").format(version=replaced) if replaced else ""
        if _isDamaged(each, report):
            note = _(" (damaged, is installed again)")
        lines.append(f"- {each}{note}")
    size = _("They are a few MB.")
    if any(_name(each) == _TORCH for each in report.missing):
        size = _("PyTorch is about 0.3 GB to download, or 3 GB with support for an NVIDIA GPU, and needs twice that "
                 "on the disk. It takes some minutes, in which Slicer is busy.")  # fmt: skip
    return "\n".join([*lines, "", size, _("Install now?")])


def _failure(error: Exception) -> str:
    text = _(
        "The installation failed ({reason}); the log says more. Common causes are no network or a proxy, a full disk, "
        "no right to write into Slicer's folder, and files in use: restart Slicer and try again."
    )
    return text.format(reason=str(error).strip() or type(error).__name__)


def _isDamaged(requirement: str, report: Report) -> bool:
    """Whether the package is there but cannot be imported: a report has no version of it then."""
    return requirement in report.tooOld and _name(requirement) not in report.versions


def _name(requirement: str) -> str:
    return requirement.split(">=")[0]


class _Lines(io.TextIOBase):
    """Hands what is printed on, line by line."""

    def __init__(self, log: Callable[[str], None]) -> None:
        super().__init__()
        self._log, self._rest = log, ""

    def write(self, text: str) -> int:
        """Takes a piece of text."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._log(line)
        return len(text)
