"""The distance between surfaces that masks finer than the voxels are compared by."""

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module", autouse=True)
def on_path():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield
    sys.path.remove(str(ROOT / "benchmarks"))


def test_mean_surface_distance():
    from pfseg_finer import mean_surface_distance

    truth = np.zeros((3, 4, 9), bool)
    truth[1, 1, 2] = True
    moved = np.roll(truth, 4, axis=2)
    assert mean_surface_distance(truth, truth, (1, 1, 1)) == 0
    assert mean_surface_distance(moved, truth, (3, 2, 0.5)) == pytest.approx(2)
    # Three surface voxels: the true one is found, the others' nearest is 0 and 2 mm away.
    assert mean_surface_distance(moved | truth, truth, (3, 2, 0.5)) == pytest.approx(2 / 3)
    assert mean_surface_distance(np.zeros_like(truth), truth, (1, 1, 1)) is None
