"""The network over a whole volume, within a memory budget.

The finest levels dominate time and memory. They run in slabs with exact statistics; all others at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from hrseg.blocks import ResBlock, Up, channels_last, interpolated, pointwise
from hrseg.memory import activation_peak
from hrseg.pfseg.network import Block, Decoder, Guidance, PFSegNetwork
from hrseg.pfseg.slabs import (
    Advance,
    Keep,
    Rows,
    SlabBlock,
    joined,
    pooled,
    rows_of,
    slabs_of,
    up_rows,
)


class Plan(NamedTuple):
    """How the finest levels run.

    Attributes:
        keep: of the last stage, between its sweeps.
        rows: of a slab.
        dry: run a few slabs only, to count memory.
    """

    keep: Keep
    rows: int
    dry: bool = False

    def slabs(self, length: int) -> list[tuple[int, int]]:
        """(start, stop) of the slabs of a map."""
        slabs = slabs_of(length, self.rows)
        return [*slabs[:2], slabs[-1]] if self.dry and len(slabs) > 2 else slabs


#: From fast to lean.
PLANS = [
    Plan(Keep.ALL, 32),
    Plan(Keep.ALL, 16),
    Plan(Keep.MAIN, 16),
    Plan(Keep.MAIN, 8),
    Plan(Keep.NOTHING, 16),
    Plan(Keep.NOTHING, 8),
]


def encode(
    network: PFSegNetwork, image: Tensor, guidance: Guidance | None, plan: Plan, advance: Advance
) -> list[Tensor]:
    """The encoder's maps of one image (1, C, *LR), finest first, the last with what the guidance crop says."""
    encoder = network.encoder
    first = cast(Block, encoder.blocks[0])
    slabs = plan.slabs(image.shape[2])
    maps = [SlabBlock(first, rows_of(channels_last(image)), slabs, Keep.MAIN, advance).map()]
    pooling = cast(nn.MaxPool3d, encoder.pools[0])
    stride = cast(tuple[int, ...], pooling.kernel_size)[0]
    below = pooled(pooling, maps[0], slabs_of(image.shape[2] // stride, plan.rows), stride)
    maps.append(encoder.blocks[1](below))
    return network.joined(encoder.deeper(maps), guidance)


def decode(
    decoder: Decoder, maps: list[Tensor], plan: Plan, advance: Advance, first: Tensor | None = None
) -> Iterator[tuple[int, Tensor]]:
    """(start, rows) of the decoder's output, (channels, rows, ...) in float32. ``maps`` is emptied to save memory.

    Args:
        first: (1, channels, *LR), the output's first version, see :class:`Decoder`.
    """
    stages = [(cast(Up, up), cast(ResBlock, block)) for up, block in zip(decoder.ups, decoder.blocks, strict=True)]
    x, low = maps.pop(), first
    while len(maps) > 1:
        up, block = stages.pop(0)
        x = block(torch.cat([up(x), maps.pop()], dim=1))
    while len(stages) > 1:
        # The encoder's finest map, for the first of these.
        up, block = stages.pop(0)
        source, length = _source(up, x, maps)
        x = SlabBlock(block, source, plan.slabs(length), Keep.MAIN, advance).map()
        if not maps and low is None and decoder.low_head:
            low = x
        del source
    up, block = stages[0]
    source, length = _source(up, x, maps)
    del x
    for start, rows in SlabBlock(block, source, plan.slabs(length), plan.keep, advance).output():
        values = pointwise(decoder.head, rows)[0].float()
        yield start, values if low is None else values + _first_version(decoder, low, start, rows.shape[2:], length)


def _first_version(decoder: Decoder, low: Tensor, start: int, shape: Sequence[int], length: int) -> Tensor:
    """Rows (channels, *shape) from ``start`` on, of ``length``, of what the output's first version is enlarged to.

    ``low`` is that version, or what the decoder's ``low_head`` makes it of.
    """
    factor = length // low.shape[2]
    # One row more on either side: they are interpolated between.
    begin, end = max(0, start // factor - 1), min(low.shape[2], -(-(start + shape[0]) // factor) + 1)
    values = low[:, :, begin:end]
    if decoder.low_head is not None:
        values = pointwise(decoder.low_head, values)
    rows = interpolated(values.float(), [(end - begin) * factor, *shape[1:]])[0]
    return rows[:, start - begin * factor :][:, : shape[0]]


def units(network: PFSegNetwork, length: int, plan: Plan, *, encoding: bool = True) -> int:
    """How often :func:`encode` (if so) and :func:`decode` advance for an image of ``length`` rows."""
    sweeps = len(plan.slabs(length)) * (1 + encoding)
    for up in _tail(network):
        length *= up.conv.stride[0]
        sweeps += len(plan.slabs(length))
    return 3 * sweeps


def forward_bytes(
    network: PFSegNetwork, shape: Sequence[int], crop: Sequence[int], plan: Plan, *, super_resolve: bool
) -> int:
    """Bytes of tensors alive at the highest point of a pass, found without computing anything.

    The first time takes a second: torch loads what it knows about shapes.

    Args:
        network: on torch's ``meta`` device, as its input then is; of the type in which its maps are to be.
        shape: (C, *LR) of the image.
        crop: sides of the guidance crop.
        plan: how the finest levels run.
        super_resolve: whether the image is rebuilt, too.
    """
    image = torch.empty(1, *shape, dtype=next(network.parameters()).dtype, device="meta")
    guidance = Guidance(image.new_empty(1, shape[0], *crop), image.new_empty(1, len(crop)), image.new_empty(1))
    dry = plan._replace(dry=True)

    def work() -> None:
        maps = encode(network, image, guidance, dry, _nobody)
        kept = list(maps) if super_resolve else []
        for _, rows in decode(network.segmentation, maps, dry, _nobody):
            rows.softmax(dim=0)
        if kept and network.super_resolution is not None:
            for _ in decode(network.super_resolution, kept, dry, _nobody, network.first_image(image)):
                pass

    return activation_peak(work)


def _nobody(done: int) -> None:
    """Nobody waits for a dry run."""


def _tail(network: PFSegNetwork) -> list[Up]:
    """The decoder's stages beyond the input's resolution."""
    return cast(list[Up], list(network.segmentation.ups)[len(network.encoder.pools) :])


def _source(up: Up, x: Tensor, maps: list[Tensor]) -> tuple[Rows, int]:
    """The input of a block, from the map below and what is left of the encoder's; and its number of rows."""
    length = x.shape[2] * up.conv.stride[0]
    rows = up_rows(up, rows_of(channels_last(x)), length)
    return (joined(rows, rows_of(maps.pop())) if maps else rows), length
