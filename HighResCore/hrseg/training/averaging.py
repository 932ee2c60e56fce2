"""The running average of weights that is validated and kept."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def running_average(decay: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Average, current value and number of updates so far to the new average.

    The decay grows from 0.1 to ``decay``. Without that, fresh weights, and above all batch norm's first statistics,
    would outweigh what a few hundred steps have found.
    """

    def average(averaged: Tensor, current: Tensor, count: Tensor) -> Tensor:
        share = 1 - min(decay, (1 + int(count)) / (10 + int(count)))
        return torch.lerp(averaged, current, share) if averaged.is_floating_point() else current

    return average
