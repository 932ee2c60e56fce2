"""From what is known at a point to the logits of its labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrseg.oss_net.pade import activation
from hrseg.oss_net.settings import Activation

#: Scale and shift per block, (..., 1, 2 * hidden).
Modulation = Sequence[Tensor]


class PointDecoder(nn.Module):
    """A small residual network on each point alone.

    Each block normalises over the point's own features and then scales and shifts each feature as the whole image
    says, so that no point depends on which others are asked for at the same time.

    Args:
        inputs: features of a point.
        condition: numbers that describe the image.
        hidden: width.
        blocks: residual blocks.
        classes: outputs.
        act: activation.
    """

    def __init__(self, inputs: int, condition: int, hidden: int, blocks: int, classes: int, act: Activation) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.condition = nn.ModuleList(nn.Linear(condition, 2 * hidden) for _ in range(blocks))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(hidden, hidden), activation(act), nn.Linear(hidden, hidden)) for _ in range(blocks)
        )
        self.head = nn.Linear(hidden, classes)
        # At the start the image changes nothing, and the point nothing of what the context says.
        for parameter in (*self.condition.parameters(), *self.head.parameters()):
            nn.init.zeros_(parameter)

    def modulation(self, condition: Tensor) -> list[Tensor]:
        """What :meth:`forward` needs of an image, from (..., condition)."""
        return [layer(condition).unsqueeze(-2) for layer in self.condition]

    def forward(self, x: Tensor, modulation: Modulation) -> Tensor:
        """Logits (..., P, classes) of points (..., P, inputs)."""
        x = self.first(x)
        for block, change in zip(self.blocks, modulation, strict=True):
            scale, shift = change.chunk(2, dim=-1)
            y = torch.addcmul(shift, F.layer_norm(x, x.shape[-1:]), 1 + scale)
            # In place: new memory for every step costs as much as the sum.
            x = block(y).add_(x)
        return self.head(x)

    @property
    def multiplications(self) -> int:
        """Per point."""
        layers = [m for m in (self.first, *self.blocks.modules(), self.head) if isinstance(m, nn.Linear)]
        return sum(layer.weight.numel() for layer in layers)
