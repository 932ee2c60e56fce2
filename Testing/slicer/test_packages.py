"""Installing what is missing: what is asked, what is called, and what is said when it does not work."""

# ruff: noqa: N802, N803 -- the stand-ins have the names that Slicer gave the originals.

from __future__ import annotations

import subprocess
import sys
import types
from typing import Any

import pytest
from slicer_env import slicer

from HighResSegmentationLib import Packages
from HighResSegmentationLib.Environment import Environment
from HighResSegmentationLib.PythonReport import Report

GOOD = Report(True, "all is there", details="checked")


class FakeTorch:
    """The logic of the PyTorch extension."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.error = error

    def uninstallTorch(self) -> None:
        self.calls.append(("uninstall", None))

    def installTorch(self, askConfirmation: bool, torchVersionRequirement: str) -> None:
        assert not askConfirmation
        self.calls.append(("install", torchVersionRequirement))
        print("Collecting torch\nInstalled ", end="")
        print("torch")
        if self.error:
            raise self.error


class FakeHost(Packages.Host):
    """Slicer, with or without the extension."""

    def __init__(self, torch: FakeTorch | None = None, extension: bool | Exception = True) -> None:
        self.torch, self.extension = torch, extension
        self.packages: list[str] = []

    def pyTorch(self) -> FakeTorch | None:
        return self.torch

    def installPyTorchExtension(self) -> bool:
        if isinstance(self.extension, Exception):
            raise self.extension
        return self.extension

    def installPackages(self, requirements: list[str]) -> None:
        self.packages += requirements


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


def test_question_names_packages_and_size_and_no_means_no() -> None:
    talk, host = Talk(answer=False), FakeHost(FakeTorch())
    assert talk.install(missing("torch>=2.4", "pydantic>=2.7"), host) == Packages.Outcome(
        False, "Nothing was installed."
    )
    (question,) = talk.questions
    assert "- torch>=2.4\n- pydantic>=2.7\n" in question
    assert "3 GB" in question
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
    assert outcome == Packages.Outcome(True, "all is there", restart=False)
    assert host.torch is not None
    assert host.torch.calls == [("install", ">=2.4")]
    assert host.packages == ["safetensors>=0.4", "pydantic>=2.7"]
    assert talk.lines == ["Collecting torch", "Installed torch", "checked"]


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
    assert host.packages == []
    assert talk.lines[:2] == ["Collecting torch", "Installed torch"]
    assert "CalledProcessError" in talk.lines[2]


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
    monkeypatch.setattr(Environment, "check", lambda self: missing("torch>=2.4", "pydantic>=2.7"))
    talk = Talk()
    outcome = Environment("/env/bin/python", "other").install(talk.ask, talk.lines.append, FakeHost())
    assert not outcome.ok
    assert outcome.text.endswith('"/env/bin/python" -m pip install "torch>=2.4" "pydantic>=2.7"')
    assert talk.questions == []


def test_pip_of_older_and_newer_slicers(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(slicer.util, "pip_install", calls.append, raising=False)
    Packages.Host().installPackages(["pydantic>=2.7"])
    assert calls == [["pydantic>=2.7"]]
    newer = types.ModuleType("slicer.packaging")
    newer.pip_ensure = lambda names, **options: calls.append((names, options))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "slicer.packaging", newer)
    Packages.Host().installPackages(["pydantic>=2.7"])
    names, options = calls[1]
    assert names == ["pydantic>=2.7"]
    # The user has been asked already, and a restart is our own offer.
    assert options["prompt_install"] is options["prompt_restart"] is False


def test_the_extensions_module_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    assert Packages.Host().pyTorch() is None
    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = FakeTorch  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    assert isinstance(Packages.Host().pyTorch(), FakeTorch)


def test_the_extension_is_downloaded_without_more_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    class Manager:
        def setInteractive(self, on: bool) -> None:
            calls.append(on)

        def isExtensionInstalled(self, name: str) -> bool:
            return False

        def installExtensionFromServer(self, name: str) -> bool:
            calls.append(name)
            return True

    monkeypatch.setattr(slicer.app, "extensionsManagerModel", Manager, raising=False)
    assert Packages.Host().installPyTorchExtension()
    assert calls == [False, "PyTorch"]
