"""Models for self-tests, made on the spot: both methods with networks that find what is brighter than a level.

They are the published networks at their smallest, with weights set by hand: convolutions that copy or do nothing.
What they must find is therefore known. Standard library.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from HighResSegmentationLib.ModelWriter import Tensor, writeModel

LABEL = "bright object"
_STEEP = 40.0
_WIDTH = 2
#: How loud the guidance crop is, beside the image itself.
_HEARD = 3.0

Tensors = dict[str, Tensor]


def writePFSeg(path: Path) -> Path:
    """A 3D model of factor 2. It finds what is bright; and what is bright in the guidance crop, it finds at the same
    place of the whole volume, too, so that a crop on a dark place leaves the mask as it should be."""
    network = {"widths": [1, 1], "guidance_widths": [1], "tail_width": 1}
    tensors: Tensors = {}
    for name, copied in (("encoder.blocks.0", [1.0]), ("encoder.blocks.1", [0.0]), ("guidance.blocks.0", [1.0])):
        _resBlock(tensors, name, copied)
    for part, head, bias in (
        ("segmentation", [0.0, _STEEP], [0.0, -_STEEP]),
        ("super_resolution", [0.2], [0.0]),
    ):
        # The bottleneck's channels: what the encoder says, which is nothing, and the guidance crop.
        _up(tensors, f"{part}.ups.0", [0.0, 1.0])
        _resBlock(tensors, f"{part}.blocks.0", [_HEARD, 1.0])
        _up(tensors, f"{part}.ups.1", [1.0])
        _resBlock(tensors, f"{part}.blocks.1", [1.0])
        tensors[f"{part}.head.weight"] = [len(head), 1, 1, 1, 1], head
        tensors[f"{part}.head.bias"] = [len(bias)], bias
    return writeModel(path, _header("pfseg", 3, 1, network, {}), tensors)


def writeSasr(path: Path, dimension: int = 3, channels: int = 1) -> Path:
    """A model of factor 2 that finds what is brighter than half of the grey values, on the mean of the channels."""
    network = {"widths": [_WIDTH, _WIDTH], "sdc": False, "head": "interpolate", "projection": 1}
    tensors: Tensors = {}
    mean = [1 / channels] * channels
    _double(tensors, "encoder.0", dimension, mean)
    _double(tensors, "encoder.1", dimension, [0.0] * _WIDTH)
    for decoder in ("mask_decoder", "image_decoder"):
        _unit(tensors, f"{decoder}.ups.0", dimension, [0.0] * _WIDTH)
        # Behind the channels from below are those of the encoder, of which the first is the image.
        _double(tensors, f"{decoder}.blocks.0", dimension, [0.0, 0.0, 1.0, 0.0])
    ones = [1] * dimension
    tensors["mask_head.logits.weight"] = [2, _WIDTH, *ones], [0.0, 0.0, _STEEP, 0.0]
    tensors["mask_head.logits.bias"] = [2], [0.0, -_STEEP / 2]
    _zeros(tensors, "project.weight", [1, _WIDTH, *ones])
    _zeros(tensors, "project.bias", [1])
    _noDetail(tensors, dimension, channels)
    inference = {"window": [16] * dimension}
    return writeModel(path, _header("sasr", dimension, channels, network, inference), tensors)


def _header(
    method: str, dimension: int, channels: int, network: dict[str, Any], inference: dict[str, Any]
) -> dict[str, Any]:
    return {
        "format_version": 1,
        "name": f"tiny-{method}-{dimension}d",
        "title": "Brighter than a level (self-test)",
        "method": method,
        "dimension": dimension,
        "channels": ["red", "green", "blue"] if channels == 3 else ["grey"],
        "labels": [{"value": 1, "name": LABEL, "color": [230, 80, 60]}],
        "preprocessing": {"intensity": {"kind": "window", "low": 0.0, "high": 100.0}},
        "network": network,
        "inference": inference,
        "training": {},
        "licence": "Apache-2.0",
        "citation": "",
        "intended_use": "Self-tests only.",
    }


def _resBlock(tensors: Tensors, name: str, copied: list[float]) -> None:
    """One channel: the normalised sum of the channels that come in, with these weights."""
    for conv, cin in (("conv1", len(copied)), ("conv2", 1)):
        _zeros(tensors, f"{name}.{conv}.weight", [1, cin, 3, 3, 3])
        _zeros(tensors, f"{name}.{conv}.bias", [1])
    tensors[f"{name}.shortcut.weight"] = [1, len(copied), 1, 1, 1], copied


def _up(tensors: Tensors, name: str, copied: list[float]) -> None:
    """Each voxel becomes 2 x 2 x 2 of the same value; of the channels that come in, the sum with these weights."""
    twice = [0.0, 1.0, 1.0, 0.0]
    kernel = [a * b * c for a in twice for b in twice for c in twice]
    tensors[f"{name}.conv.weight"] = [len(copied), 1, 4, 4, 4], [weight * k for weight in copied for k in kernel]
    _zeros(tensors, f"{name}.conv.bias", [1])


def _double(tensors: Tensors, name: str, dimension: int, copied: list[float]) -> None:
    _unit(tensors, f"{name}.0", dimension, copied)
    _unit(tensors, f"{name}.1", dimension, [1.0, *[0.0] * (_WIDTH - 1)])


def _unit(tensors: Tensors, name: str, dimension: int, copied: list[float]) -> None:
    """The first channel is the sum of the channels that come in, with these weights; the others are zero."""
    taps = 3**dimension
    numbers: list[float] = []
    for weight in copied:
        numbers += [weight if tap == taps // 2 else 0.0 for tap in range(taps)]
    rest = [0.0] * (len(numbers) * (_WIDTH - 1))
    tensors[f"{name}.conv.weight"] = [_WIDTH, len(copied), *[3] * dimension], numbers + rest
    _zeros(tensors, f"{name}.conv.bias", [_WIDTH])
    for key, value in (("weight", 1.0), ("bias", 0.0), ("mean", 0.0), ("variance", 1.0)):
        tensors[f"{name}.{key}"] = [_WIDTH], [value] * _WIDTH


def _noDetail(tensors: Tensors, dimension: int, channels: int) -> None:
    """The super-resolved image is the interpolated one."""
    three, two, one = ([n] * dimension for n in (3, 2, 1))
    shapes = {
        "0.weight": [_WIDTH, _WIDTH, *two],
        "0.bias": [_WIDTH],
        "1.conv1.weight": [_WIDTH, _WIDTH, *three],
        "1.conv1.bias": [_WIDTH],
        "1.conv2.weight": [_WIDTH, _WIDTH, *three],
        "1.conv2.bias": [_WIDTH],
        "1.shortcut.weight": [_WIDTH, _WIDTH, *one],
        "2.weight": [channels, _WIDTH, *one],
        "2.bias": [channels],
    }
    for name, shape in shapes.items():
        _zeros(tensors, f"image_head.detail.{name}", shape)


def _zeros(tensors: Tensors, name: str, shape: list[int]) -> None:
    count = 1
    for n in shape:
        count *= n
    tensors[name] = shape, [0.0] * count
