"""A model for self-tests, made on the spot: a cascade whose two networks find whatever is brighter than a level.

The networks are the published U-Nets at their smallest, with weights set by hand: a convolution that copies, batch
norms that do nothing, an upper path that is zero. What they must find is therefore known exactly. Standard library.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from HighResSegmentationLib.ModelWriter import Tensor, writeModel

#: Grey values up to this one are background, those from the second on object.
WINDOW = (0.0, 100.0)
LABEL = "bright object"
_STEEP = 40.0
_ONE = [1.0]


def writeThresholdModel(path: Path, dimension: int = 3, size: int = 16) -> Path:
    """Writes the model to a ``.safetensors`` file: the coarse network finds 10 % of the window, the fine one 50 %.

    Args:
        path: of the file.
        dimension: 2 or 3.
        size: sides of both networks' input, in voxels.
    """
    tensors = {
        f"{part}.{name}": value
        for part, level in (("coarse", 0.1), ("fine", 0.5))
        for name, value in _network(dimension, level).items()
    }
    return writeModel(path, _header(dimension, size), tensors)


def _header(dimension: int, size: int) -> dict[str, Any]:
    low, high = WINDOW
    return {
        "format_version": 1,
        "name": f"threshold-{dimension}d",
        "title": "Brighter than a level (self-test)",
        "method": "crop_cascade",
        "dimension": dimension,
        "channels": ["grey"],
        "labels": [{"value": 1, "name": LABEL, "color": [230, 80, 60]}],
        "preprocessing": {"intensity": {"kind": "window", "low": low, "high": high}},
        "network": {"coarse": {"width": 1, "depth": 1}, "fine": {"width": 1, "depth": 1}},
        "inference": {"size": [size] * dimension},
        "training": {},
        "licence": "Apache-2.0",
        "citation": "",
        "intended_use": "Self-tests only.",
    }


def _network(dimension: int, level: float) -> dict[str, Tensor]:
    """Shape and numbers of each weight."""
    weights: dict[str, Tensor] = {}

    def convolution(name: str, cin: int, cout: int) -> None:
        """Copies the last channel that comes in, which for the decoder is the one that skipped the poolings."""
        kernel = [0.0] * 3**dimension
        copy = [*kernel]
        copy[len(kernel) // 2] = 1.0
        numbers = [*(kernel * (cin - 1)), *copy] * cout
        weights[name] = ([cout, cin] + [3] * dimension, numbers)

    def norm(name: str, channels: int) -> None:
        for key, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            weights[f"{name}.{key}"] = ([channels], [value] * channels)

    def double(name: str, cin: int, cout: int) -> None:
        convolution(f"{name}.0.weight", cin, cout)
        norm(f"{name}.1", cout)
        convolution(f"{name}.3.weight", cout, cout)
        norm(f"{name}.4", cout)

    double("encoder.0", 1, 1)
    double("encoder.1", 1, 2)
    weights["ups.0.weight"] = ([2, 1] + [2] * dimension, [0.0] * 2 * 2**dimension)
    weights["ups.0.bias"] = ([1], [0.0])
    double("decoder.0", 2, 1)
    weights["head.weight"] = ([2, 1] + [1] * dimension, [0.0, _STEEP])
    weights["head.bias"] = ([2], [0.0, -_STEEP * level])
    return weights
