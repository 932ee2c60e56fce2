"""Affinities of hand-made maps."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hrseg.sasr.affinity import affinity, affinity_loss, feature_affinity, pooled, pooled_shape, scale_affinity

#: Three places with the directions 0, 90 and 45 degrees.
MAPS = torch.tensor([[1.0, 0, 1], [0, 1, 1]]).reshape(1, 2, 1, 3)
HALF = math.sqrt(0.5)


def test_affinity_by_hand() -> None:
    expected = torch.tensor([[[1, 0, HALF], [0, 1, HALF], [HALF, HALF, 1]]])
    torch.testing.assert_close(affinity(MAPS), expected, atol=1e-5, rtol=0)
    # Lengths do not count, directions alone.
    torch.testing.assert_close(affinity(7 * MAPS), expected, atol=1e-5, rtol=0)


def test_places_without_features_are_like_none() -> None:
    assert affinity(torch.zeros(1, 2, 3)).abs().sum() == 0


def test_identical_maps() -> None:
    assert affinity_loss(MAPS, MAPS).item() == 0


def test_permuted_maps_by_hand() -> None:
    # Swapping the last two places changes (0, 1), (0, 2) and their mirror images by HALF: 4 of 9 pairs.
    assert affinity_loss(MAPS, MAPS[..., [0, 2, 1]]).item() == pytest.approx(4 * HALF / 9, abs=1e-5)


def test_opposite_maps_give_the_most() -> None:
    apart = torch.tensor([[1.0, -1.0]]).reshape(1, 1, 1, 2)
    alike = torch.ones(1, 1, 1, 2)
    # Two of four pairs differ by 2.
    assert affinity_loss(apart, alike).item() == pytest.approx(1.0, abs=1e-5)


def test_channels_may_differ() -> None:
    more = torch.cat([MAPS, torch.zeros(1, 3, 1, 3)], dim=1)
    assert affinity_loss(MAPS, more).item() == pytest.approx(0, abs=1e-6)


def test_batch_size_does_not_matter() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(3, 4, 5, 6), torch.randn(3, 4, 5, 6)
    alone = [affinity_loss(a[n : n + 1], b[n : n + 1]).item() for n in range(3)]
    assert affinity_loss(a, b).item() == pytest.approx(sum(alone) / 3, abs=1e-6)
    twice = affinity_loss(torch.cat([a, a]), torch.cat([b, b]))
    assert twice.item() == pytest.approx(affinity_loss(a, b).item(), abs=1e-6)


def test_half_precision_is_left() -> None:
    torch.manual_seed(0)
    a, b = torch.rand(1, 8, 4, 4), torch.rand(1, 8, 4, 4)
    expected = affinity_loss(a, b)
    with torch.autocast("cpu", torch.bfloat16):
        assert affinity_loss(a, b).dtype == torch.float32
        assert affinity_loss(a, b).item() == expected.item()
        assert feature_affinity(a.bfloat16(), b.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(
    ("shape", "budget", "expected"),
    [
        ((31, 31), 1000, [31, 31]),
        ((256, 256), 1000, [31, 31]),
        ((256, 64), 1000, [63, 15]),
        ((48, 48, 48), 1000, [10, 10, 10]),
        ((2, 512, 512), 8, [1, 2, 2]),
        ((1, 4096), 10, [1, 10]),
    ],
)
def test_pooled_shape(shape: tuple[int, ...], budget: int, expected: list[int]) -> None:
    found = pooled_shape(shape, budget)
    assert found == expected
    assert math.prod(found) <= budget


def test_pooling_counts_every_row() -> None:
    # 5 columns to 2: 0..2 and 2..4, so that none is dropped.
    row = torch.tensor([1.0, 2, 3, 4, 50]).reshape(1, 1, 1, 5)
    assert pooled(row, [1, 2]).flatten().tolist() == [2, 19]


def random_pair(channels: int = 4) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    a, b = torch.rand(2, channels, 40, 40), torch.rand(2, channels, 40, 40)
    return a.requires_grad_(), b.requires_grad_()


@pytest.mark.parametrize("detach", [True, False])
def test_the_image_side_is_left_alone_by_default(detach: bool) -> None:
    mask, image = random_pair()
    feature_affinity(mask, image, detach=detach).backward()
    assert mask.grad is not None
    assert mask.grad.abs().sum() > 0
    assert (image.grad is None) == detach
    ours, theirs = random_pair()
    scale_affinity([ours], [theirs], detach=detach).backward()
    assert (theirs.grad is None) == detach


def test_gates_of_all_levels_count() -> None:
    fine = torch.rand(1, 2, 8, 8)
    coarse = torch.rand(1, 2, 4, 4)
    assert scale_affinity([coarse, fine], [coarse, fine]).item() == 0
    assert scale_affinity([coarse, fine], [coarse.flip(-1), fine]).item() > 0
    assert scale_affinity([coarse, fine], [coarse, fine.flip(-1)]).item() > 0


def test_all_dimensions() -> None:
    a, b = torch.rand(1, 3, 12, 12, 12), torch.rand(1, 3, 12, 12, 12)
    assert 0 < feature_affinity(a, b).item() < 2
