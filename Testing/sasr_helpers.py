"""SASR models that are random or right by construction, and an image of large steps for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.methods import Options
from hrseg.model_file import Intensity, Model, Preprocessing
from hrseg.sasr.method import Sasr
from model_helpers import tiny_header, tiny_model

FINE = Options(resolution="fine")
WINDOW = Intensity(kind="window", low=0, high=100)


def header_fields(dimension: int = 3, **changes: Any) -> dict[str, Any]:
    orientation = "LPS" if dimension == 3 else None
    fields: dict[str, Any] = {
        "method": "sasr",
        "dimension": dimension,
        "preprocessing": Preprocessing(orientation=orientation, intensity=WINDOW),
        "network": {"widths": [2, 3, 4]},
        "inference": {"window": [16] * dimension},
    }
    return {**fields, **changes}


def random_model(dimension: int = 3, **changes: Any) -> Model:
    """Every weight counts, also those that begin as zeros."""
    model = tiny_model(**header_fields(dimension, **changes))
    torch.manual_seed(0)
    for tensor in model.network.state_dict().values():
        tensor.uniform_(-0.5, 0.5) if tensor.ndim > 1 else tensor.uniform_(0.5, 1)
    return model


class Threshold(nn.Module):
    """Not trained, but right: labels above 0.3 and 0.6 of the grey values, interpolated to twice the resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.seen: list[torch.Size] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.shape)
        fine = F.interpolate(x, scale_factor=2, mode="nearest")
        return 50 * torch.cat([0.3 - fine, torch.zeros_like(fine), fine - 0.6], dim=1)

    def with_image(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self(x), F.interpolate(x, scale_factor=2, mode="nearest")


def threshold_method(dimension: int = 3, **changes: Any) -> Sasr:
    return Sasr(Model(tiny_header(**header_fields(dimension, **changes)), Threshold()))


def steps(shape: tuple[int, int, int]) -> Image:
    """Values far from the thresholds, in blocks of two voxels, none of them symmetric."""
    coarse = np.random.default_rng(0).choice([10, 45, 90], [-(-n // 2) for n in shape])
    array = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)[: shape[0], : shape[1], : shape[2]]
    return Image(array[None].astype(np.int16), Grid.from_spacing(shape, (2.0, 1.0, 0.5), (5, 6, 7)), "steps")
