"""Boxes anywhere in space, volumes and regions of interest for them, and how boxes are compared."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scene_helpers import add_volume
from slicer_env import slicer

from hrseg.prompts import RegionBox

CORNERS = np.array(list(itertools.product((-0.5, 0.5), repeat=3)))
FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

sides = st.tuples(*[st.floats(0.5, 40)] * 3)
places = st.tuples(*[st.floats(-100, 100)] * 3)
turns = st.tuples(*[st.floats(-3, 3)] * 3)


def rotation(angles: tuple[float, float, float]) -> NDArray[np.float64]:
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        c, s = np.cos(angle), np.sin(angle)
        turn = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn[a, a], turn[a, b], turn[b, a], turn[b, b] = c, -s, s, c
        matrix = matrix @ turn
    return matrix


def rigid(angles: tuple[float, float, float], place: tuple[float, float, float]) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation(angles), place
    return matrix


def corners(box: RegionBox) -> NDArray[np.float64]:
    """The corners in a fixed order, so that boxes are compared as sets of points."""
    points = box.center + (CORNERS * box.size) @ box.axes.T
    return points[np.lexsort(np.round(points, 4).T)]


def assert_same(one: RegionBox, other: RegionBox) -> None:
    """Markups keep their points in single precision: 0.00001 mm at a distance of 100 mm."""
    np.testing.assert_allclose(one.center, other.center, atol=2e-4)
    distance = np.linalg.norm(corners(one)[:, None] - corners(other)[None], axis=2)
    assert distance.min(axis=0).max() < 5e-4
    assert distance.min(axis=1).max() < 5e-4


def a_volume(matrix: NDArray | None = None, shape: tuple[int, int, int] = (4, 5, 6)) -> Any:
    return add_volume(np.zeros(shape, np.int16), matrix)


def a_roi(center: tuple[float, float, float] = (1, 2, 3), size: tuple[float, float, float] = (2, 4, 6)) -> Any:
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "lesion 1/2 ä")
    roi.SetSize(*size)
    roi.SetCenter(*center)
    return roi
