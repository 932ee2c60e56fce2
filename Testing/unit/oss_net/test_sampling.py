from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from hrseg.oss_net.sampling import draw_points, near_border, node_labels
from hrseg.oss_net.training_settings import PointSettings


def cube(side: int = 32) -> torch.Tensor:
    label = torch.zeros(side, side, side, dtype=torch.long)
    label[8:20, 8:20, 8:20] = 1
    label[8:10, 8:10, 8:10] = 2
    return label


def weighted(label: torch.Tensor, **changes: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    settings = PointSettings(**{"count": 4000, "border": 0, "balanced": 0, "between": 0, "region": None, **changes})
    return draw_points(label, settings, np.random.RandomState(0))


def draw(label: torch.Tensor, **changes: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return weighted(label, **changes)[:2]


def test_border_by_hand() -> None:
    label = torch.tensor([0, 0, 0, 1, 1, 1, 1])[None, None]
    assert near_border(label, 1)[0, 0].tolist() == [False, False, True, True, False, False, False]
    assert near_border(label, 2)[0, 0].tolist() == [False, True, True, True, True, False, False]


def test_uniform_points_show_labels_as_often_as_they_are() -> None:
    label = cube()
    points, target = draw(label)
    assert torch.equal(target, label[tuple(points.long().T)])
    assert target.bincount()[1] / 4000 == pytest.approx((12**3 - 8) / 32**3, rel=0.2)
    # The last index of an axis is drawn, too.
    assert points.max() == 31


def test_shares_of_border_and_balanced_points() -> None:
    label = cube()
    border = near_border(label, 3)
    points, _ = draw(label, border=0.5)
    inside = border[tuple(points.long().T)].float().mean()
    assert inside == pytest.approx(0.5 + 0.5 * float(border.float().mean()), abs=0.03)
    _, target = draw(label, balanced=0.6)
    assert (target == 2).float().mean() == pytest.approx(0.3, abs=0.01)


def test_weights_make_up_for_balancing() -> None:
    label = cube()
    share = label.flatten().bincount() / label.numel()
    _, target, weight = weighted(label, count=20_000, balanced=0.4)
    found = target.bincount(weight) / weight.sum()
    assert found[1:].tolist() == pytest.approx(share[1:].tolist(), rel=0.1)
    assert (weight[target == 0] == 1).all()
    # Near borders both sides are drawn more often, as meant.
    _, _, weight = weighted(label, border=0.5)
    assert (weight == 1).all()
    points, target, weight = weighted(label, border=0.4, balanced=0.2)
    border = near_border(label, 3)
    anyway = 1600 / label.numel() + border[tuple(points.long().T)] * (1600 / int(border.sum()))
    more = torch.tensor([0, 400 / (12**3 - 8), 400 / 8])[target]
    assert torch.allclose(weight, (anyway / (anyway + more)).float(), rtol=1e-4)


def test_all_border_voxels_where_there_are_few() -> None:
    label = torch.zeros(20, 20, 20, dtype=torch.long)
    label[5, 5, 5] = 1
    points, target = draw(label, border=0.5, reach=1)
    assert len(points) == 4000
    assert len(torch.unique(points[(points - 5).abs().amax(1) <= 1], dim=0)) == 27
    assert target.max() == 1


def test_points_between_voxels_have_the_nearer_label() -> None:
    label = torch.zeros(1, 1, 4, dtype=torch.long)
    label[..., 2:] = 1
    points, target = draw(label, between=1.0)
    # A single slice and row stay where they are.
    assert not points[:, :2].any()
    assert torch.equal(target, (points[:, 2] > 1.5).long())
    assert (points[:, 2] % 1 != 0).float().mean() > 0.9


def test_few_cubes_of_large_volumes() -> None:
    points, target = draw(cube(64), region=6, side=8, border=0.3, balanced=0.2)
    cubes = torch.unique(points.long() // 8, dim=0)
    assert len(cubes) <= 6
    assert len(points) == 4000
    assert target.max() >= 1


def test_background_alone_and_equal_states() -> None:
    points, target = draw(torch.zeros(9, 9, 9, dtype=torch.long), border=0.5, balanced=0.5, between=0.5)
    assert len(points) == 4000
    assert not target.any()
    assert torch.equal(draw(cube())[0], draw(cube())[0])


def test_shares_above_one() -> None:
    with pytest.raises(ValidationError, match="together more than 1"):
        PointSettings(border=0.7, balanced=0.4)


def test_a_node_has_the_label_of_most_of_its_voxels() -> None:
    label = torch.zeros(2, 4, 3, dtype=torch.long)
    label[0, :2, :2] = 2
    label[1, 0, 0] = 2
    label[:, :, 2] = 1
    # 5 of the first node's 8 voxels have label 2; beyond the border its values go on.
    assert node_labels(label, (2, 2, 2)).tolist() == [[[2, 1], [0, 1]]]
    assert torch.equal(node_labels(label, (1, 1, 1)), label)
