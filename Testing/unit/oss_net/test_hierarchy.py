from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from hrseg.oss_net.hierarchy import Labels, Mask, Nodes, over_cells, over_nodes, refine

Shape = tuple[int, int, int]
Distance = Callable[[NDArray], NDArray]


class Analytic:
    """Labels of a signed distance in voxels, and which voxels were asked."""

    def __init__(self, *distances: Distance) -> None:
        self._distances, self.asked = distances, 0

    def __call__(self, nodes: Nodes) -> tuple[Labels, Mask]:
        self.asked += len(nodes)
        values = np.stack([distance(nodes) for distance in self._distances])
        labels = np.where(values.min(axis=0) < 0, values.argmin(axis=0) + 1, 0).astype(np.uint8)
        return labels, np.abs(values).min(axis=0) > 1

    def dense(self, shape: Shape) -> Labels:
        return self(np.indices(shape).reshape(3, -1).T)[0].reshape(shape)


def ball(centre: tuple[float, float, float], radius: float, waves: float = 0.0) -> Distance:
    def distance(nodes: NDArray) -> NDArray:
        bumps = waves * np.sin(nodes[:, 0] * 0.4) * np.cos(nodes[:, 1] * 0.35) * np.sin(nodes[:, 2] * 0.3)
        return np.linalg.norm(nodes - np.array(centre), axis=1) - radius + bumps

    return distance


@pytest.mark.parametrize("strides", [(8, 8, 8), (4, 4, 4), (2, 8, 4), (16, 16, 16), (1, 1, 1)])
@pytest.mark.parametrize("shape", [(48, 48, 48), (41, 50, 46)])
def test_smooth_objects_as_densely_evaluated(shape: Shape, strides: Shape) -> None:
    field = Analytic(ball((22, 25, 21), 17, waves=2))
    found, points = refine(shape, strides, field)
    assert points == field.asked
    assert np.array_equal(found, field.dense(shape))
    assert 0 < found.mean() < 1


def test_several_labels_that_touch() -> None:
    field = Analytic(ball((20, 16, 20), 12), ball((20, 30, 20), 10), ball((30, 22, 24), 9))
    found, points = refine((44, 48, 44), (8, 8, 8), field)
    assert np.array_equal(found, field.dense((44, 48, 44)))
    assert set(np.unique(found)) == {0, 1, 2, 3}
    assert points < 0.45 * found.size


def test_far_fewer_points_where_objects_are_large() -> None:
    field = Analytic(ball((64, 64, 64), 40))
    found, points = refine((128, 128, 128), (8, 8, 8), field)
    assert np.array_equal(found, field.dense((128, 128, 128)))
    # A shell of radius 40 has 20,106 voxels.
    assert points < 9 * 20_106


def test_one_slice_and_one_row() -> None:
    field = Analytic(ball((0, 30, 40), 14))
    assert np.array_equal(refine((1, 60, 80), (8, 8, 8), field)[0], field.dense((1, 60, 80)))
    assert np.array_equal(refine((1, 1, 80), (1, 1, 8), field)[0], field.dense((1, 1, 80)))
    one = Analytic(ball((0, 0, 0), 1))
    assert refine((1, 1, 1), (8, 8, 8), one)[0].tolist() == [[[1]]]


def test_a_label_that_crosses_a_face_is_followed() -> None:
    # A rod along k through the middle of a column of cells: no corner but those at its thick end touches it.
    def rod(nodes: NDArray) -> NDArray:
        return np.where(nodes[:, 0] < 9, np.abs(nodes[:, 1:] - 12).max(axis=1) - 5.5, 9) * 1.0

    def thin(nodes: NDArray) -> NDArray:
        return np.abs(nodes[:, 1:] - 12).max(axis=1) - 2.5

    field = Analytic(lambda nodes: np.minimum(rod(nodes), thin(nodes)))
    found, _ = refine((65, 25, 25), (8, 8, 8), field)
    assert np.array_equal(found, field.dense((65, 25, 25)))
    assert found[60, 12, 12] == 1


class FixedGuess:
    """Background, but for what is said to be near or in one cell of 8 voxels."""

    def __init__(self, near: tuple[int, int, int], label: int = 1) -> None:
        self._near, self._label = near, label

    def labels(self, places: NDArray) -> Labels:
        return np.zeros(len(places), dtype=np.uint8)

    def candidates(self, centres: NDArray) -> Mask:
        return self._cell(centres)

    def present(self, centres: NDArray) -> dict[int, Mask]:
        return {self._label: self._cell(centres)}

    def _cell(self, centres: NDArray) -> Mask:
        return (centres // 8 == self._near).all(axis=1)


def test_small_object_that_the_guess_knows_is_not_lost() -> None:
    # One voxel and its neighbours, none of which is a corner of a cell.
    field = Analytic(ball((20, 27, 13), 1.5))
    assert not refine((48, 48, 48), (8, 8, 8), field)[0].any()
    found, points = refine((48, 48, 48), (8, 8, 8), field, FixedGuess((2, 3, 1)))
    assert np.array_equal(found, field.dense((48, 48, 48)))
    assert points < 9**3 * 3


def test_a_wrong_guess_loses_nothing_that_it_touches() -> None:
    field = Analytic(ball((20, 20, 20), 30))
    everywhere, _ = refine((48, 48, 48), (8, 8, 8), field)
    guided, _ = refine((48, 48, 48), (8, 8, 8), field, FixedGuess((5, 2, 2)))
    assert np.array_equal(everywhere, field.dense((48, 48, 48)))
    # From one cell on its boundary the whole object is found.
    assert np.array_equal(guided, everywhere)
    nothing = Analytic(ball((-99, 0, 0), 1))
    found, points = refine((48, 48, 48), (8, 8, 8), nothing, FixedGuess((2, 2, 2)))
    assert not found.any()
    assert points <= 9**3


def test_progress_ends_at_one() -> None:
    told: list[float] = []
    refine((48, 48, 48), (8, 8, 8), Analytic(ball((22, 25, 21), 17)), advance=told.append)
    assert told[-1] == 1
    assert min(told) > 0


def test_corners_of_cells() -> None:
    nodes = np.zeros((2, 3, 2), dtype=np.uint8)
    nodes[1, 2, 1] = 5
    assert over_cells(nodes, np.maximum).tolist() == [[[0], [5]]]
    cells = np.array([[[True], [False]]])
    assert over_nodes(cells).tolist() == [[[True] * 2, [True] * 2, [False] * 2]] * 2
