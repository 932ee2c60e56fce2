"""Blocks of SASR-Net (Luo et al. 2024, after the released code), in two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrseg.blocks import convolution, convolve, interpolated

_UP: dict[int, type[nn.Module]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_AVG_POOL: dict[int, Any] = {2: F.avg_pool2d, 3: F.avg_pool3d}
_EPSILON = 1e-5
#: Channels that processors take at a time.
_BLOCK = 16
_MOMENTUM = 0.1


class Unit(nn.Module):
    """Convolution, batch norm and ReLU: (N, cin, *shape) to (N, cout, *shape).

    Without gradients the norm is folded into the convolution, which saves a pass over the result.

    Args:
        dimension: 2 or 3.
        kernel: side, odd.
        dilation: per axis; 1 throughout if left out.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, dimension: int, cin: int, cout: int, kernel: int, dilation: Sequence[int] | None = None) -> None:
        super().__init__()
        self.conv = convolution(dimension, cin, cout, kernel)
        if dilation is not None:
            self.conv.dilation = tuple(dilation)
            self.conv.padding = tuple(d * (kernel // 2) for d in dilation)
        # Batch norm without torch's counter of batches, which no model file needs.
        self.weight, self.bias = nn.Parameter(torch.ones(cout)), nn.Parameter(torch.zeros(cout))
        self.register_buffer("mean", torch.zeros(cout))
        self.register_buffer("variance", torch.ones(cout))

    def forward(self, x: Tensor) -> Tensor:
        """Same spatial size as ``x``."""
        if not self.training and not torch.is_grad_enabled():
            weight, bias = self.folded()
            return self.convolve(x, weight, bias).relu_()
        y = self._convolved(x)
        y = F.batch_norm(y, self.mean, self.variance, self.weight, self.bias, self.training, _MOMENTUM, _EPSILON)
        return F.relu(y, inplace=True)

    def _convolved(self, x: Tensor) -> Tensor:
        """For training."""
        missing = -x.shape[1] % _BLOCK
        if x.device.type != "cpu" or x.shape[1] < _BLOCK or not missing or max(self.conv.dilation) == 1:
            return self.conv(x)
        # In half precision oneDNN's weights' gradients are wrong, or no numbers, without these channels of zeros.
        pads = [0, 0] * (x.ndim - 2) + [0, missing]
        return self.convolve(F.pad(x, pads), F.pad(self.conv.weight, pads), self.conv.bias)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the one convolution that equals convolution and norm with the running statistics."""
        scale = self.weight * (self.variance + _EPSILON).rsqrt()
        bias = self.bias - self.mean * scale
        if self.conv.bias is not None:
            bias = bias + self.conv.bias * scale
        return self.conv.weight * scale.view(-1, *[1] * (self.conv.weight.ndim - 1)), bias

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """``x`` (N, cin, ...) under this convolution's geometry, with other weights."""
        return convolve(x, weight, bias, self.conv.padding, self.conv.dilation)  # type: ignore[arg-type]


def double(dimension: int, cin: int, cout: int) -> nn.Sequential:
    """The encoder's block: two units with kernels of 3."""
    return nn.Sequential(Unit(dimension, cin, cout, 3), Unit(dimension, cout, cout, 3))


class ScaleAware(nn.Module):
    """Scale-aware dilated convolution (SDC): a 1-wide path and one per dilation, mixed by learned gates per voxel.

    Args:
        dilations: per path but the first, and per axis.
        divisor: paths have this part of ``cout`` channels, at least one.
    """

    def __init__(
        self, dimension: int, cin: int, cout: int, dilations: Sequence[Sequence[int]], divisor: int = 1
    ) -> None:
        super().__init__()
        width = max(1, cout // divisor)
        paths = [Unit(dimension, cin, width, 1), *(Unit(dimension, cin, width, 3, d) for d in dilations)]
        self.paths = nn.ModuleList(paths)
        self.gate = convolution(dimension, cin, len(paths), 3)
        # All paths are half open at first.
        nn.init.zeros_(self.gate.bias)  # type: ignore[arg-type]
        self.fuse = Unit(dimension, len(paths) * width, cout, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mixture (N, cout, *shape), and the gates (N, paths, *shape) from 0 to 1."""
        gates = torch.sigmoid(self.gate(x))
        if self.training or torch.is_grad_enabled():
            parts = [path(x) * gates[:, n : n + 1] for n, path in enumerate(self.paths)]
            return self.fuse(torch.cat(parts, dim=1)), gates
        return self._summed(x, gates), gates

    def _summed(self, x: Tensor, gates: Tensor) -> Tensor:
        """The mixture path by path, so that only two of them exist at a time."""
        weight, bias = self.fuse.folded()
        total: Tensor | None = None
        for n, (path, part) in enumerate(zip(self.paths, weight.chunk(len(self.paths), dim=1), strict=True)):
            gated = path(x).mul_(gates[:, n : n + 1])
            mixed = self.fuse.convolve(gated, part, bias if total is None else None)
            del gated
            total = mixed if total is None else total.add_(mixed)
        assert total is not None
        return total.relu_()


class Residual(nn.Module):
    """The super-resolution block (as in EDSR): two convolutions and a 1-wide shortcut, neither norm nor activation."""

    def __init__(self, dimension: int, channels: int) -> None:
        super().__init__()
        self.conv1 = convolution(dimension, channels, channels, 3)
        self.conv2 = convolution(dimension, channels, channels, 3)
        self.shortcut = convolution(dimension, channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as ``x``."""
        return self.conv2(F.relu(self.conv1(x), inplace=True)) + self.shortcut(x)


def upscaling(dimension: int, cin: int, cout: int, factors: Sequence[int]) -> nn.Module:
    """Transposed convolution without overlap: each axis grows by its factor."""
    return _UP[dimension](cin, cout, tuple(factors), tuple(factors))


def enlarged(x: Tensor, factors: Sequence[int]) -> Tensor:
    """``x`` (N, C, *shape) with each axis grown by its factor, linearly interpolated (half-pixel)."""
    return interpolated(x, [n * f for n, f in zip(x.shape[2:], factors, strict=True)])


def shrunk(x: Tensor, factors: Sequence[int]) -> Tensor:
    """``x`` (N, C, *shape) with each axis shrunk by its factor, as means over blocks; sides must be multiples."""
    if all(f == 1 for f in factors):
        return x
    return _AVG_POOL[x.ndim - 2](x, tuple(factors))
