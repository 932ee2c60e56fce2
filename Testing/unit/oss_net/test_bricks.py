from __future__ import annotations

import torch

from hrseg.oss_net.bricks import brick_nodes, brick_of, cut_bricks, lattice


def test_points_lie_in_one_brick() -> None:
    # 18 voxels have 17 cells: the last one is in a second brick.
    assert lattice((18, 17, 1)) == [2, 1, 1]
    assert brick_nodes((18, 17, 1)) == [17, 17, 1]
    points = torch.tensor([[16.0, 3.5, 0], [15.5, 16, 0], [17, 99, 0], [-4, 0, 0]])
    brick, place = brick_of(points, (18, 17, 1))
    assert brick.tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert place.tolist() == [[0, 3.5, 0], [15.5, 16, 0], [1, 16, 0], [0, 0, 0]]


def test_voxels_of_a_brick_and_its_halo() -> None:
    volume = torch.arange(18.0).reshape(1, 18, 1, 1).expand(1, 18, 3, 3)
    block = cut_bricks(volume, torch.tensor([[0, 0, 0], [1, 0, 0]]), (1, 0, 0))
    assert block.shape == (2, 1, 19, 17, 17)
    assert block[0, 0, :, 0, 0].tolist() == [0, *range(18)]
    # The second one begins with the last voxels of the first; beyond the volume its border repeats.
    assert block[1, 0, :, 0, 0].tolist() == [15, 16, *[17] * 17]
