"""The two networks of the cascade and their settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hrseg.blocks import convolution
from hrseg.errors import ModelError
from hrseg.model_file import Strict

_UP = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}

#: MONAI classes that a model may name, and what they are always given. Nothing else is ever looked up by name.
MONAI_NETWORKS: dict[str, dict[str, Any]] = {
    "AttentionUnet": {"channels": (32, 64, 128, 256), "strides": (2, 2, 2)},
    "BasicUNetPlusPlus": {"features": (32, 32, 64, 128, 256, 32)},
    "SegResNet": {"init_filters": 16},
    "UNet": {"channels": (32, 64, 128, 256, 512), "strides": (2, 2, 2, 2), "num_res_units": 2},
}


class NetworkChoice(Strict):
    """One network of the cascade.

    Attributes:
        kind: ``unet`` is the published one; the others are MONAI's classes of that name, at fixed settings.
        width: channels of the finest level of ``unet``; each coarser one has twice as many (published: 32).
        depth: number of poolings of ``unet`` (published: 4).
    """

    kind: Literal["unet", "AttentionUnet", "BasicUNetPlusPlus", "SegResNet", "UNet"] = "unet"
    width: Annotated[int, Field(ge=1, le=256)] = 32
    depth: Annotated[int, Field(ge=1, le=6)] = 4

    @property
    def multiple(self) -> int:
        """What input sides must be multiples of."""
        # Instance norm, which MONAI's have, needs two voxels at their coarsest level.
        return 2**self.depth if self.kind == "unet" else 32

    def build(self, dimension: int, channels: int, classes: int) -> nn.Module:
        """The network with fresh weights. Raises ModelError when MONAI is needed and missing."""
        if self.kind == "unet":
            return _without_counters(UNet(dimension, channels, classes, self.width, self.depth))
        return _without_counters(_monai_network(self.kind, dimension, channels, classes))


class NetworkSettings(Strict):
    """The coarse and the fine network."""

    coarse: NetworkChoice = NetworkChoice()
    fine: NetworkChoice = NetworkChoice()


class CascadeNetwork(nn.Module):
    """Both networks, so that one file holds them. They take (N, C, *shape) to logits (N, classes, *shape)."""

    def __init__(self, coarse: nn.Module, fine: nn.Module) -> None:
        super().__init__()
        self.coarse = coarse
        self.fine = fine


class UNet(nn.Module):
    """The U-Net of Benčević et al. 2023: two convolutions with batch norm per level, transposed convolutions up.

    7,763,041 parameters for three channels and one output at width 32 and depth 4 in 2D. It gives logits; binary
    models have two outputs here (softmax) where the published one has a sigmoid.
    """

    def __init__(self, dimension: int, channels: int, classes: int, width: int = 32, depth: int = 4) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        inputs = [channels, *widths[:-1]]
        self.encoder = nn.ModuleList(_double(dimension, a, b) for a, b in zip(inputs, widths, strict=True))
        self.pool = _POOL[dimension](2)
        self.ups = nn.ModuleList(_UP[dimension](2 * w, w, 2, 2) for w in widths[:-1])
        self.decoder = nn.ModuleList(_double(dimension, 2 * w, w) for w in widths[:-1])
        self.head = convolution(dimension, width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes, ...) of images (N, C, ...) whose sides are multiples of 2 ** depth."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(self.pool(x) if level else x)
            skips.append(x)
        skips.pop()
        for up, block in zip(reversed(self.ups), reversed(self.decoder), strict=True):
            x = block(torch.cat([up(x), skips.pop()], dim=1))
        return self.head(x)


def _double(dimension: int, cin: int, cout: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in ((cin, cout), (cout, cout)):
        layers += [convolution(dimension, a, b, 3, bias=False), _NORM[dimension](b), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _monai_network(kind: str, dimension: int, channels: int, classes: int) -> nn.Module:
    try:
        from monai.networks import nets
    except ImportError as error:
        raise ModelError(f"This model's network is MONAI's \"{kind}\"; install it by pip install monai.") from error
    network = getattr(nets, kind)(
        spatial_dims=dimension, in_channels=channels, out_channels=classes, **MONAI_NETWORKS[kind]
    )
    return _FirstOutput(network) if kind == "BasicUNetPlusPlus" else network


def _without_counters(network: nn.Module) -> nn.Module:
    """Drops the counters of batches that batch norm keeps: nothing uses them, and model files hold weights only."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.num_batches_tracked = None
            module._register_load_state_dict_pre_hook(_drop_counter)
    return network


def _drop_counter(state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Batch norm adds a counter to weights that come without version notes, as a checkpoint's do."""
    state.pop(f"{prefix}num_batches_tracked", None)


class _FirstOutput(nn.Module):
    """A network that returns a list of outputs, reduced to its first."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        outputs: Sequence[Tensor] = self.network(x)
        return outputs[0]
