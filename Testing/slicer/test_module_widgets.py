"""What the widgets of the three modules share: their first volume, bindings, Reload, and a Slicer that is too old."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import panel_env
import pytest
import qt_env
from fake_worker import FakeClient
from module_panel import volume
from slicer_env import slicer

from HighResSegmentationLib import Jobs, Models, ModuleWidget

MODULES = ("CropCascade", "OSSNet", "SRSegmentation")
ROOT = Path(__file__).resolve().parents[2]
#: Imports a module file beside stand-ins of what Slicer has imported by then, and names the files that came along.
IMPORT = """
import sys
sys.path[:0] = {folders!r}
import slicer_env, slicer_shim
slicer_env.boot(); slicer_shim.install(slicer_env.slicer)
import {module}
files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
print(*(file for file in files if file.startswith({own!r})), sep="\\n")
"""


@pytest.fixture(params=MODULES)
def module(request: pytest.FixtureRequest, scene: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module file, and a worker that answers at once."""
    module = panel_env.load_module(request.param)
    jobs = Jobs.Jobs(lambda: FakeClient())  # type: ignore[arg-type, return-value]
    monkeypatch.setattr(f"{request.param}Lib.Logic.sharedJobs", lambda: jobs)
    monkeypatch.setattr(Models, "listModels", lambda *methods: [])
    qt_env.errors.clear()
    return module


def make(module: Any, entered: Any = None) -> Any:
    """The module's widget, set up in a window that Slicer shows, or does not."""
    host = panel_env.window()
    if entered is not None:
        host.isEntered = entered
    widget = getattr(module, f"{module.__name__}Widget")(host)
    widget.setup()
    return widget


@pytest.fixture
def widget(module: Any) -> Iterator[Any]:
    widget = make(module)
    yield widget
    widget.cleanup()
    assert not qt_env.errors


def test_the_first_volume_is_one_that_the_selector_offers(widget: Any) -> None:
    array, eye = np.ones((1, 4, 4, 3), np.uint8), np.eye(4)
    labels = slicer.util.addVolumeFromArray(array[..., 0], eye, "labels", "vtkMRMLLabelMapVolumeNode")
    hidden = volume("hidden")
    hidden.SetHideFromEditors(True)
    color = slicer.util.addVolumeFromArray(array, eye, "color", "vtkMRMLVectorVolumeNode")
    volume("later")
    widget.enter()
    assert labels.IsA("vtkMRMLScalarVolumeNode")
    assert widget.panel.parameters.inputVolume is color
    assert widget.panel.ui.inputSelector.currentNode() is color


def test_a_panel_that_is_left_is_bound_to_nothing(widget: Any) -> None:
    chosen, other = volume(), volume("other")
    for _ in range(3):
        widget.enter()
        widget.exit()
    parameters = widget.logic.getParameterNode()
    assert parameters.inputVolume is chosen
    widget.panel.ui.inputSelector.setCurrentNode(other)
    assert parameters.inputVolume is chosen
    parameters.inputVolume = None
    assert widget.panel.ui.inputSelector.currentNode() is other
    # One live binding, not one more with each entering.
    widget.enter()
    assert len(widget.panel.parameters._gui) == 1


@pytest.mark.parametrize("entered", [True, lambda: True])
def test_a_panel_made_by_reload_in_a_module_that_is_shown_is_entered(module: Any, entered: Any) -> None:
    widget = make(module, entered)
    assert widget.panel.parameters is not None
    widget.cleanup()


@pytest.mark.parametrize("entered", [None, False])
def test_a_panel_that_is_not_shown_is_not_entered(module: Any, entered: Any) -> None:
    widget = make(module, entered)
    assert widget.panel.parameters is None
    widget.cleanup()


def test_reload_ends_the_worker_and_drops_what_is_to_be_read_anew(widget: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name, happened = widget.moduleName, list[str]()

    class Shared:
        cache_info = staticmethod(lambda: SimpleNamespace(currsize=1))

        def __new__(cls) -> Any:
            return SimpleNamespace(close=lambda: happened.append("closed"))

    base = type(widget).__mro__[2]
    assert base.__name__ == "ScriptedLoadableModuleWidget"
    monkeypatch.setattr(base, "onReload", lambda self: happened.append("reloaded"))
    there = dict.fromkeys((name, f"{name}Lib", f"{name}Lib.Logic", "HighResSegmentationLib", "hrseg.errors", "numpy"))
    there["HighResSegmentationLib.Jobs"] = SimpleNamespace(sharedJobs=Shared)  # type: ignore[assignment]
    monkeypatch.setattr(ModuleWidget, "sys", SimpleNamespace(modules=there))
    widget.onReload()
    assert happened == ["closed", "reloaded"]
    assert list(there) == [name, "hrseg.errors", "numpy"]
    # None is made to be ended.
    Shared.cache_info = staticmethod(lambda: SimpleNamespace(currsize=0))
    there["HighResSegmentationLib.Jobs"] = SimpleNamespace(sharedJobs=Shared)  # type: ignore[assignment]
    widget.onReload()
    assert happened == ["closed", "reloaded", "reloaded"]


def test_an_old_slicer_is_told_in_place_of_the_panel(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModuleWidget, "sys", SimpleNamespace(version_info=(3, 9, 10, "final", 0)))
    monkeypatch.setattr(
        getattr(module, f"{module.__name__}Widget"), "makePanel", lambda self: pytest.fail("newer Python is needed")
    )
    widget = make(module, True)
    widget.enter()
    widget.exit()
    widget.cleanup()
    label = widget.layout.itemAt(0).widget()
    assert label.text == (
        "HighResSegmentation needs Slicer 5.10 or newer, whose Python is 3.11 or newer; this one has 3.9.10."
    )
    assert label.wordWrap


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 10)])
def test_newer_ones_are_not(version: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModuleWidget, "sys", SimpleNamespace(version_info=version))
    assert ModuleWidget.whyTooOld() == ""


@pytest.mark.parametrize("name", MODULES)
def test_what_an_old_slicer_imports_needs_no_newer_python(name: str) -> None:
    """The module file and all that comes along; Slicer 5.8 reads them at its start with Python 3.9."""
    folders = [str(Path(__file__).parent), str(ROOT / "HighResCore"), str(ROOT / name)]
    code = IMPORT.format(module=name, folders=folders, own=tuple(folders[1:]))
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    files = [Path(line) for line in out.splitlines() if line.endswith(".py")]
    assert {f"{name}.py", "Logic.py", "ModuleWidget.py", "Jobs.py"} <= {file.name for file in files}
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file), feature_version=(3, 9))
        assert list(_newer(tree)) == [], file


def _newer(tree: ast.Module) -> Iterator[str]:
    """What parses in Python 3.9 but does not run when a file is imported: unions, newer keywords of data classes."""
    names = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    values = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    for top in values if "annotations" in names else [tree]:
        yield from (ast.unparse(n) for n in ast.walk(top) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.BitOr))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            calls = (decorator for decorator in node.decorator_list if isinstance(decorator, ast.Call))
            yield from (k.arg for call in calls for k in call.keywords if k.arg in ("kw_only", "slots"))
