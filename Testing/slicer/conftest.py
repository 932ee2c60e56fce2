from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import slicer_env
import slicer_shim
import views

slicer_env.boot()
slicer_shim.install(slicer_env.slicer)


@pytest.fixture
def scene() -> Iterator[Any]:
    """An empty scene; no VTK class may report an error while the test uses it."""
    slicer_env.vtk_errors.clear()
    slicer_env.slicer.mrmlScene.Clear(0)
    yield slicer_env.slicer.mrmlScene
    assert not slicer_env.vtk_errors


@pytest.fixture(scope="session")
def _views() -> tuple[views.SliceView, views.ThreeDView]:
    """As in Slicer the views are made once, and stay when the scene is closed."""
    if not views.can_draw():
        pytest.skip("nothing to draw with: install libosmesa6 or libegl1 with Mesa's drivers")
    return views.SliceView(), views.ThreeDView()


@pytest.fixture
def slice_view(scene: Any, _views: Any) -> Iterator[views.SliceView]:
    yield _views[0]
    # The node stays; turned as it is, it could not be saved and loaded without a complaint.
    _views[0].node.SetOrientation("Axial")


@pytest.fixture
def three_d_view(scene: Any, _views: Any) -> views.ThreeDView:
    return _views[1]


@pytest.fixture
def panel(shown: Any) -> Any:
    """The panel of the module that ``shown``, a fixture of each module's tests, shows."""
    return shown.panel


@pytest.fixture
def loaded(panel: Any) -> Any:
    """The panel with a volume chosen and the forecast there."""
    from module_panel import answer, volume

    panel.ui.inputSelector.setCurrentNode(volume())
    panel.forecast.ask()
    answer(panel)
    return panel
