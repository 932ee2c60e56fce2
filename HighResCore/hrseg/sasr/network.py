"""SASR-Net: a shared encoder, a decoder for masks and one for images, both at a multiple of the input's resolution."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hrseg.blocks import begin_with_background, channels_last, convolution, interpolated, pool
from hrseg.model_file import Header
from hrseg.sasr.layers import Residual, ScaleAware, Unit, double, enlarged, upscaling
from hrseg.sasr.settings import NetworkSettings


class Outputs(NamedTuple):
    """What training compares. ``image`` and what belongs to it are missing without the image decoder.

    Attributes:
        logits: (N, classes, *fine).
        image: (N, channels, *fine), the super-resolved image.
        mask_features, image_features: (N, ., *shape), before the heads and their dropout; the first ones projected.
        mask_gates, image_gates: (N, paths, ...) per level, coarsest first; none without scale-aware convolutions.
    """

    logits: Tensor
    image: Tensor | None
    mask_features: Tensor
    image_features: Tensor | None
    mask_gates: list[Tensor]
    image_gates: list[Tensor]


class SasrNetwork(nn.Module):
    """See :class:`NetworkSettings`.

    Args:
        dimension: 2 or 3.
        channels: of the image.
        classes: of the mask, the background included.
        s: the settings.
        dilations: per level (finest first), path and axis.
    """

    def __init__(
        self,
        dimension: int,
        channels: int,
        classes: int,
        s: NetworkSettings,
        dilations: Sequence[Sequence[Sequence[int]]],
    ) -> None:
        super().__init__()
        strides, factors = s.all_strides(dimension), s.all_factors(dimension)
        inputs = [channels, *s.widths[:-1]]
        self.encoder = nn.ModuleList(double(dimension, a, b) for a, b in zip(inputs, s.widths, strict=True))
        self.pools = nn.ModuleList(pool(dimension, stride) for stride in strides)
        self._before, after = (factors, [1] * dimension) if s.early else ([1] * dimension, factors)
        self.mask_decoder = Decoder(dimension, s, dilations)
        self.mask_head = MaskHead(dimension, s.widths[0], classes, after, learned=s.head == "learned")
        self.image_decoder = Decoder(dimension, s, dilations) if s.sr else None
        self.image_head = ImageHead(dimension, s.widths[0], channels, after) if s.sr else None
        self.project = convolution(dimension, s.widths[0], s.projection, 1) if s.sr else nn.Identity()

    @classmethod
    def of(cls, header: Header, settings: NetworkSettings) -> SasrNetwork:
        """The network of a model, with fresh weights."""
        dilations = settings.level_dilations(header)
        return cls(header.dimension, len(header.channels), header.classes, settings, dilations)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes, *fine) of images (N, channels, *shape): what masks need and nothing else."""
        return self.mask_head(self.mask_decoder(self._encoded(x))[0])

    def with_image(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and the super-resolved image (N, channels, *fine); only of networks with the image decoder."""
        assert self.image_decoder is not None
        assert self.image_head is not None
        skips = self._encoded(x)
        logits = self.mask_head(self.mask_decoder(list(skips))[0])
        return logits, self.image_head(self.image_decoder(skips)[0], x)

    def outputs(self, x: Tensor) -> Outputs:
        """All that training compares, of images (N, C, ...)."""
        skips = self._encoded(x)
        mask, mask_gates = self.mask_decoder(list(skips))
        logits, projected = self.mask_head(self.mask_decoder.dropout(mask)), self.project(mask)
        if self.image_decoder is None or self.image_head is None:
            return Outputs(logits, None, projected, None, mask_gates, [])
        features, image_gates = self.image_decoder(skips)
        image = self.image_head(self.image_decoder.dropout(features), x)
        return Outputs(logits, image, projected, features, mask_gates, image_gates)

    def gates(self, x: Tensor) -> list[Tensor]:
        """The gates of the mask decoder, (N, paths, ...) per level, coarsest first."""
        gates: list[Tensor] = self.mask_decoder(self._encoded(x))[1]
        return gates

    def _encoded(self, x: Tensor) -> list[Tensor]:
        """Feature maps per level, finest first."""
        # Channels last: training and inference take half the time on a CPU, and no longer on a GPU.
        x = channels_last(enlarged(x, self._before))
        maps: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(self.pools[level - 1](x) if level else x)
            maps.append(x)
        return maps


class Decoder(nn.Module):
    """From the encoder's maps to features at the finest level: ``widths[0]`` channels."""

    def __init__(self, dimension: int, s: NetworkSettings, dilations: Sequence[Sequence[Sequence[int]]]) -> None:
        super().__init__()
        self._strides = s.all_strides(dimension)[::-1]
        steps = list(pairwise(s.widths[::-1]))
        self.ups = nn.ModuleList(Unit(dimension, below, width, 3) for below, width in steps)
        self.blocks = nn.ModuleList(
            ScaleAware(dimension, 2 * width, width, dilations[level], s.path_divisor)
            if s.sdc
            else double(dimension, 2 * width, width)
            for level, (_, width) in zip(reversed(range(len(steps))), steps, strict=True)
        )
        self.dropout = nn.Dropout2d(s.dropout) if dimension == 2 else nn.Dropout3d(s.dropout)

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Features (N, width, ...), on which a head's dropout is to come, and gates (N, paths, ...) per level,
        coarsest first.

        ``maps``, finest first, is emptied, so that they need no memory.
        """
        x, gates = maps.pop(), []
        for level, (stride, up, block) in enumerate(zip(self._strides, self.ups, self.blocks, strict=True)):
            x = torch.cat([up(enlarged(self.dropout(x) if level else x, stride)), maps.pop()], dim=1)
            x = block(x)
            if isinstance(block, ScaleAware):
                x, gate = x
                gates.append(gate)
        return x, gates


class MaskHead(nn.Module):
    """Interpolated logits, and a correction by layers at the fine resolution where these are ``learned``.

    The layers have half the channels: they cost most, and have least to add.
    """

    def __init__(self, dimension: int, width: int, classes: int, factors: Sequence[int], *, learned: bool) -> None:
        super().__init__()
        self._factors = list(factors)
        self.logits = convolution(dimension, width, classes, 1)
        if dimension == 3:
            # In pictures, what is looked for fills enough to begin with equal chances.
            begin_with_background(self.logits)
        stages = _stages(factors) if learned else []
        half = max(1, width // 2)
        layers: list[nn.Module] = []
        for cin, stage in zip([width, half], stages, strict=False):
            layers += [upscaling(dimension, cin, half, stage), nn.ReLU(inplace=True), Unit(dimension, half, half, 3)]
        last = convolution(dimension, half, classes, 1)
        # At first the correction is none.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.correction = nn.Sequential(*layers, last) if layers else None

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, classes, *fine)."""
        coarse = enlarged(self.logits(features), self._factors)
        return coarse if self.correction is None else coarse + self.correction(features)


class ImageHead(nn.Module):
    """What is added to the interpolated image to make it sharp."""

    def __init__(self, dimension: int, width: int, channels: int, factors: Sequence[int]) -> None:
        super().__init__()
        self._factors = list(factors)
        layers: list[nn.Module] = []
        for stage in _stages(factors):
            layers += [upscaling(dimension, width, width, stage), Residual(dimension, width)]
        last = convolution(dimension, width, channels, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.detail = nn.Sequential(*layers, last)

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        """The super-resolved ``image`` (N, channels, *fine)."""
        detail = self.detail(features)
        return interpolated(image, detail.shape[2:]) + detail


def _stages(factors: Sequence[int]) -> list[list[int]]:
    """Factors split into steps of 2: [1, 4, 4] is [1, 2, 2] twice."""
    count = max(factors).bit_length() - 1
    return [[2 if f >= 2 ** (n + 1) else 1 for f in factors] for n in range(count)]
