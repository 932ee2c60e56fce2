"""The network: one encoder, a branch for the guidance crop, and a decoder each for the mask and the image.

Low resolution (LR) is that of the input, high resolution (HR) that of the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrseg.blocks import (
    ResBlock,
    ResidualUNet,
    Up,
    begin_with_background,
    channels_last,
    convolution,
    instance_norm,
    interpolated,
    is_channels_last,
    pool,
)
from hrseg.pfseg.settings import NetworkSettings


class MultiKernelBlock(nn.Module):
    """The extended version's residual block: kernels of 3, 5 and 7 side by side, normalised together."""

    def __init__(self, dimension: int, cin: int, cout: int) -> None:
        super().__init__()
        sizes = ((3, cout), (5, cout // 2), (7, cout // 2))
        self.branches = nn.ModuleList(convolution(dimension, cin, width, kernel) for kernel, width in sizes)
        self.conv2 = convolution(dimension, 2 * cout, cout, 3)
        self.shortcut = convolution(dimension, cin, cout, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, ...) to (N, cout, ...)."""
        y = torch.cat([branch(x) for branch in self.branches], dim=1)
        y = F.leaky_relu(instance_norm(y), 0.01, inplace=True)
        y = instance_norm(self.conv2(y)).add_(instance_norm(self.shortcut(x)))
        return F.leaky_relu(y, 0.01, inplace=True)


Block = ResBlock | MultiKernelBlock
#: Voxels at LR, a slice per axis.
Part = tuple[slice, ...]
_BLOCKS: dict[str, type[Block]] = {"plain": ResBlock, "multi_kernel": MultiKernelBlock}


class Encoder(nn.Module):
    """Residual blocks with pooling between them."""

    def __init__(
        self, dimension: int, channels: int, widths: Sequence[int], strides: Sequence[Sequence[int]], block: str
    ) -> None:
        super().__init__()
        inputs = [channels, *widths[:-1]]
        self.blocks = nn.ModuleList(_BLOCKS[block](dimension, a, b) for a, b in zip(inputs, widths, strict=True))
        self.pools = nn.ModuleList(pool(dimension, s) for s in strides)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The maps (N, width, ...) of all levels, finest first, of an image (N, C, ...)."""
        return self.deeper([self.blocks[0](x)])

    def deeper(self, maps: list[Tensor]) -> list[Tensor]:
        """``maps`` (N, width, ...), the finest levels', and those below."""
        for block, pooling in list(zip(self.blocks[1:], self.pools, strict=True))[len(maps) - 1 :]:
            maps = [*maps, block(pooling(maps[-1]))]
        return maps


class Decoder(nn.Module):
    """From the bottleneck back to LR with the encoder's maps, and on to HR without.

    Attributes:
        ups, blocks: coarsest first; the last ``len(tail)`` have no map of the encoder to join.
        low_head: gives the first version of the output, at LR, if there is one.
    """

    def __init__(
        self,
        dimension: int,
        cin: int,
        classes: int,
        s: NetworkSettings,
        *,
        widths: Sequence[int] | None = None,
        low_head: bool = False,
    ) -> None:
        super().__init__()
        skips = s.widths[-2::-1]
        widths = skips if widths is None else widths[::-1]
        inputs, strides = [cin, *widths[:-1]], s.all_strides(dimension)[::-1]
        self.ups = nn.ModuleList(Up(dimension, a, b, p) for a, b, p in zip(inputs, widths, strides, strict=True))
        self.blocks = nn.ModuleList(ResBlock(dimension, a + b, b) for a, b in zip(skips, widths, strict=True))
        width = widths[-1]
        low_width = width
        for stride in s.tail_strides(dimension):
            self.ups.append(Up(dimension, width, width, stride))
            self.blocks.append(ResBlock(dimension, width, s.tail_width))
            width = s.tail_width
        self.head = convolution(dimension, width, classes, 1)
        self.low_head = convolution(dimension, low_width, classes, 1) if low_head else None

    def forward(
        self,
        maps: Sequence[Tensor],
        parts: Sequence[Sequence[Part]] | None = None,
        first: Tensor | None = None,
    ) -> Tensor:
        """HR output of the encoder's maps (finest first), the last with what was joined to it.

        Args:
            parts: of each sample, the LR voxels whose output is wanted, one part after the other along the first axis
                of space; all have one size.
            first: (N, classes, *LR), the output's first version, to which the head's adds, where no ``low_head`` gives
                it.
        """
        stages, x = list(zip(self.ups, self.blocks, strict=True)), maps[-1]
        for skip in reversed(maps[:-1]):
            up, block = stages.pop(0)
            x = block(torch.cat([up(x), skip], dim=1))
        if parts is not None:
            x = _cut(x, parts)
            first = None if first is None else _cut(first, parts)
        if self.low_head is not None:
            first = self.low_head(x)
        for up, block in stages:
            x = block(up(x))
        x = self.head(x)
        return x if first is None else x + interpolated(first, x.shape[2:])


def _begin_with_zeros(head: nn.Module) -> None:
    for parameter in head.parameters():
        nn.init.zeros_(parameter)


def _cut(x: Tensor, parts: Sequence[Sequence[Part]]) -> Tensor:
    samples = [[sample[(slice(None), *part)] for part in mine] for sample, mine in zip(x, parts, strict=True)]
    cut = torch.stack([torch.cat(sample, dim=1) for sample in samples])
    return channels_last(cut) if is_channels_last(x) else cut.contiguous()


class Guidance(NamedTuple):
    """The guidance crops of a batch.

    Attributes:
        crop: (N, C, *sides) of the HR image; the sides are :meth:`NetworkSettings.guidance_shape`.
        place: (N, axes), the crop's centre as a share of the volume's sides.
        present: (N,), False where this sample goes without its crop.
    """

    crop: Tensor
    place: Tensor
    present: Tensor


class PFSegNetwork(nn.Module):
    """PFSeg (Wang et al., MICCAI 2021), with blocks of the extended version (arXiv 2210.14645) if wanted.

    With the default settings, one channel and one class it has 14,655,042 parameters, 9,355,249 of them for the mask.
    The image's decoder has no ReLU at its end, which could die.

    Args:
        dimension: 2 or 3.
        channels: of the image.
        classes: channels of the mask, the background included.
    """

    def __init__(self, dimension: int, channels: int, classes: int, settings: NetworkSettings) -> None:
        super().__init__()
        s, strides = settings, settings.all_strides(dimension)
        self.encoder = Encoder(dimension, channels, s.widths, strides, s.block)
        self.guidance: Encoder | None = None
        width = s.widths[-1]
        if s.guidance_widths:
            # Pooled once less than the image: the crop has the bottleneck's number of voxels in the end.
            self.guidance = Encoder(dimension, channels, s.guidance_widths, strides[1:], s.block)
            width += s.guidance_widths[-1] + dimension * s.tell_place
        self.segmentation = Decoder(dimension, width, classes, s, low_head=s.low_head)
        begin_with_background(self.segmentation.low_head or self.segmentation.head)
        if self.segmentation.low_head:
            _begin_with_zeros(self.segmentation.head)
        self.super_resolution: Decoder | None = None
        if s.super_resolution:
            self.super_resolution = Decoder(dimension, width, channels, s, widths=s.image_widths)
            if s.residual_image:
                _begin_with_zeros(self.super_resolution.head)
        self._added = width - s.widths[-1]
        self._tell_place, self._residual_image = s.tell_place, s.residual_image

    def start_from(self, low: ResidualUNet) -> None:
        """Takes over what the encoder and the mask's decoder have in common with a network of the same widths."""
        self.encoder.blocks.load_state_dict(low.encoder.state_dict())
        for up, known in zip(self.segmentation.ups, reversed(low.ups), strict=False):
            weights = known.state_dict()
            kernel = weights["conv.weight"]
            added = len(up.state_dict()["conv.weight"]) - len(kernel)
            # What the guidance crop adds to the bottleneck adds nothing at first.
            weights["conv.weight"] = torch.cat([kernel, kernel.new_zeros(added, *kernel.shape[1:])])
            up.load_state_dict(weights)
        for block, known in zip(self.segmentation.blocks, reversed(low.decoder), strict=False):
            block.load_state_dict(known.state_dict())
        if self.segmentation.low_head:
            self.segmentation.low_head.load_state_dict(low.head.state_dict())

    def low_modules(self) -> list[nn.Module]:
        """What :meth:`start_from` takes over."""
        levels, decoder = len(self.encoder.pools), self.segmentation
        found: list[nn.Module] = [self.encoder, *decoder.ups[:levels], *decoder.blocks[:levels]]
        return [*found, decoder.low_head] if decoder.low_head else found

    def forward(
        self,
        image: Tensor,
        guidance: Guidance | None = None,
        *,
        super_resolve: bool = False,
        parts: Sequence[Sequence[Part]] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Logits (N, classes, *HR) and, if asked for, the super-resolved image (N, channels, *HR).

        Args:
            image: (N, channels, *LR); sides are multiples of :meth:`NetworkSettings.multiple`.
            parts: of each sample, the LR voxels whose HR output is wanted, see :class:`Decoder`; None: all.
        """
        maps = self.joined(self.encoder(image), guidance)
        restored = None
        if super_resolve and self.super_resolution is not None:
            restored = self.super_resolution(maps, parts, self.first_image(image))
        return self.segmentation(maps, parts), restored

    def first_image(self, image: Tensor) -> Tensor | None:
        """The super-resolved image's first version, at LR; None where the decoder gives all of it."""
        return image if self._residual_image else None

    def joined(self, maps: list[Tensor], guidance: Guidance | None) -> list[Tensor]:
        """The encoder's maps; channels of the last one say what the guidance crop shows, zeros without a crop."""
        if self.guidance is None:
            return maps
        bottom = maps[-1]
        if guidance is None:
            extra = bottom.new_zeros(len(bottom), self._added, *bottom.shape[2:])
        else:
            extra = self.guidance(guidance.crop)[-1]
            if self._tell_place:
                extra = torch.cat([extra, _distances(bottom, guidance.place)], dim=1)
            extra = extra * guidance.present.to(extra.dtype).view(-1, *[1] * (bottom.ndim - 1))
        return [*maps[:-1], torch.cat([bottom, extra.to(bottom.dtype)], dim=1)]


def _distances(like: Tensor, place: Tensor) -> Tensor:
    """(N, axes, *shape): how far each voxel lies from ``place``, as a share of the volume's sides."""
    shape = like.shape[2:]
    channels = []
    for axis, side in enumerate(shape):
        position = (torch.arange(side, device=like.device) + 0.5) / side
        column = position.view([-1 if a == axis else 1 for a in range(len(shape))]).expand(shape)
        channels.append(column - place[:, axis].view(-1, *[1] * len(shape)))
    return torch.stack(channels, dim=1)
