"""Residual blocks over maps too large for memory, in slabs along the first spatial axis, with exact statistics.

An instance norm needs the whole map before any of it can go on, so that a block takes three sweeps: its first
convolution, its second, its output. What a sweep made is either kept for the next one or made again, see :class:`Keep`.
Maps are (1, C, length, ...), best in channels-last order, where a slab is one piece of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrseg.blocks import CHANNELS_LAST, Convolution, Up, convolve, mean_and_variance, pointwise
from hrseg.pfseg.network import Block, MultiKernelBlock

#: ``rows(start, stop)`` gives these rows of a map; those beyond its ends are zero.
Rows = Callable[[int, int], Tensor]
#: Told of each slab done; it raises Cancelled.
Advance = Callable[[int], None]
_CONV_TRANSPOSE = {4: F.conv_transpose2d, 5: F.conv_transpose3d}
_SLOPE = 0.01
_EPS = 1e-5


class Keep(IntEnum):
    """What is kept of a block between its sweeps. Less of it means more work.

    ``NOTHING``: three times the input and the first convolution, twice the second. ``MAIN``: the map of the
    convolutions, twice the input. ``ALL``: the shortcut's map, too; nothing is computed twice.
    """

    NOTHING = 0
    MAIN = 1
    ALL = 2


def rows_of(x: Tensor) -> Rows:
    """The rows of a map in memory."""
    return padded(lambda start, stop: x[:, :, start:stop], x.shape[2])


def padded(inside: Rows, length: int) -> Rows:
    """Rows that ``inside`` gives from 0 to ``length``, and zeros beyond."""

    def rows(start: int, stop: int) -> Tensor:
        x = inside(max(start, 0), min(stop, length))
        before, after = max(0, -start), max(0, stop - length)
        return F.pad(x, [0, 0] * (x.ndim - 3) + [before, after]) if before or after else x

    return rows


def up_rows(up: Up, source: Rows, length: int) -> Rows:
    """The rows of ``up(x)``, of which there are ``length``, from those of x."""
    conv = up.conv
    stride = conv.stride[0]

    def rows(start: int, stop: int) -> Tensor:
        low, high = start // stride, -(-stop // stride)
        x = source(low - 1, high + 1)
        # Padding a transposed convolution crops what it makes: the rows that would need more of x.
        padding = (1 + stride, *conv.padding[1:])
        y = _CONV_TRANSPOSE[x.ndim](x, conv.weight, conv.bias, conv.stride, padding)
        y = F.leaky_relu(y, _SLOPE, inplace=True)
        return y[:, :, start - low * stride : stop - low * stride]

    return padded(rows, length)


def joined(*sources: Rows) -> Rows:
    """Rows of several maps, their channels side by side."""
    return lambda start, stop: torch.cat([rows(start, stop) for rows in sources], dim=1)


def pooled(pooling: nn.Module, x: Tensor, slabs: Sequence[tuple[int, int]], stride: int) -> Tensor:
    """``pooling(x)`` slab by slab: all at once it would need twice as much memory again, for places of maxima."""
    return torch.cat([pooling(x[:, :, a * stride : b * stride]) for a, b in slabs], dim=2)


def slabs_of(length: int, thickness: int) -> list[tuple[int, int]]:
    """(start, stop) of consecutive slabs."""
    return [(a, min(a + thickness, length)) for a in range(0, length, thickness)]


class SlabBlock:
    """A residual block over ``source``, slab by slab.

    Args:
        block: of the network.
        source: its input.
        slabs: that cover all rows, in order.
        keep: what to keep between sweeps.
        advance: told 1 after each slab of each of the three sweeps.
    """

    def __init__(
        self, block: Block, source: Rows, slabs: Sequence[tuple[int, int]], keep: Keep, advance: Advance
    ) -> None:
        first = list(block.branches) if isinstance(block, MultiKernelBlock) else [block.conv1]
        self._first = cast(list[Convolution], first)
        self._second, self._short = block.conv2, block.shortcut
        self._reach = max(conv.kernel_size[0] // 2 for conv in self._first)
        self._source, self._slabs, self._length = source, slabs, slabs[-1][1]
        self._keep, self._advance = keep, advance
        self._norms = _Norm(), _Norm(), _Norm()
        self._main: Tensor | None = None
        self._side: Tensor | None = None

    def output(self) -> Iterator[tuple[int, Tensor]]:
        """(start, rows) of the block's output, in order; what they are in may be written over."""
        self._first_sweep()
        self._second_sweep()
        for a, b in self._slabs:
            if self._main is not None:
                y, side = self._main[:, :, a:b], self._shortcut_rows(a, b)
            else:
                x = self._source(a - 1 - self._reach, b + 1 + self._reach)
                y, side = self._convolved(x, a, b), self._shortcut(_trimmed(x, 1 + self._reach))
            yield a, F.leaky_relu(self._norms[1](y).add_(self._norms[2](side)), _SLOPE, inplace=True)
            self._advance(1)

    def map(self) -> Tensor:
        """The block's output as a whole, in the memory of what was kept."""
        assert self._keep
        for a, rows in self.output():
            assert self._main is not None
            self._main[:, :, a : a + rows.shape[2]] = rows
            # Not before the next slab is made, or it would lie in memory twice.
            del rows
        assert self._main is not None
        return self._main

    def _first_sweep(self) -> None:
        for a, b in self._slabs:
            x = self._source(a - self._reach, b + self._reach)
            y = self._first_convolution(x)
            self._norms[0].see(y)
            side = self._shortcut(_trimmed(x, self._reach))
            self._norms[2].see(side)
            if self._keep:
                self._main = self._stored(self._main, a, b, y)
            if self._keep == Keep.ALL:
                self._side = self._stored(self._side, a, b, side)
            self._advance(1)

    def _second_sweep(self) -> None:
        before: Tensor | None = None
        for a, b in self._slabs:
            if self._main is None:
                y = self._convolved(self._source(a - 1 - self._reach, b + 1 + self._reach), a, b)
            else:
                # The row before this slab is written over already; the one behind it not yet.
                rows = self._activated(self._main[:, :, a : b + 1])
                before = torch.zeros_like(rows[:, :, :1]) if before is None else before
                after = [torch.zeros_like(before)] if b == self._length else []
                y = self._convolution(self._second, torch.cat([before, rows, *after], dim=2), 1)
                before = rows[:, :, b - a - 1 : b - a].clone()
                # Multi-kernel blocks have more channels after their first convolutions.
                self._main[:, : y.shape[1], a:b] = y
            self._norms[1].see(y)
            self._advance(1)
        if self._main is not None:
            self._main = self._main[:, : y.shape[1]]

    def _convolved(self, x: Tensor, a: int, b: int) -> Tensor:
        """Rows a to b of the second convolution, before its norm, from those of the input and 1 + reach around."""
        rows = self._activated(self._first_convolution(x))
        # Beyond the ends the second convolution sees zeros, not what the first one makes of them.
        if a == 0:
            rows[:, :, 0] = 0
        if b == self._length:
            rows[:, :, -1] = 0
        return self._convolution(self._second, rows, 1)

    def _first_convolution(self, x: Tensor) -> Tensor:
        made = [self._convolution(conv, x, self._reach) for conv in self._first]
        return made[0] if len(made) == 1 else torch.cat(made, dim=1)

    def _activated(self, y: Tensor) -> Tensor:
        return F.leaky_relu(self._norms[0](y), _SLOPE, inplace=True)

    def _shortcut_rows(self, a: int, b: int) -> Tensor:
        return self._shortcut(self._source(a, b)) if self._side is None else self._side[:, :, a:b]

    def _shortcut(self, x: Tensor) -> Tensor:
        return pointwise(self._short, x)

    def _stored(self, kept: Tensor | None, a: int, b: int, rows: Tensor) -> Tensor:
        if kept is None:
            shape = (*rows.shape[:2], self._length, *rows.shape[3:])
            kept = torch.empty(shape, dtype=rows.dtype, device=rows.device, memory_format=CHANNELS_LAST[rows.ndim])
        kept[:, :, a:b] = rows
        return kept

    @staticmethod
    def _convolution(conv: Convolution, x: Tensor, around: int) -> Tensor:
        """Without padding along the first axis: ``x`` has ``around`` rows more on both sides than are wanted."""
        reach = conv.kernel_size[0] // 2
        padding = (0, *[reach] * (x.ndim - 3))
        return convolve(_trimmed(x, around - reach), conv.weight, conv.bias, padding)


class _Norm:
    """An instance norm whose statistics come slab by slab, as those of one map."""

    def __init__(self) -> None:
        self._count = 0
        self._mean: Tensor | None = None
        self._squares: Tensor | None = None

    def see(self, x: Tensor) -> None:
        """Adds a slab (1, C, ...)."""
        count = x.numel() // x.shape[1]
        # Apple's GPUs have no float64.
        dtype = torch.float32 if x.device.type == "mps" else torch.float64
        mean, variance = (value.to(dtype) for value in mean_and_variance(x))
        if self._mean is None or self._squares is None:
            self._count, self._mean, self._squares = count, mean, variance * count
            return
        # Chan, Golub, LeVeque 1983.
        both, away = self._count + count, mean - self._mean
        self._squares = self._squares + variance * count + away.square() * (self._count * count / both)
        self._mean = self._mean + away * (count / both)
        self._count = both

    def __call__(self, x: Tensor) -> Tensor:
        """A slab normalised, in new memory."""
        assert self._mean is not None
        assert self._squares is not None
        dtype = torch.float32
        return F.batch_norm(x, self._mean.to(dtype), (self._squares / self._count).to(dtype), eps=_EPS)


def _trimmed(x: Tensor, rows: int) -> Tensor:
    return x[:, :, rows : x.shape[2] - rows] if rows else x
