"""Random patches of a case."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrseg.geometry import Box
from hrseg.resample import crop_or_pad
from hrseg.training.task import TrainingCase

#: A patch is cut larger by this factor, so that rotating it brings in voxels, not its repeated border.
MARGIN = 1.25


def random_patch(
    case: TrainingCase,
    patch: Sequence[int],
    foreground: float,
    rng: np.random.RandomState,
    crop: Callable[[NDArray, Box], NDArray] = crop_or_pad,
) -> tuple[Tensor, Tensor]:
    """Image (C, K, J, I) and label map (K, J, I) in a :func:`random_box` of a case whose grids are the same.

    ``crop`` cuts the box out of both, and says what lies beyond the image.
    """
    box = random_box(case, patch, foreground, rng)
    image, label = crop(case.image, box), crop(case.label, box)
    return torch.from_numpy(np.ascontiguousarray(image)), torch.from_numpy(np.ascontiguousarray(label))


def random_box(case: TrainingCase, patch: Sequence[int], foreground: float, rng: np.random.RandomState) -> Box:
    """A box around a random place, in voxels of the label map, larger than ``patch`` by :data:`MARGIN`.

    Args:
        patch: (k, j, i) sides of the sample in the end.
        foreground: chance that the centre is a voxel of a label, each label that occurs equally often.
    """
    shape = case.label.shape
    if case.voxels and rng.random_sample() < foreground:
        voxels = case.voxels[sorted(case.voxels)[rng.randint(len(case.voxels))]]
        center = np.array(np.unravel_index(voxels[rng.randint(len(voxels))], shape))
    else:
        center = np.array([rng.randint(n) for n in shape])
    # Patches stay inside the image where they can: empty space teaches nothing.
    half = np.asarray(patch) // 2
    center = np.clip(center, np.minimum(half, np.asarray(shape) // 2), np.maximum(shape - half, np.asarray(shape) // 2))
    sides = [p if p == 1 else int(np.ceil(p * MARGIN)) for p in patch]
    return Box.whole(sides).shift((center - np.asarray(sides) // 2).tolist())
