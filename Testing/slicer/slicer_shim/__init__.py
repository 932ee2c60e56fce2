"""The Python files of Slicer that slicer-core lacks, cut down to what scripted modules rely on."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

NAMES = ("i18n", "ScriptedLoadableModule", "parameterNodeWrapper")


def install(slicer: ModuleType) -> None:
    """Makes ``slicer.i18n`` and its like importable. Needs :func:`slicer_env.boot` before."""
    for name in NAMES:
        module = importlib.import_module(f"slicer_shim.{name}")
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)
