"""The distance between surfaces that masks finer than the voxels are compared by."""

import numpy as np
import pytest

from hrseg.geometry import Grid


def test_mean_surface_distance():
    from pfseg_finer import mean_surface_distance

    grid = Grid.from_spacing((3, 4, 9), (3, 2, 0.5))
    truth = np.zeros(grid.shape, bool)
    truth[1, 1, 2] = True
    moved = np.roll(truth, 4, axis=2)
    assert mean_surface_distance(truth, truth, grid) == 0
    assert mean_surface_distance(moved, truth, grid) == pytest.approx(2)
    # Three surface voxels: the true one is found, the others' nearest is 0 and 2 mm away.
    assert mean_surface_distance(moved | truth, truth, grid) == pytest.approx(2 / 3)
    assert mean_surface_distance(np.zeros_like(truth), truth, grid) is None
