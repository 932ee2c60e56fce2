"""Models of the occupancy field that need no training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.methods import method_class
from hrseg.model_file import Header, Intensity, Model, Preprocessing
from hrseg.oss_net.network import FieldNetwork
from model_helpers import tiny_header

TINY: dict[str, Any] = {
    "variant": "field",
    "field": {
        "strides": [2, 2, 2],
        "widths": [2, 3],
        "features": 3,
        "local": [2, 4],
        "kernel": 3,
        "hidden": 8,
        "blocks": 1,
    },
}


def field_header(**changes: Any) -> Header:
    """Two labels, a working grid that is the image's, grey values 0 to 1."""
    fields: dict[str, Any] = {
        "method": "oss_net",
        "network": TINY,
        "preprocessing": Preprocessing(intensity=Intensity(kind="window", low=0, high=1)),
        "inference": {},
    }
    return tiny_header(**{**fields, **changes})


def random_model(seed: int = 0, **changes: Any) -> Model:
    """Random weights, in the decoder's last layer and its condition, too."""
    header = field_header(**changes)
    torch.manual_seed(seed)
    network = method_class("oss_net").build(header).eval().requires_grad_(False)
    if isinstance(network, FieldNetwork):
        for parameter in (*network.decoder.head.parameters(), *network.decoder.condition.parameters()):
            parameter.normal_()
    return Model(header, network)


def threshold_model(**changes: Any) -> Model:
    """Not trained, but right: label 1 where grey values, interpolated linearly, are above a half, label 2 nowhere.

    The prior is 0.88 for the background everywhere, so that all of an image is looked at.
    """
    model = random_model(**changes)
    network = model.network
    assert isinstance(network, FieldNetwork)
    for parameter in network.parameters():
        parameter.zero_()
    for layer in (network.local[0], network.local[2]):
        layer.weight[0, 0, 1, 1, 1] = 1  # type: ignore[index, union-attr]
    # The first feature at full resolution stands behind those of the context.
    network.decoder.first.weight[0, 3] = 1
    network.decoder.head.weight[1, 0] = 20
    network.prior.bias[:] = torch.tensor([2.0, 0, -4])
    network.decoder.head.bias[:] = torch.tensor([-2.0, -10, -50])
    return model


def ball_image(shape: tuple[int, int, int], radius: float, spacing: float = 1.0) -> Image:
    """A bright ball in the middle, with a border that is 8 voxels wide and 0.5 at ``radius`` voxels."""
    centre = (np.array(shape) - 1) / 2
    distance = np.linalg.norm(np.indices(shape).reshape(3, -1).T - centre, axis=1).reshape(shape)
    values = np.clip(0.5 - (distance - radius) / 8, 0, 1).astype(np.float32)
    return Image(values[None], Grid.from_spacing(shape, spacing, (3, -7, 11)), "ball")
