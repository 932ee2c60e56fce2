"""Module panels outside Slicer: the module file, its widget and a window around it."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path
from typing import Any

import qt_env
from PySide6 import QtCore
from slicer_env import slicer

ROOT = Path(__file__).resolve().parents[2]
app = qt_env.install()
qt: Any = sys.modules["qt"]


def load_module(name: str) -> Any:
    """The module file of that name, known to ``slicer.modules`` as Slicer does."""
    module = importlib.import_module(name)
    registered = types.SimpleNamespace(name=name, path=str(ROOT / name / f"{name}.py"))
    setattr(slicer.modules, name.lower(), registered)
    return module


def window(width: int = 440, height: int = 760) -> Any:
    """An empty window with a layout, as Slicer hands it to a module's widget."""
    host = qt.QWidget()
    host.setLayout(qt.QVBoxLayout())
    host.layout().setContentsMargins(4, 4, 4, 4)
    host.resize(width, height)
    return host


def spin(times: int = 3) -> None:
    """Lets Qt deliver what is due."""
    for _ in range(times):
        app.processEvents()
        # What was put off to the return to the event loop, which no test ever enters.
        app.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
