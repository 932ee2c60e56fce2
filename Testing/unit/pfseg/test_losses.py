from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hrseg.pfseg.losses import guidance_loss, pooling, similarity_loss, super_resolution_loss, target_enhanced_loss


def row(*values: float) -> Tensor:
    """(1, 1, voxels)."""
    return torch.tensor([[values]], dtype=torch.float32)


def test_perfect_outputs_cost_nothing() -> None:
    image, truth = torch.rand(2, 1, 8, 8, 8), (torch.rand(2, 1, 8, 8, 8) > 0.5).float()
    assert super_resolution_loss(image, image) == 0
    assert guidance_loss(image, image, truth) == 0
    assert target_enhanced_loss(truth, truth, image, image) == 0
    assert similarity_loss(truth, truth, image, image, 64) == 0


def test_super_resolution() -> None:
    assert super_resolution_loss(row(1, 2, 3, 4), row(1, 0, 3, 1)) == pytest.approx((4 + 9) / 4)


def test_guidance_is_a_mean_within_the_crop() -> None:
    restored, image, mask = row(1, 2, 3, 4), row(1, 0, 3, 1), row(0, 1, 1, 0)
    assert guidance_loss(restored, image, mask) == pytest.approx(4 / 2)
    assert guidance_loss(restored, image, 0 * mask) == 0


def test_guidance_of_two_channels_and_one_sample_without_crop() -> None:
    restored = torch.tensor([[[1.0, 1], [2, 2]], [[9, 9], [9, 9]]])
    mask = torch.tensor([[[1.0, 0]], [[0, 0]]])
    assert guidance_loss(restored, torch.zeros(2, 2, 2), mask) == pytest.approx((1 + 4) / 2)


def test_target_enhanced() -> None:
    # S R = (0.5, 1), Y X = (1, 0)
    assert target_enhanced_loss(row(0.5, 0.5), row(1, 0), row(1, 2), row(1, 5)) == pytest.approx((0.25 + 1) / 2)


def test_similarity_of_two_places() -> None:
    # Pooled in pairs: a = (1, 2), b = (1, 0); A = ((1, 2), (2, 4)), B = ((1, 0), (0, 0)).
    ones = torch.ones(1, 1, 4)
    loss = similarity_loss(ones, row(1, 1, 0, 0), row(0, 2, 2, 2), ones, 2)
    assert loss == pytest.approx((0 + 2 + 2 + 4) / 4)


@pytest.mark.parametrize(
    ("shape", "positions", "kernel"), [((4,), 2, 2), ((128, 192, 192), 1600, 14), ((8, 8), 64, 1), ((2, 9), 1, 2)]
)
def test_pooling(shape: tuple[int, ...], positions: int, kernel: int) -> None:
    assert pooling(shape, positions) == kernel


def test_all_terms_have_gradients() -> None:
    restored = torch.rand(1, 1, 8, 8, requires_grad=True)
    image, mask = torch.rand(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    for loss in (
        super_resolution_loss(restored, image),
        guidance_loss(restored, image, mask),
        target_enhanced_loss(mask, mask, restored, image),
        similarity_loss(mask, mask, restored, image, 16),
    ):
        (gradient,) = torch.autograd.grad(loss, restored)
        assert gradient.abs().min() > 0
