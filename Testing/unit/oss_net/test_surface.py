from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from hrseg.geometry import Floats, Grid
from hrseg.oss_net.surface import SURFACE, surface_of

RADIUS = 6.0


def ball_lead(grid: Grid, centre: Floats) -> tuple[NDArray[np.bool_], object]:
    def lead(index: Floats) -> NDArray[np.float32]:
        distance = np.linalg.norm(grid.to_world(index) - centre, axis=1)
        return np.tanh((RADIUS - distance) / 2).astype(np.float32)

    places = np.indices(grid.shape).reshape(3, -1).T
    return (lead(places) > 0).reshape(grid.shape), lead


def volume(points: Floats, triangles: NDArray) -> float:
    a, b, c = (points[triangles[:, n]] for n in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def is_closed(triangles: NDArray) -> bool:
    edges = np.sort(np.concatenate([triangles[:, list(pair)] for pair in (*pairwise(range(3)), (2, 0))]), axis=1)
    return bool((np.unique(edges, axis=0, return_counts=True)[1] == 2).all())


@pytest.mark.parametrize("orientation", ["RAS", "LAS", "SRA"])
def test_ball(orientation: str) -> None:
    grid = Grid.from_spacing((16, 20, 18), (1.5, 1, 1))
    grid = grid.reoriented(grid.reorientation(orientation))
    centre = grid.to_world(np.array(grid.shape) / 2 - 0.3)
    mask, lead = ball_lead(grid, centre)
    surface = surface_of(mask, lead, grid)  # type: ignore[arg-type]
    # Vertices lie on the ball, though voxels are up to 1.5 mm apart.
    np.testing.assert_allclose(np.linalg.norm(surface.points - centre, axis=1), RADIUS, atol=2e-3)
    assert is_closed(surface.triangles)
    # Counter-clockwise seen from outside: the volume is positive. A polyhedron inside of the ball is a little smaller.
    assert 0.95 < volume(surface.points - centre, surface.triangles) / (4 / 3 * np.pi * RADIUS**3) < 1


def test_closed_at_the_border_of_the_grid() -> None:
    grid = Grid.from_spacing((6, 6, 6))
    surface = surface_of(np.ones(grid.shape, dtype=bool), lambda index: np.ones(len(index), dtype=np.float32), grid)
    assert is_closed(surface.triangles)
    assert np.abs(surface.points - 2.5).max() == pytest.approx(3, abs=0.1)


def test_memory_is_that_of_the_boundary() -> None:
    grid = Grid.from_spacing((192, 192, 192))
    mask = np.zeros(grid.shape, dtype=bool)
    mask[8:-8, 8:-8, 8:-8] = True
    tracemalloc.start()
    surface = surface_of(mask, lambda index: (88 - np.abs(index - 95.5).max(axis=1)).astype(np.float32), grid)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.abs(surface.points - 95.5).max() == pytest.approx(88, abs=0.01)
    # The places of three quarters of all voxels would take 18 bytes per voxel.
    assert peak < (SURFACE - 1) * mask.size


def test_nothing() -> None:
    grid = Grid.from_spacing((3, 3, 3))
    surface = surface_of(np.zeros(grid.shape, dtype=bool), lambda index: np.zeros(0, dtype=np.float32), grid)
    assert surface.points.shape == surface.triangles.shape == (0, 3)
