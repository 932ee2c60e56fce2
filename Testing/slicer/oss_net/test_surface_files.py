"""Surfaces that the command line writes, as Slicer reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slicer_env import slicer

from hrseg.oss_net.surface import Surface
from hrseg.oss_net.surface_file import write_surface


@pytest.mark.parametrize("suffix", [".ply", ".stl"])
def test_they_lie_where_they_were(scene: Any, tmp_path: Path, suffix: str) -> None:
    points = np.array([[10, -20, 3], [12, -20, 3], [12, -18, 5]], dtype=float)
    write_surface(tmp_path / f"s{suffix}", Surface(points, np.array([[0, 1, 2]])))
    model = slicer.util.loadModel(str(tmp_path / f"s{suffix}"))
    found = slicer.util.arrayFromModelPoints(model)
    np.testing.assert_allclose(found[np.argsort(found.sum(axis=1))], points[np.argsort(points.sum(axis=1))])
    assert model.GetPolyData().GetNumberOfCells() == 1
