"""Which Python inference runs in, and what is said of it: asked of real and of pretended ones."""

# ruff: noqa: N815 -- the stand-ins have the names that Slicer gave the originals.

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slicer_env import slicer

from HighResSegmentationLib import Environment as environments
from HighResSegmentationLib import Probe, Settings
from HighResSegmentationLib.Environment import (
    Environment,
    pythonIn,
    setOtherPython,
    slicerEnvironment,
    useSlicerPython,
    workerEnvironment,
)
from HighResSegmentationLib.PythonCheck import PythonCheck
from HighResSegmentationLib.Requirements import MINIMUM_PYTHON, isAtLeast, requirements
from hrseg.errors import InputError

COMPLETE = {
    "python": "3.12.1",
    "platform": "linux",
    "packages": {
        "numpy": "2.0.2",
        "SimpleITK": "",
        "torch": "2.4.0+cu121",
        "safetensors": "0.4.5",
        "pydantic": "2.9.0",
    },
    "failures": {},
    "gpus": [],
    "noGpu": "no GPU with a working driver was found",
}


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "_memory", {})
    monkeypatch.delenv(environments.VARIABLE, raising=False)


@pytest.fixture
def pretend(tmp_path: Path) -> Callable[[str], str]:
    """Makes an executable out of a few lines of shell."""

    def make(script: str, name: str = "python3") -> str:
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return str(file)

    return make


def answering(changes: dict[str, Any]) -> str:
    """A script that answers as :mod:`Probe` does."""
    return f"echo noise\ncat <<'END'\n{Probe.MARK}{json.dumps({**COMPLETE, **changes})}\nEND"


def packages(**changes: str | None) -> dict[str, Any]:
    """Those of a complete Python, changed; None removes one."""
    return {"packages": {k: v for k, v in {**COMPLETE["packages"], **changes}.items() if v is not None}}


def test_this_python_can_run_inference() -> None:
    assert slicerEnvironment() == Environment(sys.executable, "slicer")
    report = slicerEnvironment().check()
    assert report.ok, report.details
    assert report.missing == []
    torch = importlib.metadata.version("torch")
    assert report.versions["torch"] == torch
    assert report.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert report.text.startswith(f"Python {report.versions['python']}, PyTorch {torch}. ")


def test_variable_then_choice_then_slicers_own(pretend: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert workerEnvironment().source == "slicer"
    other = pretend("exit 0")
    assert setOtherPython(other) == Environment(other, "other") == workerEnvironment()
    monkeypatch.setenv(environments.VARIABLE, "/named/python")
    assert workerEnvironment() == Environment("/named/python", environments.VARIABLE)
    monkeypatch.delenv(environments.VARIABLE)
    assert useSlicerPython().source == workerEnvironment().source == "slicer"


def test_folder_of_an_environment_will_do(tmp_path: Path) -> None:
    python = tmp_path / "my env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert pythonIn(str(tmp_path / "my env")) == str(python)
    assert pythonIn(str(python)) == str(python)
    assert pythonIn("") == ""
    assert setOtherPython(f" {tmp_path / 'my env'} ").python == str(python)


@pytest.mark.parametrize("name", ["", "missing/python", "folder", "Slicer"])
def test_no_python_is_refused_and_not_started(name: str, pretend: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    pretend(f"touch {tmp_path}/started", "Slicer")
    path = str(tmp_path / name) if name else ""
    with pytest.raises(InputError, match=f'"{path}"'):
        setOtherPython(path)
    assert workerEnvironment().source == "slicer"
    report = Environment(path, "other").check()
    assert not report.ok
    assert f'"{path}"' in report.text
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize(
    ("changes", "text", "missing", "too_old"),
    [
        ({"python": "3.8.10"}, "Python 3.8.10 is too old: 3.11 or newer is needed.", [], []),
        (packages(torch=None), "Missing: PyTorch.", ["torch>=2.4"], []),
        (
            packages(torch=None, pydantic=None),
            "Missing: PyTorch, pydantic.",
            ["torch>=2.4", "pydantic>=2.7"],
            [],
        ),
        (
            packages(torch="2.2.2", safetensors=None),
            "Missing: safetensors. PyTorch 2.2.2 is too old: 2.4 or newer is needed.",
            ["torch>=2.4", "safetensors>=0.4"],
            ["torch>=2.4"],
        ),
        (
            {**packages(torch=None), "failures": {"torch": "OSError: libcudart.so"}},
            "PyTorch is damaged (OSError: libcudart.so); install it again.",
            ["torch>=2.4"],
            ["torch>=2.4"],
        ),
        ({"platform": "win32"}, "Missing: psutil.", ["psutil>=5.9"], []),
    ],
)
def test_what_is_missing(
    changes: dict[str, Any], text: str, missing: list[str], too_old: list[str], pretend: Callable[..., str]
) -> None:
    report = Environment(pretend(answering(changes)), "other").check()
    assert (report.ok, report.text, report.missing, report.tooOld) == (False, text, missing, too_old)
    assert report.details.startswith("noise\n")


def test_what_is_there(pretend: Callable[..., str]) -> None:
    report = Environment(pretend(answering({})), "other").check()
    assert report.text == (
        "Python 3.12.1, PyTorch 2.4.0+cu121. It runs on the processor, as no GPU with a working driver was found."
    )
    gpu = {"name": "RTX 4090", "freeBytes": 20 * 2**30, "totalBytes": 24 * 2**30}
    report = Environment(pretend(answering({"gpus": [gpu]})), "other").check()
    assert report.ok
    assert report.gpu == "RTX 4090, 20.0 of 24.0 GiB free"
    assert report.text.endswith(f"PyTorch 2.4.0+cu121. {report.gpu}.")


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("echo hello; exit 3", "(exit code 3: hello)"),
        ("exit 0", "(exit code 0: nothing was printed)"),
        ("echo 'SyntaxError: invalid syntax' >&2; exit 1", f"is too old: Python {MINIMUM_PYTHON} or newer"),
    ],
)
def test_something_else_answers(script: str, text: str, pretend: Callable[..., str]) -> None:
    python = pretend(script)
    report = Environment(python, "other").check()
    assert not report.ok
    assert f'"{python}"' in report.text
    assert text in report.text


def test_not_executable(pretend: Callable[..., str]) -> None:
    python = pretend("exit 0")
    Path(python).chmod(0o644)
    assert "cannot be run (Permission denied)" in Environment(python, "other").check().text


def test_silence_is_ended_with_all_its_children(pretend: Callable[..., str], tmp_path: Path) -> None:
    python = pretend(f"sleep 60 & echo $! > {tmp_path}/pid; wait")
    report = Environment(python, "other").check(timeLimit=0.5)
    assert report.text.startswith(f'"{python}" did not answer within 0.5 seconds')
    # The end of a killed process takes its time; whoever adopted it may not have buried it yet.
    state, end = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat"), time.monotonic() + 20
    while state.exists() and state.read_text().split()[2] != "Z":
        assert time.monotonic() < end, "the child of the child still runs"
        time.sleep(0.02)


def test_damaged_package_is_told_from_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libcudart is missing')")
    (tmp_path / "pydantic.py").write_text("import not_there_at_all")
    check = PythonCheck(
        sys.executable, {**os.environ, "PYTHONPATH": str(tmp_path)}, names=["torch", "pydantic", "nobody_has_this"]
    )
    answer = json.loads(check.wait().details.split(Probe.MARK)[1])
    assert answer["failures"] == {"torch": "OSError: libcudart is missing", "pydantic": "it needs not_there_at_all"}
    assert answer["packages"] == {}


def test_other_pythons_do_not_get_slicers_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/slicer")
    monkeypatch.setenv("KEPT", "yes")
    assert Environment("python", "slicer").variables["PYTHONHOME"] == "/slicer"
    assert "PYTHONHOME" not in Environment("python", "other").variables
    assert Environment("python", "other").variables["KEPT"] == "yes"
    # In the application there is more: what the launcher set is taken back.
    monkeypatch.setattr(slicer.app, "startupEnvironment", lambda: None, raising=False)
    monkeypatch.setattr(slicer.util, "startupEnvironment", lambda: {"PATH": "/usr/bin", "PYTHONPATH": "/mine"})
    assert Environment("python", environments.VARIABLE).variables == {"PATH": "/usr/bin"}


def test_settings_of_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    stored: dict[str, str] = {}

    class FakeSettings:
        value, setValue, remove = stored.get, stored.__setitem__, stored.pop

    monkeypatch.setattr(slicer.app, "userSettings", FakeSettings, raising=False)
    assert Settings.readSetting("Key") == ""
    Settings.writeSetting("Key", "text")
    assert stored == {"HighResSegmentation/Key": "text"}
    assert Settings.readSetting("Key") == "text"
    Settings.writeSetting("Key", "")
    assert stored == {}


def test_requirements(tmp_path: Path) -> None:
    linux, windows = ([each.text for each in requirements(platform)] for platform in ("linux", "win32"))
    assert linux == ["numpy>=1.24", "SimpleITK>=2.3", "torch>=2.4", "safetensors>=0.4", "pydantic>=2.7"]
    assert windows == [*linux, "psutil>=5.9"]
    (tmp_path / "list.txt").write_text("# a comment\n\ntorch==2.4\n")
    with pytest.raises(ValueError, match=r'"torch==2.4".*NAME>=VERSION'):
        requirements(file=tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("version", "minimum", "enough"),
    [
        ("2.13.0+cpu", "2.4", True),
        ("2.4", "2.4.0", True),
        ("2.4.0", "2.4", True),
        ("2.3.1", "2.4", False),
        ("10.0", "9.1", True),
        ("2.4rc1", "2.4", True),
        ("", "2.4", True),
    ],
)
def test_versions_are_compared_by_number(version: str, minimum: str, enough: bool) -> None:
    assert isAtLeast(version, minimum) is enough


def test_a_slicer_without_a_python_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Built with the system's Python: nothing is called PythonSlicer, and Slicer knows no executable."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "executable", "")
    found = slicerEnvironment()
    assert Path(found.python).is_file()
    assert Path(found.python).name == f"python{sys.version_info.major}.{sys.version_info.minor}"
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: "/nowhere")
    assert slicerEnvironment().python == ""
