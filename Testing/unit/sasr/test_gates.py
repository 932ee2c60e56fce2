"""Gates inside lesions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hrseg.sasr.gates import Lesion, lesions, mean_gates


def test_lesions_largest_first() -> None:
    labels = np.zeros((6, 8), dtype=np.uint8)
    labels[0, 0] = 1
    labels[2:4, 2:5] = 2
    labels[4, 5] = 1
    found = list(lesions(labels))
    assert [int(lesion.mask.sum()) for lesion in found] == [7, 1]
    assert found[0].center == (3, 4)
    assert found[1].mask[0, 0]
    assert found[1].diameter == pytest.approx(2 / math.sqrt(math.pi))


def test_at_most_eight() -> None:
    labels = np.zeros((1, 40), dtype=np.uint8)
    labels[0, ::2] = 1
    labels[0, 6:9] = 1
    found = list(lesions(labels))
    assert len(found) == 8
    assert int(found[0].mask.sum()) == 3


class Copies(nn.Module):
    """Gates that are the image and half of it, at ``factor`` times its resolution."""

    def __init__(self, factor: int = 1) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.factor = factor

    def gates(self, x: Tensor) -> list[Tensor]:
        fine = x.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3)
        return [torch.zeros(1), torch.cat([fine, fine / 2], dim=1)]


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("window", [(4, 4), (16, 16)])
def test_mean_over_a_lesion(factor: int, window: tuple[int, int]) -> None:
    volume = torch.arange(60.0).reshape(1, 6, 10)
    mask = np.zeros((6, 10), dtype=bool)
    mask[5, 8:] = True
    found = mean_gates(Copies(factor), volume, Lesion(1, mask, (5, 9)), window)  # type: ignore[arg-type]
    assert found == [58.5, 29.25]
