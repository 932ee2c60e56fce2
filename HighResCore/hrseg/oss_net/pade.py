"""Padé activation units (Molina et al., ICLR 2020), in their safe form, which has no poles."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hrseg.oss_net.settings import Activation

#: What the published code starts from: nearly a leaky ReLU between -4 and 4.
NUMERATOR = (3.35583603e-2, 5.05000375e-1, 1.65343934, 2.01001052, 9.31901999e-1, 1.52424124e-1)
DENOMINATOR = (3.30847488e-6, 3.98021568, 5.12471206e-7, 3.01830109e-1)


class Pade(nn.Module):
    """(a0 + a1 x + ... + a5 x^5) / (1 + |b1 x| + ... + |b4 x^4|), ten coefficients that are learned; any shape."""

    def __init__(self) -> None:
        super().__init__()
        self.numerator = nn.Parameter(torch.tensor(NUMERATOR))
        self.denominator = nn.Parameter(torch.tensor(DENOMINATOR))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape and type; computed in float32, whose range fifth powers need."""
        wide, size = x.float(), x.float().abs()
        a, b = self.numerator.float(), self.denominator.float().abs()
        top = a[5].expand_as(wide)
        for n in range(4, -1, -1):
            top = top * wide + a[n]
        bottom = b[3].expand_as(wide)
        for n in range(2, -1, -1):
            bottom = bottom * size + b[n]
        return (top / (bottom * size + 1)).to(x.dtype)


def activation(name: Activation) -> nn.Module:
    """A fresh activation of that name."""
    return Pade() if name == "pade" else nn.LeakyReLU(0.01, inplace=True)
