from __future__ import annotations

import numpy as np
import pytest

from hrseg.geometry import Grid
from hrseg.oss_net.encoding import Prior
from hrseg.oss_net.guess import PriorGuess
from hrseg.oss_net.lattice_map import LatticeMap

SHAPE = (16, 16, 16)


def prior(**places: tuple[float, ...]) -> Prior:
    """Sure background at 4 nodes along each axis of 16 voxels, but for nodes such as n123."""
    probability = np.zeros((2, 4, 4, 4), dtype=np.float32)
    probability[0] = 1
    for name, (value,) in places.items():
        k, j, i = (int(c) for c in name[1:])
        probability[:, k, j, i] = 1 - value, value
    return Prior(probability, (4, 4, 4))


def guess(output: Grid | None = None, stride: int = 4, **places: tuple[float, ...]) -> PriorGuess:
    working = Grid.from_spacing(SHAPE)
    mapping = LatticeMap.between(output or working, working)
    return PriorGuess(prior(**places), mapping, SHAPE, [stride] * 3, threshold=0.1, found=0.3)


def test_map_between_grids() -> None:
    working = Grid.from_spacing((8, 8, 8), 2.0)
    mapping = LatticeMap.between(working.finer(4), working)
    np.testing.assert_allclose(mapping(np.array([[0, 0, 0], [2, 5, 7]])), [[-0.375] * 3, [0.125, 0.875, 1.375]])
    assert mapping.steps.tolist() == [0.25] * 3
    turned = LatticeMap.between(working.reoriented(working.reorientation("SPL")), working)
    np.testing.assert_allclose(turned.steps, 1)
    assert LatticeMap.inside(np.array([[-0.5, 0, 7.5], [-0.6, 0, 0]]), (8, 8, 8)).tolist() == [True, False]


def test_nearest_label_and_background_outside() -> None:
    found = guess(n111=(0.9,)).labels(np.array([[5, 5, 5], [4, 7, 6], [3, 5, 5], [-2, 5, 5]]))
    assert found.tolist() == [1, 1, 0, 0]


def test_settled_volumes_have_no_candidates() -> None:
    centres = np.indices((4, 4, 4)).reshape(3, -1).T * 4.0 + 2
    assert not guess().candidates(centres).any()
    assert guess(n333=(0.5,)).candidates(np.array([[14.0, 14, 14], [2, 2, 2]])).tolist() == [True, False]


def test_cells_between_two_sure_nodes_are_candidates() -> None:
    probability = np.zeros((2, 4, 4, 4), dtype=np.float32)
    probability[0, :2], probability[1, 2:] = 1, 1
    working = Grid.from_spacing(SHAPE)
    there = PriorGuess(Prior(probability, (4, 4, 4)), LatticeMap.between(working, working), SHAPE, [4] * 3, 0.1, 0.3)
    assert there.candidates(np.array([[8.0, 6, 6]])).tolist() == [True]


@pytest.mark.parametrize(("stride", "factor"), [(4, 1), (8, 1), (16, 4), (4, 4)])
def test_every_cell_with_an_unsettled_place_is_a_candidate(stride: int, factor: int) -> None:
    output = Grid.from_spacing(SHAPE).finer(factor)
    there = guess(output, stride, n120=(0.4,))
    # Output voxels in the four voxels of the node, which the prior is nearest to.
    lows, high = np.array([4, 8, 0]) * factor, np.array([7, 11, 3]) * factor
    for voxel in np.random.default_rng(0).integers(lows, high, (20, 3)):
        centre = (voxel // stride + 0.5) * stride
        assert there.candidates(centre[None])[0]
        if stride >= 4 * factor:
            assert there.present(centre[None])[1][0]


def test_cells_beyond_the_volume() -> None:
    outside = Grid.from_spacing((64, 16, 16), 1.0, (0, 0, -24))
    there = guess(outside, 8, n000=(0.5,), n300=(0.5,))
    assert there.candidates(np.array([[4.0, 4, 4], [20, 4, 4], [60, 4, 4]])).tolist() == [False, True, False]
