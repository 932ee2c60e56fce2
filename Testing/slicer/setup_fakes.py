"""What the tests of the set-up share: stand-ins of the checks and the installation."""

# ruff: noqa: N802 -- the stand-ins have the names that Slicer gave the originals.

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import qt_env

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
        self.installed: list[tuple[Environment, Report]] = []
        self.renewed = 0
        self.during: Any = lambda: None
        self.changes: list[Report] = []

    def startCheck(self, environment: Environment) -> Any:
        self.asked.append(environment)
        self.checks.append(FakeCheck(self.report))
        return self.checks[-1]

    def renew(self) -> None:
        self.renewed += 1

    def install(self, environment: Environment, report: Report, ask: Any, log: Any) -> Outcome:
        self.installed.append((environment, report))
        log("Collecting torch")
        self.during()
        return self.outcome


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fakes]:
    monkeypatch.setattr(Settings, "_memory", {})
    monkeypatch.delenv(environments.VARIABLE, raising=False)
    from HighResSegmentationLib import SetupPanel as module

    fakes = Fakes()
    monkeypatch.setattr(module, "sharedJobs", lambda: fakes)
    qt_env.errors.clear()
    yield fakes
    assert not qt_env.errors
