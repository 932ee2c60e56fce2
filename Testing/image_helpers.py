"""Small images and grids for tests, and what an error message for users looks like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hrseg.geometry import Grid

SHAPE = (2, 3, 4)
C, S = np.cos(0.4), np.sin(0.4)
TURN = np.array([[C, -S, 0], [C * S, C * C, -S], [S * S, C * S, C]])
AXES = {
    "plain": np.eye(3),
    "left-handed": np.diag([-1.0, 1, 1]),
    "permuted": np.eye(3)[[2, 0, 1]],
    "oblique": TURN,
    "oblique left-handed": TURN @ np.diag([1.0, 1, -1]),
}


def grid(kind: str = "plain", shape: Sequence[int] = SHAPE) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = AXES[kind] * (0.3, 0.4, 5.0)
    affine[:3, 3] = (10, -20, 30)
    return Grid((shape[0], shape[1], shape[2]), affine)


def numbers(dtype: type, shape: Sequence[int] = SHAPE) -> NDArray:
    rng = np.random.default_rng(0)
    return rng.normal(size=shape).astype(dtype) if dtype == np.float32 else rng.integers(0, 99, shape).astype(dtype)


def one_line(error: pytest.ExceptionInfo[Exception], path: Path) -> str:
    """The message, checked to be one line that names the file once and nothing of the libraries below."""
    text = str(error.value)
    assert "\n" not in text
    assert text.count(str(path)) == 1
    assert not any(word in text for word in ("ITK", "itk", "0x", ".cxx", "Error", "errno"))
    return text


def line(*values: float) -> tuple[NDArray, Grid]:
    """A row of voxels along i, 1 mm apart, and its grid."""
    array = np.array(values).reshape(1, 1, -1)
    return array, Grid.from_spacing((1, 1, len(values)))


def turned(grid: Grid, angle: float = 0.4) -> Grid:
    """The grid turned about its centre, about an axis that no grid axis is parallel to."""
    axis = np.array([1.0, 2.0, 3.0]) / np.sqrt(14)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    rotation = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    center = grid.to_world(np.subtract(grid.shape, 1) / 2)
    affine = grid.affine.copy()
    affine[:3, :3] = rotation @ affine[:3, :3]
    affine[:3, 3] = rotation @ (affine[:3, 3] - center) + center
    return Grid(grid.shape, affine)


def picture_grid(shape: Sequence[int]) -> Grid:
    """Of a picture (1, J, I): rows and columns run as viewers show them."""
    return Grid((shape[0], shape[1], shape[2]), np.diag([-1.0, -1, 1, 1]))
