from __future__ import annotations

import torch
from torch.nn import functional as F

from hrseg.oss_net.interpolation import corners, maps_at, rows_at


def test_nodes_and_weights_by_hand() -> None:
    index, weight = corners(torch.tensor([[0.25, 0.0, 1.5]]), (2, 1, 3))
    # Rows of three: k from 0 to 1, j stays, i from 1 to 2.
    assert index.tolist() == [[1, 2, 1, 2, 4, 5, 4, 5]]
    assert weight.tolist() == [[0.375, 0.375, 0, 0, 0.125, 0.125, 0, 0]]


def test_as_torch_does_it() -> None:
    torch.manual_seed(0)
    maps, points = torch.rand(2, 3, 4, 5, 6), torch.rand(2, 40, 3) * torch.tensor([3.0, 4.0, 5.0])
    grid = (points / torch.tensor([3.0, 4.0, 5.0]) * 2 - 1).flip(-1)[:, :, None, None]
    expected = F.grid_sample(maps, grid, align_corners=True)[..., 0, 0].transpose(1, 2)
    torch.testing.assert_close(maps_at(maps, points), expected)


def test_beyond_the_border_its_value_holds() -> None:
    table = torch.arange(8.0)[:, None]
    far = torch.tensor([[-3.0, -0.2, 0.0], [9.0, 1.4, 1.0]])
    assert rows_at(table, far, (2, 2, 2)).flatten().tolist() == [0, 7]


def test_each_point_in_its_own_map() -> None:
    table = torch.arange(4.0)[:, None]
    points = torch.tensor([[0.0, 0.0, 0.5], [0.0, 0.0, 0.5]])
    assert rows_at(table, points, (1, 1, 2), torch.tensor([0, 2])).flatten().tolist() == [0.5, 2.5]
