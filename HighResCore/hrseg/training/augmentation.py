"""Random changes of a training sample: one shared affine transform, mirroring, then grey values (MONAI)."""

from __future__ import annotations

from collections.abc import Sequence

import monai.transforms as mt
import numpy as np
import torch
from torch import Tensor

from hrseg.errors import InputError
from hrseg.model_file import Header
from hrseg.training.settings import Augmentation

_LETTERS = {"left-right": "LR", "anterior-posterior": "AP", "superior-inferior": "SI"}


class Augment:
    """Changes image and label map alike.

    Args:
        settings: what may change.
        header: says how the axes lie and which labels there are.
        patch: spatial shape of the sample that comes out; more may go in, so that rotation finds voxels at the border.
    """

    def __init__(self, settings: Augmentation, header: Header, patch: Sequence[int]) -> None:
        self._mirrors = [(_axis(d, header), d == "left-right") for d in settings.mirror]
        self._swap = _swap_table(settings, header)
        degrees = settings.rotation if header.dimension == 3 else settings.rotation[:1]
        s, p = settings, settings.probability
        self._space = mt.RandAffined(
            keys=["image", "label"],
            prob=1.0,
            rotate_range=[np.deg2rad(d) for d in np.broadcast_to(degrees, (3 if header.dimension == 3 else 1,))],
            scale_range=[settings.scale] * header.dimension,
            spatial_size=list(patch),
            mode=["bilinear", "nearest"],
            padding_mode="border",
        )
        sigma = (0.3, max(s.blur, 0.31))
        self._grey = mt.Compose(
            [
                mt.RandGaussianSmoothd("image", sigma, sigma, sigma, prob=p * (s.blur > 0)),
                mt.RandScaleIntensityd("image", s.contrast, prob=p * (s.contrast > 0)),
                mt.RandShiftIntensityd("image", s.brightness, prob=p * (s.brightness > 0)),
                mt.RandAdjustContrastd("image", gamma=(1 - s.gamma * 0.99, 1 + s.gamma), prob=p * (s.gamma > 0)),
                mt.RandGaussianNoised("image", std=max(s.noise, 1e-6), prob=p * (s.noise > 0)),
            ]
        )

    def __call__(self, image: Tensor, label: Tensor, rng: np.random.RandomState) -> tuple[Tensor, Tensor]:
        """Image (C, *shape) and label map (*shape) to (C, *patch) and (*patch)."""
        self._space.set_random_state(state=rng)
        self._grey.set_random_state(seed=int(rng.randint(2**31)))
        sample = self._space({"image": image, "label": label[None].float()})
        sample = self._grey(sample)
        image, label = (sample[key].as_tensor().contiguous() for key in ("image", "label"))
        label = label[0].long()
        for axis, swaps in self._mirrors:
            if rng.random_sample() < 0.5:
                image, label = image.flip(axis), label.flip(axis)
                label = self._swap[label] if swaps else label
        return image, label


def _axis(direction: str, header: Header) -> int:
    """The (negative) array axis that runs along a direction."""
    if direction in ("horizontal", "vertical"):
        return -1 if direction == "horizontal" else -2
    orientation = header.preprocessing.orientation
    if orientation is None:
        raise InputError(f'Mirroring "{direction}" needs a model with an orientation; use "horizontal" or "vertical".')
    return -1 - next(n for n, letter in enumerate(orientation) if letter in _LETTERS[direction])


def _swap_table(settings: Augmentation, header: Header) -> Tensor:
    """Label value after mirroring left-right, by value before."""
    values = {label.name.lower(): label.value for label in header.labels}
    table = torch.arange(header.classes)
    for pair in settings.paired_labels:
        unknown = [name for name in pair if name.lower() not in values]
        if unknown:
            raise InputError(f'The paired label "{unknown[0]}" is none of the model\'s: {", ".join(values)}.')
        a, b = (values[name.lower()] for name in pair)
        table[a], table[b] = b, a
    paired = {name.lower() for pair in settings.paired_labels for name in pair}
    single = [name for name in values if ("left" in name or "right" in name) and name not in paired]
    if "left-right" in settings.mirror and single:
        raise InputError(f'Mirroring left-right needs the other side of "{single[0]}" in paired_labels.')
    return table
