"""The hidden module: what Slicer lists, its panel, its self-test, and what its import costs."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import panel_env
import pytest
import qt_env
from slicer_env import slicer

import HighResCore as module_file
from HighResSegmentationLib import Environment as environments

ROOT = Path(__file__).resolve().parents[2]
#: Imports the module file as Slicer does at its start, beside stand-ins of what Slicer has imported by then.
IMPORT = """
import sys, time, types
for name in ("slicer", "slicer.i18n", "slicer.ScriptedLoadableModule", "slicer.util"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["slicer.i18n"].tr = sys.modules["slicer.i18n"].translate = None
for name in ("", "Widget", "Logic", "Test"):
    setattr(sys.modules["slicer.ScriptedLoadableModule"], "ScriptedLoadableModule" + name, object)
import __future__, typing, unittest
before, start = set(sys.modules), time.process_time()
import HighResCore
print(time.process_time() - start, *sorted(name for name in set(sys.modules) - before if "." not in name))
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is called when Slicer has started."""
    calls: list[Any] = []
    monkeypatch.setattr(slicer.app, "connect", lambda signal, slot: calls.append((signal, slot)), raising=False)
    return calls


def test_what_slicer_lists(started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    parent = types.SimpleNamespace()
    module_file.HighResCore(parent)
    assert parent.hidden
    for text in (parent.title, parent.helpText, parent.acknowledgementText, *parent.categories, *parent.contributors):
        assert text
    ((signal, slot),) = started
    assert signal == "startupCompleted()"
    done: list[str] = []
    monkeypatch.setattr("HighResSegmentationLib.SampleData.registerSampleData", lambda: done.append("sample"))
    monkeypatch.setattr("HighResSegmentationLib.Terminologies.loadTerminologies", lambda: done.append("terms"))
    slot()
    assert done == ["sample", "terms"]
    monkeypatch.setattr(module_file, "whyTooOld", lambda: "Too old.")
    slot()
    assert done == ["sample", "terms"]


def test_panel_asks_when_it_is_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    qt_env.errors.clear()
    panel_env.load_module("HighResCore")
    asked: list[Any] = []
    ended: list[Any] = []
    fake = types.SimpleNamespace(poll=lambda: None, cancel=lambda: ended.append(True))
    monkeypatch.setattr(environments, "PythonCheck", lambda *_: asked.append(True) or fake)
    window = panel_env.window()
    widget = module_file.HighResCoreWidget(window)
    widget.setup()
    assert asked == []
    widget.enter()
    assert asked == [True]
    widget.exit()
    assert ended == [True]
    widget.cleanup()
    assert not qt_env.errors


@pytest.mark.parametrize("name", [name for name in dir(module_file.HighResCoreTest) if name.startswith("test_")])
def test_self_test(name: str, scene: Any) -> None:
    test = module_file.HighResCoreTest()
    test.setUp()
    getattr(test, name)()
    test.tearDown()


def test_self_tests_are_skipped_in_an_old_slicer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("HighResSegmentationLib.SelfTests.whyTooOld", lambda: "Too old.")
    monkeypatch.setattr(module_file.HighResCoreTest, "test_models", lambda self: pytest.fail("not skipped"))
    module_file.HighResCoreTest().runTest()
    assert "test_models: skipped, Too old." in capsys.readouterr().out


def test_self_test_runs_all_by_itself(monkeypatch: pytest.MonkeyPatch, scene: Any) -> None:
    ran: list[str] = []
    names = [name for name in dir(module_file.HighResCoreTest) if name.startswith("test_")]
    for name in names:
        monkeypatch.setattr(module_file.HighResCoreTest, name, lambda self, name=name: ran.append(name))
    module_file.HighResCoreTest().runTest()
    assert ran == names


def test_scripts_get_the_phantom_as_the_docs_say(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("HighResSegmentationLib.SampleData.makePhantomCT", lambda: "the phantom")
    blocks = (ROOT / "docs" / "python.md").read_text(encoding="utf-8").split("```")[1::2]
    names: dict[str, Any] = {}
    exec(next(block for block in blocks if "makePhantomCT" in block).removeprefix("python"), names)
    assert names["volume"] == "the phantom"


def test_import_is_cheap() -> None:
    """Under 50 ms of the processor, and nothing comes along but the small file that all modules share."""
    paths = {"PYTHONPATH": str(ROOT / "HighResCore")}
    # The best of three: the machine may be busy.
    lines = [
        subprocess.run([sys.executable, "-c", IMPORT], env=paths, capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    ]
    assert {line.split(maxsplit=1)[1].strip() for line in lines} == {"HighResCore HighResSegmentationLib"}
    assert min(float(line.split()[0]) for line in lines) < 0.05
