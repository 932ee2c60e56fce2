"""Random changes of a training sample: one shared affine transform, grey values, then mirroring (MONAI)."""

from __future__ import annotations

from collections.abc import Sequence

import monai.transforms as mt
import numpy as np
import torch
from monai.data import set_track_meta
from torch import Tensor

from hrseg.errors import InputError
from hrseg.model_file import Header
from hrseg.training.settings import Augmentation

_ENDS = {"left-right": "LR", "anterior-posterior": "AP", "superior-inferior": "SI"}


class Augment:
    """Changes image and label map alike. Neither of the arrays given is written to.

    Args:
        settings: what may change.
        header: says how the axes lie and which labels there are.
        patch: spatial shape of the sample that comes out; more may go in, so that rotation finds voxels at the border.
            None: that of what goes in.

    Raises:
        InputError: directions, angles or paired labels that do not fit the model.
    """

    def __init__(self, settings: Augmentation, header: Header, patch: Sequence[int] | None) -> None:
        self._mirrors = [(_axis(direction, header), direction == "left-right") for direction in settings.mirror]
        self._swap = _swap_table(settings, header)
        s, p = settings, settings.probability
        self._space = _space(settings, header, patch)
        sigma = (0.3, max(s.blur, 0.31))
        self._gray = [
            mt.RandGaussianSmoothd("image", sigma, sigma, sigma, prob=p * (s.blur > 0)),
            mt.RandScaleIntensityd("image", s.contrast, prob=p * (s.contrast > 0)),
            mt.RandShiftIntensityd("image", s.brightness, prob=p * (s.brightness > 0)),
            mt.RandAdjustContrastd("image", gamma=(1 - s.gamma * 0.99, 1 + s.gamma), prob=p * (s.gamma > 0)),
            mt.RandGaussianNoised("image", std=max(s.noise, 1e-6), prob=p * (s.noise > 0)),
        ]

    def __call__(
        self, image: Tensor, label: Tensor, annotated: Tensor, rng: np.random.RandomState
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Image (C, *shape) and label map (*shape) to (C, *patch) and (*patch).

        ``annotated`` (labels,) says which labels were drawn; where left and right change places, so do its entries.
        """
        # Plain tensors instead of MONAI's, whose bookkeeping takes a third of the time. Per process, so set here.
        set_track_meta(False)
        sample = {"image": image, "label": label[None].float()}
        # One by one: Compose would seed a generator for each, which takes longer than what most of them do.
        for transform in (*self._space, *self._gray):
            if isinstance(transform, mt.Randomizable):
                transform.set_random_state(state=rng)
            sample = transform(sample)
        image, label = (sample[key].contiguous() for key in ("image", "label"))
        label = label[0].long()
        for axis, swaps in self._mirrors:
            if rng.random_sample() < 0.5:
                image, label = image.flip(axis), label.flip(axis)
                if swaps:
                    label, annotated = self._swap[label], annotated[self._swap[1:] - 1]
        return image, label, annotated


def _space(settings: Augmentation, header: Header, patch: Sequence[int] | None) -> list[mt.Transform]:
    """The affine transform. Without one the middle is cut out: interpolation would take most of a sample's time."""
    angles = _angles(settings, header)
    if patch is not None and not any(angles) and not settings.scale:
        # What is cut out is still a part of what goes in, which nobody may write to.
        return [mt.CenterSpatialCropd(["image", "label"], list(patch)), mt.Lambdad("image", torch.clone)]
    affine = mt.RandAffined(
        keys=["image", "label"],
        prob=1.0,
        rotate_range=angles,
        scale_range=[settings.scale] * header.dimension,
        spatial_size=None if patch is None else list(patch),
        mode=["bilinear", "nearest"],
        padding_mode="border",
    )
    # Double precision, the default, takes nearly twice the time.
    affine.rand_affine.resampler.dtype = np.float32
    return [affine]


def _angles(settings: Augmentation, header: Header) -> list[float]:
    """Largest angles in radians: one in 2D, one per axis in 3D.

    They are turned in voxels: where these are longer along one axis of a plane, the angle is smaller by as much, so
    that nothing is tilted further in space.
    """
    wanted = 1 if header.dimension == 2 else 3
    if len(settings.rotation) not in (1, wanted):
        raise InputError(f"The rotation {settings.rotation} must be one angle{' or three' if wanted == 3 else ''}.")
    spacing = header.preprocessing.spacing
    if spacing is None:
        return np.deg2rad(np.broadcast_to(settings.rotation, wanted)).tolist()
    planes = [(1, 2)] if wanted == 1 else [(1, 2), (0, 2), (0, 1)]
    longer = [max(spacing[a], spacing[b]) / min(spacing[a], spacing[b]) for a, b in planes]
    return (np.deg2rad(np.broadcast_to(settings.rotation, wanted)) / longer).tolist()


def _axis(direction: str, header: Header) -> int:
    """The (negative) array axis that runs along a direction."""
    orientation = header.preprocessing.orientation
    if (direction in _ENDS) != bool(orientation):
        allowed = ", ".join(_ENDS) if orientation else "horizontal, vertical"
        raise InputError(f'Mirroring "{direction}" does not fit a model of orientation {orientation}; use {allowed}.')
    if orientation is None:
        return -1 if direction == "horizontal" else -2
    return -1 - next(n for n, letter in enumerate(orientation) if letter in _ENDS[direction])


def _swap_table(settings: Augmentation, header: Header) -> Tensor:
    """Label value after mirroring left-right, by value before."""
    values = {label.name.lower(): label.value for label in header.labels}
    table = torch.arange(header.classes)
    paired = [name.lower() for pair in settings.paired_labels for name in pair]
    unknown = [name for name in paired if name not in values]
    if unknown or len(set(paired)) < len(paired):
        raise InputError(f"The paired_labels {paired} must name different labels of the model: {', '.join(values)}.")
    for a, b in zip(paired[::2], paired[1::2], strict=True):
        table[values[a]], table[values[b]] = values[b], values[a]
    single = [name for name in values if {"left", "right"} & set(name.split()) and name not in paired]
    if "left-right" in settings.mirror and single:
        raise InputError(f'Mirroring left-right needs the other side of "{single[0]}" in paired_labels.')
    return table
