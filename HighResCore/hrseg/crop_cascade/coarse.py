"""The first pass: the whole volume at the size of the coarse network, and where its probabilities lie in the volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hrseg.blocks import interpolated
from hrseg.crop_cascade.merging import cut
from hrseg.crop_cascade.settings import InferenceSettings
from hrseg.geometry import Box, Grid, Shape
from hrseg.resample import resample
from hrseg.runtime import autocast


@dataclass(frozen=True, eq=False)
class Coarse:
    """What the coarse network says of a whole volume.

    Attributes:
        probability: (classes, *sides), the background first.
        shape: (K, J, I) of the volume.
        nearest: sampled by nearest neighbour, as published, instead of linearly.
    """

    probability: Tensor
    shape: Shape
    nearest: bool = False

    def mask(self, threshold: float) -> NDArray[np.bool_]:
        """Where a label is at least as probable as ``threshold``, (K, J, I)."""
        foreground = 1 - self.probability[:1]
        if self.nearest:
            index = [torch.arange(n) * side // n for n, side in zip(self.shape, foreground.shape[1:], strict=True)]
            full = foreground[0][index[0]][:, index[1]][:, :, index[2]]
        else:
            full = interpolated(foreground[None], self.shape)[0, 0]
        return (full >= threshold).numpy()

    def at(self, box: Box) -> Tensor:
        """Probabilities of the voxels of ``box``, (classes, *box.shape); beyond the volume all is background."""
        whole = Grid.from_spacing(self.shape)
        values = torch.from_numpy(
            resample(self.probability.numpy(), whole.resized(self.probability.shape[1:]), whole.crop(box))
        )
        values[0] = 1 - values[1:].sum(0)
        return values


def coarse_pass(
    network: nn.Module, volume: NDArray[np.float32], settings: InferenceSettings, device: torch.device
) -> Coarse:
    """The coarse network's view of ``volume`` (C, K, J, I)."""
    nearest = settings.published
    small = cut(volume, Box.whole(volume.shape[1:]), settings.sides, nearest=nearest)
    shape = (volume.shape[1], volume.shape[2], volume.shape[3])
    return Coarse(probabilities(network, small[None], device)[0], shape, nearest)


def probabilities(network: nn.Module, crops: NDArray[np.float32] | Sequence[NDArray], device: torch.device) -> Tensor:
    """Class probabilities (N, classes, k, j, i) on the CPU of crops (N, C, k, j, i); 2D networks get k = 1 squeezed."""
    batch = torch.from_numpy(np.ascontiguousarray(crops)).to(device)
    flat = batch.shape[2] == 1
    with torch.no_grad(), autocast(device):
        logits = network(batch[:, :, 0] if flat else batch)
    result = logits.float().softmax(dim=1).cpu()
    return result[:, :, None] if flat else result
