"""Every method with a small network of random weights, and something to segment: to compare devices with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from field_models import TINY
from hrseg.geometry import Box, Grid
from hrseg.image import Image
from hrseg.methods import Method, Options, Result, method_class, method_of
from hrseg.model_file import Header, Intensity, Model, Preprocessing
from hrseg.prompts import RegionBox
from hrseg.runtime import CPU, Run
from model_helpers import tiny_header
from training_helpers import scene

SIDE = 16
#: Of weights with which no label fills all.
_SEEDS = {"sasr": 5}
_SEED = 4
#: Networks as narrow as they can be and still do all that wide ones do.
NETWORKS: dict[str, dict[str, Any]] = {
    "patch_based": {"widths": [4, 8]},
    "pfseg": {"widths": [4, 6, 8], "guidance_widths": [4, 4], "tail_width": 4},
    "sasr": {"widths": [4, 6], "dilations": [1, 2], "dropout": 0},
    "oss_net": TINY,
    "crop_cascade": {part: {"width": 4, "depth": 2} for part in ("coarse", "fine")},
}
_INFERENCE: dict[str, Callable[[int], dict[str, Any]]] = {
    "patch_based": lambda axes: {"window": [8] * axes},
    "sasr": lambda axes: {"window": [16] * axes},
    "crop_cascade": lambda axes: {"size": [16] * axes, "batch": 4},
}


def image(dimension: int = 3, side: int = SIDE) -> Image:
    """Noise with a bright ball and a dark cube; of it the middle slice in 2D."""
    array, _ = scene(0, side)
    array = array if dimension == 3 else array[side // 2 : side // 2 + 1]
    return Image(array[None], Grid.from_spacing(array.shape, 1.0, (5, -3, 2)), "scene")


def boxes(of: Image, count: int = 6) -> tuple[RegionBox, ...]:
    """Boxes of different sizes along the image."""
    k, j, i = of.grid.shape
    found = [Box((0, n, n), (k, min(j, n + 8 + n), min(i, n + 12))) for n in range(0, 2 * count, 2)]
    return tuple(RegionBox.of_voxels(box, of.grid, f"box {n}") for n, box in enumerate(found))


def header(method: str, dimension: int = 3, **changes: Any) -> Header:
    """A model of two labels for 1 mm voxels."""
    orientation = "LPS" if dimension == 3 else None
    fields = {
        "method": method,
        "dimension": dimension,
        "preprocessing": Preprocessing(orientation=orientation, intensity=Intensity(kind="window", low=0, high=200)),
        "network": NETWORKS[method],
        "inference": _INFERENCE.get(method, lambda axes: {})(dimension),
    }
    return tiny_header(**{**fields, **changes})


def random_weights(made: Header) -> torch.nn.Module:
    """The same at each call. Every weight counts, also those that begin as zeros."""
    network = method_class(made.method).build(made).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(_SEEDS.get(made.method, _SEED))
    for parameter in network.parameters():
        spread = (6 / parameter[0].numel()) ** 0.5
        low, high = (-spread, spread) if parameter.ndim > 1 else (0.5, 1)
        parameter.uniform_(low, high, generator=generator)
    return network


PLAIN = Options()


@dataclass(frozen=True)
class DeviceCase:
    """A model, an image and what is asked for."""

    method: str
    dimension: int = 3
    options: Options = PLAIN
    boxes: bool = False

    def made(self, **inference: Any) -> Method:
        """The method with its model, fresh."""
        made = header(self.method, self.dimension)
        return method_of(Model(made, random_weights(made)).with_inference(inference))

    def run(self, method: Method, device: torch.device = CPU) -> Result:
        """The image segmented on a device, with probabilities. It must not have left the device."""
        of = image(self.dimension)
        fields = {**vars(self.options), "keep_probability": True}
        if self.boxes:
            # Where objects are proposed, a rounding error can move a box; drawn ones stay.
            fields |= {"boxes": boxes(of), "propose": False, "instances": True}
        result = method.segment(of, Options(**fields), Run(device))
        assert torch.device(result.device).type == device.type
        assert not [text for text in result.notices if "memory" in text]
        return result


@cache
def on_the_cpu(case: DeviceCase) -> Result:
    """What a case is compared with."""
    return case.run(case.made())


CASES = {
    "patch_based": DeviceCase("patch_based"),
    "patch_based 2D": DeviceCase("patch_based", 2),
    "pfseg": DeviceCase("pfseg", options=Options(super_resolved=True)),
    "pfseg finer": DeviceCase("pfseg", options=Options(resolution="fine")),
    "sasr": DeviceCase("sasr", options=Options(super_resolved=True)),
    "sasr 2D finer": DeviceCase("sasr", 2, Options(resolution="fine")),
    "oss_net": DeviceCase("oss_net"),
    "oss_net finer": DeviceCase("oss_net", options=Options(spacing=(0.7, 0.7, 0.7))),
    "crop_cascade": DeviceCase("crop_cascade", boxes=True),
    "crop_cascade 2D": DeviceCase("crop_cascade", 2, boxes=True),
}


def probabilities(result: Result) -> NDArray[np.float32]:
    """Of each class, the background first, (classes, K, J, I)."""
    assert result.probability is not None
    return np.concatenate([1 - result.probability.sum(axis=0, keepdims=True), result.probability])


def lead(result: Result) -> NDArray[np.float32]:
    """How far each voxel's most probable class is ahead of the next one, (K, J, I)."""
    two = np.sort(probabilities(result), axis=0)[-2:]
    return two[1] - two[0]


def agreement(one: Result, two: Result) -> float:
    """Share of voxels with the same label."""
    return float((one.label_map.array == two.label_map.array).mean())
