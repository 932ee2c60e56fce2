from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import slicer_env

slicer_env.boot()


@pytest.fixture
def scene() -> Iterator[Any]:
    """An empty scene; no VTK class may report an error while the test uses it."""
    slicer_env.vtk_errors.clear()
    slicer_env.slicer.mrmlScene.Clear(0)
    yield slicer_env.slicer.mrmlScene
    assert not slicer_env.vtk_errors
