"""Is scale awareness learned? The gates of each path inside lesions, by the lesions' size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from hrseg.geometry import as_shape
from hrseg.image import Image, LabelMap
from hrseg.lesions import ball_diameter, lesion_mask
from hrseg.methods import settings
from hrseg.model_file import Header
from hrseg.preprocess import prepare
from hrseg.resample import resample_labels
from hrseg.sasr.network import SasrNetwork
from hrseg.sasr.settings import InferenceSettings, NetworkSettings
from hrseg.sasr.view import of_three, resized, view_of

#: Of an image's lesions, at most so many are looked at, from the largest to the smallest.
_MOST = 8


@dataclass(frozen=True, eq=False)
class Lesion:
    """A connected lesion in what the network sees.

    Attributes:
        diameter: of the ball, or in 2D the disc, of its size, in voxels.
        mask: (*shape), the lesion's voxels.
        center: (index per axis), of its voxel nearest to its middle.
    """

    diameter: float
    mask: NDArray[np.bool_]
    center: tuple[int, ...]


def lesions(mask: NDArray[np.bool_]) -> Iterator[Lesion]:
    """Connected lesions of a mask (*shape), 26 neighbours in 3D and 8 in 2D; of many, some of all sizes."""
    numbers, count = ndimage.label(mask, np.ones([3] * mask.ndim))
    sizes = np.bincount(numbers.ravel())[1:]
    boxes = ndimage.find_objects(numbers)
    chosen = np.linspace(0, count - 1, min(count, _MOST)).round().astype(int)
    for n in np.argsort(-sizes, kind="stable")[chosen]:
        voxels = np.argwhere(numbers[boxes[n]] == n + 1)
        nearest = voxels[np.square(voxels - voxels.mean(axis=0)).sum(axis=1).argmin()]
        center = tuple(int(s.start + place) for s, place in zip(boxes[n], nearest, strict=True))
        yield Lesion(ball_diameter(int(sizes[n]), mask.ndim), numbers == n + 1, center)


def gates_of_lesions(
    network: SasrNetwork, header: Header, image: Image, truth: LabelMap, window: Sequence[int]
) -> list[tuple[float, list[float]]]:
    """Diameter, in voxels of what the network sees, and mean gate per path of lesions of an image.

    Args:
        network: in evaluation mode, with scale-aware convolutions.
        header: of its model.
        image: as users give it.
        truth: its label map, which may be finer.
        window: as in :func:`mean_gates`.
    """
    inference = settings(InferenceSettings, header.inference, header.name)
    factors = settings(NetworkSettings, header.network, header.name).all_factors(header.dimension)
    prepared = resized(prepare(image, header), inference.size, inference.blocks(factors))
    view = view_of(image, prepared, factors, shrinks=inference.feeds == "shrunk", fine=False)
    shape = as_shape(of_three(view.volume.shape[1:]))
    grid = truth.grid.reoriented(prepared.change)
    labels = resample_labels(prepared.change.apply(truth.array), grid, prepared.grid.resized(shape))
    mask = lesion_mask(labels, header.labels)
    found = lesions(mask[0] if view.flat else mask)
    return [(lesion.diameter, mean_gates(network, view.volume, lesion, window)) for lesion in found]


@torch.no_grad()
def mean_gates(network: SasrNetwork, volume: Tensor, lesion: Lesion, window: Sequence[int]) -> list[float]:
    """Mean gate of each path over a lesion, finest level first; the network sees a window around it.

    Args:
        network: in evaluation mode.
        volume: what the network sees, (C, *shape).
        lesion: of the same shape.
        window: its sides.
    """
    starts = [
        min(max(0, c - w // 2), max(0, n - w)) for c, w, n in zip(lesion.center, window, volume.shape[1:], strict=True)
    ]
    block = tuple(slice(a, a + w) for a, w in zip(starts, window, strict=True))
    part = volume[(slice(None), *block)]
    sides = [p for n, w in zip(reversed(part.shape[1:]), reversed(window), strict=True) for p in (0, w - n)]
    device = next(network.parameters()).device
    mask = F.pad(torch.from_numpy(lesion.mask[block])[None, None].float(), sides)
    means: list[float] = []
    for gates in reversed(network.gates(F.pad(part, sides)[None].to(device))):
        # By the share of the lesion in each place of a level.
        share = F.interpolate(mask, gates.shape[2:], mode="area")
        means += ((gates[0].cpu() * share[0]).flatten(1).sum(dim=1) / share.sum()).tolist()
    return means
