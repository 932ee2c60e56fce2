"""Cascades with stand-in networks that threshold the grey value, so that what they should find is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hrseg.crop_cascade.method import CropCascade
from hrseg.crop_cascade.network import CascadeNetwork
from hrseg.geometry import Box, Grid
from hrseg.image import Image
from hrseg.labels import Label
from hrseg.methods import Options, Result, method_of
from hrseg.model_file import Header, Intensity, Model, Preprocessing
from hrseg.prompts import RegionBox
from hrseg.runtime import Run

LABELS = [Label(1, "nucleus", (200, 0, 0)), Label(2, "core", (0, 0, 200))]
#: A working image is the network's input at this side: then neither the coarse pass nor crops are resized.
SIDE = 32
WIDE = (1, 64, 96)


class Above(nn.Module):
    """Sure of label n where the prepared grey value is above the n-th level; keeps the shapes of its inputs.

    The memory forecast's own input, all zero, does not count.
    """

    def __init__(self, *levels: float) -> None:
        super().__init__()
        self.levels = levels
        self.unused = nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        if x.any():
            self.seen.append(tuple(x.shape))
        gray = x.mean(dim=1, keepdim=True)
        steps = [torch.zeros_like(gray), *(40 * (gray - level) for level in self.levels)]
        return torch.cat(steps, dim=1).cumsum(dim=1)


class Refuses(nn.Module):
    """Must not be called, but by the memory forecast, whose input is all zero."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        assert not x.any(), "this network is not needed"
        return torch.cat([x[:, :1], x[:, :1]], dim=1)


class FailsOnBright(Above):
    """NaN in crops with a voxel at full intensity."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        logits[x.flatten(1).amax(1) > 0.95] = float("nan")
        return logits


class Hungry(Above):
    """Runs out of memory for more than ``most`` crops."""

    most = 2

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return super().forward(x)


def header(dimension: int = 2, channels: int = 1, labels: int = 1, **inference: Any) -> Header:
    return Header(
        name="stand-in",
        method="crop_cascade",
        dimension=dimension,  # type: ignore[arg-type]
        channels=["red", "green", "blue"][:channels],
        labels=LABELS[:labels],
        preprocessing=Preprocessing(intensity=Intensity(kind="window", low=0, high=100)),
        network={part: {"width": 2, "depth": 1} for part in ("coarse", "fine")},
        inference={"size": [SIDE] * 2 if dimension == 2 else [16] * 3, **inference},
    )


def cascade(coarse: nn.Module | None = None, fine: nn.Module | None = None, **settings: Any) -> CropCascade:
    """The coarse network sees any brightness, the fine one half of full intensity."""
    network = CascadeNetwork(coarse or Above(0.1), fine or Above(0.5))
    method = method_of(Model(header(**settings), network.eval()))
    assert isinstance(method, CropCascade)
    return method


def scene(shape: tuple[int, int, int], *blocks: tuple[slice, ...], value: int = 100) -> NDArray[np.uint8]:
    array = np.zeros(shape, np.uint8)
    for block in blocks:
        array[block] = value
    return array


def image(array: NDArray, spacing: Any = 1.0) -> Image:
    array = array if array.ndim == 4 else array[None]
    return Image(array, Grid.from_spacing(array.shape[1:], spacing), "scene")


def segment(method: CropCascade, array: NDArray, *boxes: RegionBox, run: Run | None = None, **options: Any) -> Result:
    return method.segment(image(array), Options(boxes=boxes, **options), run or Run())


def drawn(array: NDArray, start: tuple[int, int, int], stop: tuple[int, int, int], name: str = "mine") -> RegionBox:
    return RegionBox.of_voxels(Box(start, stop), Grid.from_spacing(array.shape[-3:]), name)


def found(result: Result) -> NDArray:
    return result.label_map.array


FIVE = scene((1, 160, 160), *(np.s_[:, j : j + 8, i : i + 8] for j, i in ((8, 8), (8, 140), (76, 76), (140, 8))))
FIVE[:, 140:150, 140:150] = 100
