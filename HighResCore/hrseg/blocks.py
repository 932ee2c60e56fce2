"""Network blocks that several methods share, in two and three dimensions.

The residual block and the up-sampling block are those of PFSeg (Wang et al., MICCAI 2021), so that every method can be
compared at equal widths.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Convolution = nn.Conv2d | nn.Conv3d
_CONVOLVE: dict[int, Any] = {4: F.conv2d, 5: F.conv3d}
_CONV_TRANSPOSE = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_MAX_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
#: By the number of a map's axes, batch and channels included.
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
_MODE = {4: "bilinear", 5: "trilinear"}
_SLOPE = 0.01


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, padding: Sequence[int], dilation: Sequence[int] | None = None
) -> Tensor:
    """A convolution of stride 1 of maps (N, cin, ...)."""
    if padding[0] and _is_thin(x, weight) and torch.is_grad_enabled():
        x, padding = F.pad(x, (0, 0, 0, 0, padding[0], padding[0])), (0, *padding[1:])
    ones = [1] * (x.ndim - 2)
    dilation = dilation or ones
    if _by_onednn(x):
        # By itself torch takes small maps of single samples to be too small for oneDNN, and copies each voxel 27 times.
        return torch.mkldnn_convolution(x, weight, bias, padding, ones, dilation, 1)
    return _CONVOLVE[x.ndim](x, weight, bias, 1, tuple(padding), tuple(dilation))


def guard_thin_maps(network: nn.Module) -> None:
    """For training: torch's own convolutions, too, pad those maps themselves that oneDNN does not train well."""
    for module in network.modules():
        if type(module) is nn.Conv3d:
            module.register_forward_pre_hook(_pad_if_thin)


def _pad_if_thin(conv: nn.Conv3d, inputs: tuple[Tensor]) -> None:
    # Whatever is not "zeros" is padded by torch before the convolution.
    conv.padding_mode = "constant" if _is_thin(inputs[0], conv.weight) else "zeros"  # type: ignore[assignment]


def _is_thin(x: Tensor, weight: Tensor) -> bool:
    """Maps (N, C, K, J, I) less deep than the kernel, yet of more than one voxel.

    Where oneDNN itself pads these, parts of the kernel's gradient are memory that nobody wrote (torch 2.13, bfloat16).
    """
    return x.ndim == 5 and 1 < x.shape[2] < weight.shape[2]


def interpolated(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Maps (N, C, ...) interpolated linearly (half-pixel) to another shape; themselves where they have it."""
    if tuple(shape) == tuple(x.shape[2:]):
        return x
    return F.interpolate(x, tuple(shape), mode=_MODE[x.ndim], align_corners=False)


def _by_onednn(x: Tensor) -> bool:
    fits = x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16)
    # Autocast and torch.compile know convolutions by their own names alone.
    known = torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling()
    return fits and not known and torch.backends.mkldnn.is_available()


class Conv2d(nn.Conv2d):
    """By :func:`convolve`, with stride 1."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, J, I) to (N, cout, ...)."""
        return convolve(x, self.weight, self.bias, self.padding, self.dilation)  # type: ignore[arg-type]


class Conv3d(nn.Conv3d):
    """By :func:`convolve`, with stride 1."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, K, J, I) to (N, cout, ...)."""
        return convolve(x, self.weight, self.bias, self.padding, self.dilation)  # type: ignore[arg-type]


def convolution(dimension: int, cin: int, cout: int, kernel: int, *, bias: bool = True) -> Convolution:
    """A convolution that keeps the spatial size (odd ``kernel``)."""
    made: type[Convolution] = Conv2d if dimension == 2 else Conv3d
    return made(cin, cout, kernel, padding=kernel // 2, bias=bias)


def instance_norm(x: Tensor) -> Tensor:
    """Instance normalisation without affine parameters (eps 1e-5).

    A map with a single voxel has no spread to normalise by and becomes zero. Without gradients ``x`` itself is
    overwritten, which needs less memory and time.
    """
    count = x[0, 0].numel()
    if torch.is_grad_enabled():
        return _norm_to_train(x) if count > 1 else x - x
    axes = tuple(range(2, x.ndim))
    if x.device.type == "cpu" and (x.dtype == torch.bfloat16 or (x.dtype == torch.float32 and not x.is_contiguous())):
        # What follows would take ten times as long.
        for sample in x.split(1):
            mean, variance = (value.view(1, -1, *[1] * len(axes)) for value in mean_and_variance(sample))
            sample.sub_(mean).mul_((variance + 1e-5).rsqrt_())
        return x
    x.sub_(x.mean(axes, keepdim=True))
    # The root of the sum of squares, in float32: the squares themselves could be too large for half precision.
    spread = torch.linalg.vector_norm(x, dim=axes, keepdim=True, dtype=torch.float32)
    return x.mul_((spread.square_() / count + 1e-5).rsqrt_())


def _norm_to_train(x: Tensor) -> Tensor:
    if not is_channels_last(x):
        return F.instance_norm(x)
    # The same, sample by sample: F.instance_norm would change the order of the channels.
    if len(x) == 1:
        return F.batch_norm(x, None, None, training=True)
    return torch.cat([F.batch_norm(sample, None, None, training=True) for sample in x.split(1)])


def mean_and_variance(x: Tensor) -> tuple[Tensor, Tensor]:
    """Per channel of maps (N, C, ...), (C,) each, as float32."""
    if x.device.type in ("cpu", "cuda"):
        # Ten times as fast as var_mean in channels-last order; other devices lack it.
        return torch.batch_norm_update_stats(x, None, None, 0.0)
    if x.is_meta:
        # Of tensors without content, in dry runs, only memory is counted: that of those two devices.
        mean = torch.empty(x.shape[1], dtype=torch.float32, device=x.device)
        return mean, torch.empty_like(mean)
    variance, mean = torch.var_mean(x.float(), [0, *range(2, x.ndim)], correction=0)
    return mean, variance


def channels_last(x: Tensor) -> Tensor:
    """The same maps or kernels, the channels of a voxel side by side."""
    return x.contiguous(memory_format=CHANNELS_LAST[x.ndim])


def placed(network: nn.Module, device: torch.device) -> nn.Module:
    """The network on a device; on processors with kernels in channels-last order, in which they are faster."""
    network = network.to(device)
    if device.type == "cpu":
        for parameter in network.parameters():
            if parameter.ndim in CHANNELS_LAST:
                parameter.data = channels_last(parameter.data)
    return network


def is_channels_last(x: Tensor) -> bool:
    """Whether the channels of a voxel lie side by side, and nothing else would do as well."""
    return x.is_contiguous(memory_format=CHANNELS_LAST[x.ndim]) and not x.is_contiguous()


def pointwise(conv: Convolution, x: Tensor) -> Tensor:
    """A convolution of width 1 as a matrix product: oneDNN would copy its input and output."""
    weight = conv.weight.flatten(1)
    if is_channels_last(x):
        return F.linear(x.movedim(1, -1), weight, conv.bias).movedim(-1, 1)
    y = torch.matmul(weight, x.flatten(2)).unflatten(2, x.shape[2:])
    return y if conv.bias is None else y + conv.bias.view(-1, *[1] * (x.ndim - 2))


def begin_with_background(head: Convolution | nn.Linear) -> None:
    """Sets the biases of a last layer so that its first answer is background, with 98 %.

    Structures fill a thousandth of many volumes. A network that begins with equal chances learns little else than that
    for hundreds of steps (Lin et al. 2017, arXiv:1708.02002, section 3.3).
    """
    if head.bias is not None and len(head.bias) > 1:
        with torch.no_grad():
            head.bias.zero_()
            head.bias[0] = math.log(0.98 / 0.02 * (len(head.bias) - 1))


class ResBlock(nn.Module):
    """Two 3-wide convolutions with instance norm and a normalised 1-wide shortcut: (N, cin, ...) to (N, cout, ...)."""

    def __init__(self, dimension: int, cin: int, cout: int) -> None:
        super().__init__()
        self.conv1 = convolution(dimension, cin, cout, 3)
        self.conv2 = convolution(dimension, cout, cout, 3)
        self.shortcut = convolution(dimension, cin, cout, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Same spatial size as ``x``."""
        y = F.leaky_relu(instance_norm(self.conv1(x)), _SLOPE, inplace=True)
        short = pointwise(self.shortcut, x)
        # In place throughout: no gradient here needs what is overwritten.
        y = instance_norm(self.conv2(y)).add_(instance_norm(short))
        return F.leaky_relu(y, _SLOPE, inplace=True)


class Up(nn.Module):
    """Transposed convolution and leaky ReLU: each axis grows by its ``stride`` (2, or 1 to stay)."""

    def __init__(self, dimension: int, cin: int, cout: int, stride: Sequence[int]) -> None:
        super().__init__()
        kernel = tuple(4 if s == 2 else 3 for s in stride)
        self.conv = _CONV_TRANSPOSE[dimension](cin, cout, kernel, tuple(stride), 1)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, *shape) to (N, cout, *(shape * stride))."""
        return F.leaky_relu(self.conv(x), _SLOPE, inplace=True)


def pool(dimension: int, stride: Sequence[int]) -> nn.Module:
    """Max pooling by ``stride`` per axis."""
    return _MAX_POOL[dimension](tuple(stride))


class ResidualUNet(nn.Module):
    """U-Net of residual blocks, the patch-based baseline.

    Args:
        dimension: 2 or 3.
        in_channels: channels of the input.
        classes: channels of the output, the background included.
        widths: channels per level, finest first.
        strides: pooling per level transition, one (per axis) tuple fewer than ``widths``.
    """

    def __init__(
        self,
        dimension: int,
        in_channels: int,
        classes: int,
        widths: Sequence[int],
        strides: Sequence[Sequence[int]],
    ) -> None:
        super().__init__()
        inputs = [in_channels, *widths[:-1]]
        self.encoder = nn.ModuleList(ResBlock(dimension, a, b) for a, b in zip(inputs, widths, strict=True))
        self.pools = nn.ModuleList(pool(dimension, s) for s in strides)
        self.ups = nn.ModuleList(
            Up(dimension, b, a, s) for a, b, s in zip(widths[:-1], widths[1:], strides, strict=True)
        )
        self.decoder = nn.ModuleList(ResBlock(dimension, 2 * w, w) for w in widths[:-1])
        self.head = convolution(dimension, widths[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes, *shape) of images (N, in_channels, *shape); shape divisible by the strides' product."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(self.pools[level - 1](x) if level else x)
            skips.append(x)
        skips.pop()
        for up, block in zip(reversed(self.ups), reversed(self.decoder), strict=True):
            x = block(torch.cat([up(x), skips.pop()], dim=1))
        return self.head(x)
