"""Gates inside lesions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hrseg.sasr.gates import Lesion, lesions, mean_gates


def test_lesions_largest_first() -> None:
    mask = np.zeros((6, 8), dtype=bool)
    mask[0, 0] = mask[2:4, 2:5] = mask[4, 5] = True
    found = list(lesions(mask))
    assert [int(lesion.mask.sum()) for lesion in found] == [7, 1]
    assert found[0].center == (3, 3)
    assert found[1].mask[0, 0]
    assert found[1].diameter == pytest.approx(2 / math.sqrt(math.pi))


def test_eight_of_all_sizes() -> None:
    mask = np.zeros((1, 300), dtype=bool)
    for n, start in enumerate(range(0, 300, 15)):
        mask[0, start : start + 1 + n // 2] = True
    assert [int(lesion.mask.sum()) for lesion in lesions(mask)] == [10, 9, 8, 6, 5, 3, 2, 1]
    assert list(lesions(np.zeros((2, 2), dtype=bool))) == []


class Copies(nn.Module):
    """Gates that are the image and half of it, at ``factor`` times its resolution."""

    def __init__(self, factor: int = 1) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.factor = factor

    def gates(self, x: Tensor) -> list[Tensor]:
        fine = x.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3)
        return [x[:, :, ::2, ::2], torch.cat([fine, fine / 2], dim=1)]


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("window", [(4, 4), (16, 16)])
def test_mean_over_a_lesion(factor: int, window: tuple[int, int]) -> None:
    volume = torch.arange(60.0).reshape(1, 6, 10)
    mask = np.zeros((6, 10), dtype=bool)
    mask[5, 8:] = True
    found = mean_gates(Copies(factor), volume, Lesion(1, mask, (5, 9)), window)  # type: ignore[arg-type]
    # The finer level first; of the coarser one the place that the lesion's two pixels share with others.
    assert found == [58.5, 29.25, 48]


def test_a_ring_larger_than_the_window() -> None:
    """Its middle is no part of it."""
    distance = np.hypot(*np.indices((120, 120)) - 60)
    (ring,) = lesions((distance > 45) & (distance < 50))
    assert ring.mask[ring.center]
    assert np.isfinite(mean_gates(Copies(), torch.ones(1, 120, 120), ring, (32, 32))).all()  # type: ignore[arg-type]
