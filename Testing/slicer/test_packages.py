"""Installing what is missing: what is asked, what is called, and what is said when it does not work."""

# ruff: noqa: N802 -- the stand-ins have the names that Slicer gave the originals.

from __future__ import annotations

import contextlib
import subprocess
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
from fake_torch import FakeTorch

from HighResSegmentationLib import Packages
from HighResSegmentationLib.Environment import Environment
from HighResSegmentationLib.PythonReport import Report

GOOD = Report(True, "all is there", details="checked")


class FakeHost(Packages.Host):
    """Slicer, with or without the extension."""

    def __init__(
        self, torch: FakeTorch | None = None, extension: bool | Exception = True, installed: bool = False
    ) -> None:
        self.torch, self.extension, self.installed = torch, extension, installed
        self.packages: list[str] = []
        self.again: list[str] = []
        self.events: list[str] = []

    def pyTorch(self) -> FakeTorch | None:
        return self.torch

    def hasPyTorchExtension(self) -> bool:
        return self.installed

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        self.events.append("busy")
        yield
        self.events.append("ready")

    def closeWorker(self) -> None:
        self.events.append("worker closed")

    def installPyTorchExtension(self) -> bool:
        self.events.append("extension")
        if isinstance(self.extension, Exception):
            raise self.extension
        return self.extension

    def installPackages(self, requirements: list[str]) -> None:
        self.events.append("packages")
        self.packages += requirements

    def reinstallPackages(self, requirements: list[str]) -> None:
        self.again += requirements


class Talk:
    """Answers questions and keeps them, and the log."""

    def __init__(self, answer: bool = True) -> None:
        self.answer = answer
        self.questions: list[str] = []
        self.lines: list[str] = []

    def ask(self, question: str) -> bool:
        self.questions.append(question)
        return self.answer

    def install(self, report: Report, host: Packages.Host) -> Packages.Outcome:
        return Packages.install(report, lambda: GOOD, self.ask, self.lines.append, host)


def missing(*names: str, old: tuple[str, ...] = (), **versions: str) -> Report:
    return Report(False, "something is missing", versions, missing=list(names), tooOld=list(old))


def test_nothing_to_do() -> None:
    talk, host = Talk(), FakeHost()
    assert talk.install(GOOD, host) == Packages.Outcome(True, "all is there")
    too_old = Report(False, "Python 3.8.10 is too old")
    assert talk.install(too_old, host) == Packages.Outcome(False, "Python 3.8.10 is too old")
    assert talk.questions == []
    assert host.events == []


def test_question_names_packages_and_size_and_no_means_no() -> None:
    talk, host = Talk(answer=False), FakeHost(FakeTorch())
    assert talk.install(missing("torch>=2.4", "pydantic>=2.7"), host) == Packages.Outcome(
        False, "Nothing was installed."
    )
    (question,) = talk.questions
    assert "- torch>=2.4\n- pydantic>=2.7\n" in question
    assert "3 GB" in question
    assert host.events == []
    assert host.torch is not None
    assert (host.torch.calls, host.packages) == ([], [])


def test_small_packages_are_called_small() -> None:
    talk, host = Talk(), FakeHost()
    assert talk.install(missing("safetensors>=0.4"), host).ok
    assert "a few MB" in talk.questions[0]
    assert "GB" not in talk.questions[0]
    assert host.packages == ["safetensors>=0.4"]


def test_torch_by_its_extension_the_rest_by_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    talk, host = Talk(), FakeHost(FakeTorch())
    outcome = talk.install(missing("torch>=2.4", "safetensors>=0.4", "pydantic>=2.7"), host)
    assert outcome == Packages.Outcome(True, "all is there", restart=False, report=GOOD)
    assert host.torch is not None
    assert host.torch.calls == [("install", ">=2.4")]
    assert host.packages == ["safetensors>=0.4", "pydantic>=2.7"]
    assert host.again == []
    assert talk.lines == ["Collecting torch", "Installed torch"]


def test_old_torch_is_replaced_and_slicer_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    talk, host = Talk(), FakeHost(FakeTorch())
    assert talk.install(missing("torch>=2.4", old=("torch>=2.4",), torch="2.2.2"), host).restart
    assert "- torch>=2.4 (replaces 2.2.2)" in talk.questions[0]
    assert host.torch is not None
    assert host.torch.calls == [("uninstall", None), ("install", ">=2.4")]


def test_failure_in_words_and_in_the_log() -> None:
    error = subprocess.CalledProcessError(1, ["pip", "install"])
    talk, host = Talk(), FakeHost(FakeTorch(error))
    outcome = talk.install(missing("torch>=2.4", "pydantic>=2.7"), host)
    assert not outcome.ok
    assert "non-zero exit status 1" in outcome.text
    assert "no network" in outcome.text
    # Part of it may be there by now: what is tried next goes by this.
    assert outcome.report == GOOD
    assert host.packages == []
    assert talk.lines[:2] == ["Collecting torch", "Installed torch"]
    assert "CalledProcessError" in talk.lines[2]


def test_the_worker_lets_go_of_its_files_and_the_cursor_waits_only_for_what_takes_time() -> None:
    host = FakeHost()

    def ask(question: str) -> bool:
        host.events.append("asked")
        return True

    def check() -> Report:
        host.events.append("checked")
        return GOOD

    Packages.install(missing("pydantic>=2.7"), check, ask, lambda line: None, host)
    assert host.events == ["asked", "busy", "worker closed", "packages", "checked", "ready"]
    host.events.clear()
    Packages.install(missing("torch>=2.4"), check, ask, lambda line: None, host)
    assert host.events == ["asked", "busy", "extension", "ready"]


def test_what_is_damaged_is_installed_anew() -> None:
    talk, host = Talk(), FakeHost()
    names = ("safetensors>=0.4", "pydantic>=2.7", "psutil>=5.9")
    # psutil is old, but works: its version is known.
    talk.install(missing(*names, old=("pydantic>=2.7", "psutil>=5.9"), psutil="5.1"), host)
    assert host.again == ["pydantic>=2.7"]
    assert host.packages == ["safetensors>=0.4", "psutil>=5.9"]
    assert "- pydantic>=2.7 (damaged, is installed again)\n- psutil>=5.9 (replaces 5.1)" in talk.questions[0]


def test_an_extension_that_is_there_but_does_not_load_is_not_downloaded_again() -> None:
    talk, host = Talk(), FakeHost(None, installed=True)
    outcome = talk.install(missing("torch>=2.4"), host)
    assert "is installed but does not load" in outcome.text
    assert "enable it in the Extensions Manager" in outcome.text
    assert (outcome.ok, outcome.restart) == (False, True)
    assert (talk.questions, host.events) == ([], [])


@pytest.mark.parametrize(
    ("answer", "extension", "text", "restart"),
    [
        (False, True, "another Python", False),
        (True, True, "Restart Slicer", True),
        (True, False, "could not be downloaded", False),
        (True, RuntimeError("no server"), "could not be downloaded", False),
    ],
)
def test_without_the_extension(answer: bool, extension: Any, text: str, restart: bool) -> None:
    talk, host = Talk(answer), FakeHost(None, extension)
    outcome = talk.install(missing("torch>=2.4", "pydantic>=2.7"), host)
    assert (outcome.ok, outcome.restart) == (False, restart)
    assert text in outcome.text
    assert "PyTorch extension" in talk.questions[0]
    assert host.packages == []
    assert any("no server" in line for line in talk.lines) == isinstance(extension, Exception)


def test_what_slicer_ships_is_never_replaced() -> None:
    talk, host = Talk(), FakeHost(FakeTorch())
    outcome = talk.install(missing("numpy>=1.24", "torch>=2.4", old=("numpy>=1.24",)), host)
    assert outcome == Packages.Outcome(
        False, "numpy>=1.24 belongs to Slicer and is not replaced; update Slicer, or choose another Python."
    )
    assert talk.questions == []


def test_other_pythons_are_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing is asked of that Python once more.
    monkeypatch.delattr(Environment, "startCheck")
    talk, report = Talk(), missing("torch>=2.4", "pydantic>=2.7")
    outcome = Environment("/env/bin/python", "other").install(report, talk.ask, talk.lines.append, FakeHost())
    assert not outcome.ok
    assert outcome.text.endswith('"/env/bin/python" -m pip install "torch>=2.4" "pydantic>=2.7"')
    assert talk.questions == []
