"""A model for self-tests, made on the spot: its field is above a half where the grey value, interpolated, is bright.

The network is the smallest one of its kind, with weights set by hand: what happens at full resolution is copied, what
the context says is nothing. What it must find is therefore known exactly, between the voxels, too. Standard library.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from HighResSegmentationLib.ModelWriter import Tensor, writeModel

#: Grey values up to this one are background, those from the second on object; the boundary lies in the middle.
WINDOW = (0.0, 100.0)
LABEL = "bright object"
#: Logit per share of the window.
STEEP = 40.0


def writeBrightModel(path: Path) -> Path:
    """Writes the model to a ``.safetensors`` file."""
    return writeModel(path, _header(), _network())


def _header() -> dict[str, Any]:
    low, high = WINDOW
    # All of the core's settings, so that its defaults may change.
    field = {
        "strides": [2, 2, 2],
        "widths": [1, 1],
        "features": 1,
        "local": [1],
        "kernel": 3,
        "hidden": 2,
        "blocks": 1,
        "activation": "leaky_relu",
    }
    return {
        "format_version": 1,
        "name": "bright-field",
        "title": "Brighter than a level (self-test)",
        "method": "oss_net",
        "dimension": 3,
        "channels": ["grey"],
        "labels": [{"value": 1, "name": LABEL, "color": [230, 80, 60]}],
        "preprocessing": {"intensity": {"kind": "window", "low": low, "high": high}},
        "network": {"variant": "field", "field": field},
        "inference": {},
        "training": {},
        "licence": "Apache-2.0",
        "citation": "",
        "intended_use": "Self-tests only.",
    }


def _network() -> dict[str, Tensor]:
    """Shape and numbers of each weight: zero but for those on the way of a voxel's own grey value."""
    weights: dict[str, Tensor] = {}

    def layer(name: str, shape: list[int], bias: int, numbers: dict[int, float] | None = None) -> None:
        values = [0.0] * _count(shape)
        for index, value in (numbers or {}).items():
            values[index] = value
        weights[f"{name}.weight"] = (shape, values)
        weights[f"{name}.bias"] = ([bias], [0.0] * bias)

    layer("stem", [1, 1, 2, 2, 2], 1)
    for block, cin in (("encoder.0", 1), ("encoder.1", 1), ("decoder.0", 2)):
        layer(f"context.{block}.conv1", [1, cin, 3, 3, 3], 1)
        layer(f"context.{block}.conv2", [1, 1, 3, 3, 3], 1)
        weights[f"context.{block}.shortcut.weight"] = ([1, cin, 1, 1, 1], [0.0] * cin)
    layer("context.ups.0.conv", [1, 1, 4, 4, 4], 1)
    layer("context.head", [1, 1, 1, 1, 1], 1)
    layer("prior", [2, 1], 2)
    middle = 13
    layer("local.0", [1, 1, 3, 3, 3], 1, {middle: 1.0})
    # Inputs of a point: one feature of the context, one at full resolution, three coordinates.
    layer("decoder.first", [2, 5], 2, {1: 1.0})
    layer("decoder.condition.0", [4, 4], 4)
    layer("decoder.blocks.0.0", [2, 2], 2)
    layer("decoder.blocks.0.2", [2, 2], 2)
    layer("decoder.head", [2, 2], 2, {2: STEEP})
    weights["decoder.head.bias"] = ([2], [0.0, -STEEP / 2])
    return weights


def _count(shape: list[int]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count
