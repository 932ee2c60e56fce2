"""What is in a Python environment, in words: whether inference can run there, and what is missing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from slicer.i18n import tr as _

from HighResSegmentationLib import Probe
from HighResSegmentationLib.Requirements import MINIMUM_PYTHON, Requirement, isAtLeast, requirements

_GIB = 1024**3
_TITLES = {"torch": "PyTorch"}
#: Of packages that are not there at all, which one sentence lists.
_ABSENT = "absent"


@dataclass(frozen=True)
class Report:
    """Whether inference can run in a Python environment.

    Attributes:
        ok: it can.
        text: one or two sentences for the user.
        versions: of "python" and of the packages found; empty where unknown.
        gpu: names and memory of the GPUs that PyTorch can use; empty if none.
        missing: what has to be installed, as pip takes it.
        tooOld: those of ``missing`` that are there in an older version, or damaged.
        details: all that the environment printed, for the log.
    """

    ok: bool
    text: str
    versions: dict[str, str] = field(default_factory=dict)
    gpu: str = ""
    missing: list[str] = field(default_factory=list)
    tooOld: list[str] = field(default_factory=list)
    details: str = ""


def reportFromOutput(python: str, output: str, exitCode: int | None) -> Report:
    """The report on what :mod:`Probe` printed, with its errors, when run by ``python``."""
    line = next((line for line in reversed(output.splitlines()) if line.startswith(Probe.MARK)), "")
    try:
        answer = json.loads(line.removeprefix(Probe.MARK))
    except ValueError:
        return Report(False, _noAnswer(python, output, exitCode), details=output)
    return _reportFromAnswer(answer, output)


def _noAnswer(python: str, output: str, exitCode: int | None) -> str:
    if "SyntaxError" in output:
        text = _('"{python}" is too old: Python {minimum} or newer is needed.')
        return text.format(python=python, minimum=MINIMUM_PYTHON)
    last = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), _("nothing was printed"))
    return _('"{python}" does not work as a Python (exit code {code}: {last}); choose another one.').format(
        python=python, code=exitCode, last=last
    )


def _reportFromAnswer(answer: dict[str, Any], output: str) -> Report:
    packages = answer["packages"]
    versions = {"python": answer["python"], **packages}
    if not isAtLeast(answer["python"], MINIMUM_PYTHON):
        return Report(False, _tooOldText("Python", answer["python"], MINIMUM_PYTHON), versions, details=output)
    gpu = ", ".join(map(_gpuText, answer["gpus"]))
    needed = requirements(answer["platform"])
    problems = {each.text: text for each in needed if (text := _problem(each, packages, answer["failures"]))}
    if problems:
        absent = [each for each in needed if problems.get(each.text) == _ABSENT]
        sentences = [_("Missing: {names}.").format(names=", ".join(map(_title, absent)))] if absent else []
        sentences += [text for text in problems.values() if text != _ABSENT]
        tooOld = [name for name, text in problems.items() if text != _ABSENT]
        return Report(False, " ".join(sentences), versions, gpu, list(problems), tooOld, output)
    text = _("Python {python}, PyTorch {torch}. {device}.").format(
        python=answer["python"], torch=packages["torch"], device=gpu or _cpuText(answer["noGpu"])
    )
    return Report(True, text, versions, gpu, details=output)


def _problem(requirement: Requirement, packages: dict[str, str], failures: dict[str, str]) -> str:
    """What is wrong with a package, in a sentence; empty if nothing is."""
    name = requirement.name
    if name in failures:
        text = _("{name} is damaged ({reason}); install it again.")
        return text.format(name=_title(requirement), reason=failures[name])
    if name not in packages:
        return _ABSENT
    if isAtLeast(packages[name], requirement.minimum):
        return ""
    return _tooOldText(_title(requirement), packages[name], requirement.minimum)


def _tooOldText(name: str, found: str, minimum: str) -> str:
    text = _("{name} {found} is too old: {minimum} or newer is needed.")
    return text.format(name=name, found=found, minimum=minimum)


def _title(requirement: Requirement) -> str:
    return _TITLES.get(requirement.name, requirement.name)


def _gpuText(gpu: dict[str, Any]) -> str:
    return _("{name}, {free:.1f} of {total:.1f} GiB free").format(
        name=gpu["name"], free=gpu["freeBytes"] / _GIB, total=gpu["totalBytes"] / _GIB
    )


def _cpuText(reason: str) -> str:
    return _("It runs on the processor, as {reason}").format(reason=reason)
