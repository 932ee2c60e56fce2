"""Small PFSeg models of random weights, and volumes of noise for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.methods import Result, method_of
from hrseg.model_file import Intensity, Preprocessing
from hrseg.pfseg.method import PFSeg
from model_helpers import tiny_model

WINDOW = Intensity(kind="window", low=0, high=100)
NETWORK = {"widths": [4, 6, 8], "guidance_widths": [4, 4], "tail_width": 4}
SHAPE = (13, 18, 21)


def volume(shape: tuple[int, int, int] = SHAPE, spacing: float | tuple[float, ...] = 1.0) -> Image:
    array = np.random.default_rng(0).integers(0, 100, (1, *shape)).astype(np.int16)
    return Image(array, Grid.from_spacing(shape, spacing), "volume")


def method(network: dict[str, Any] | None = None, inference: dict[str, Any] | None = None, **changes: Any) -> PFSeg:
    changes = {"preprocessing": Preprocessing(orientation="RAS", intensity=WINDOW), **changes}
    model = tiny_model(method="pfseg", network={**NETWORK, **(network or {})}, inference=inference or {}, **changes)
    made = method_of(model)
    assert isinstance(made, PFSeg)
    return made


def probability(result: Result) -> torch.Tensor:
    assert result.probability is not None
    return torch.from_numpy(result.probability)
