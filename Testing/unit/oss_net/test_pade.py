from __future__ import annotations

import pytest
import torch
from torch import nn

from hrseg.oss_net.pade import Pade, activation


@pytest.mark.parametrize(("x", "y"), [(-10, -2.27), (-1, -0.009), (0, 0.034), (1, 1.001), (3, 2.990), (10, 7.83)])
def test_values_of_the_published_start(x: float, y: float) -> None:
    assert Pade()(torch.tensor(float(x))).item() == pytest.approx(y, abs=6e-3)


def test_by_hand() -> None:
    unit = Pade()
    with torch.no_grad():
        unit.numerator.copy_(torch.tensor([1.0, 2, 0, 0, 0, 1]))
        unit.denominator.copy_(torch.tensor([-1.0, 0, 0, 0.5]))
    # (1 + 2*2 + 32) / (1 + |-1 * 2| + 0.5 * 16) and (1 - 4 - 32) / (1 + 2 + 8): no pole where b is negative.
    assert unit(torch.tensor([2.0, -2.0])).tolist() == pytest.approx([37 / 11, -35 / 11])


def test_ten_coefficients_that_learn_and_large_half_precision_values() -> None:
    unit = Pade()
    assert sum(p.numel() for p in unit.parameters()) == 10
    x = torch.full((3,), 100.0, dtype=torch.float16)
    y = unit(x)
    assert y.dtype == torch.float16
    assert torch.isfinite(y).all()
    y.float().sum().backward()
    assert unit.numerator.grad is not None
    assert unit.numerator.grad.abs().min() > 0


def test_activation_by_name() -> None:
    assert isinstance(activation("pade"), Pade)
    assert isinstance(activation("leaky_relu"), nn.LeakyReLU)
