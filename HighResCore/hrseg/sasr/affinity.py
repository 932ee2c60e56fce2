"""Affinity: how alike the features of any two places in an image are (Luo et al. 2024; mended)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

#: Places that are compared with each other, at most: their matrix has the square of that.
POSITIONS = 1000
_EPSILON = 1e-6
_POOL: dict[int, Any] = {2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


def pooled_shape(shape: Sequence[int], budget: int = POSITIONS) -> list[int]:
    """The shape that maps are pooled to: about the same proportions, at most ``budget`` places, never enlarged."""
    result = [int(n) for n in shape]
    # Axes too short to shrink leave the others less room, hence the repetition.
    while math.prod(result) > budget:
        shrink = (budget / math.prod(result)) ** (1 / sum(n > 1 for n in result))
        result = [max(1, min(n - (n > 1), int(n * shrink + 1e-9))) for n in result]
    return result


def pooled(features: Tensor, shape: Sequence[int]) -> Tensor:
    """Means of ``features`` (N, C, ...) over a regular division into ``shape`` parts: (N, C, *shape), float32."""
    pool = _POOL[len(shape)]
    return pool(features.float(), tuple(shape))


def affinity(features: Tensor) -> Tensor:
    """Cosine of the angle between the features (N, C, ...) of each two of P places: (N, P, P), from -1 to 1."""
    flat = features.flatten(2)
    flat = flat / (flat.norm(dim=1, keepdim=True) + _EPSILON)
    return flat.transpose(1, 2) @ flat


def affinity_loss(maps: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of two affinities, 0 to 2, whatever the batch, the channels and the number of places.

    Args:
        maps: (N, C, *pooled).
        target: (N, D, *pooled), already detached where it is only to guide.
    """
    # Half precision would round away the small differences that matter here.
    with torch.autocast(maps.device.type, enabled=False):
        return (affinity(maps.float()) - affinity(target.float())).abs().mean()


def feature_affinity(mask_features: Tensor, image_features: Tensor, *, detach: bool = True) -> Tensor:
    """FA: features before the two heads, (N, ., *shape) each, are alike at the same pairs of places.

    The image's features are taken as they are: a projection of them that is learned, too, could make all places alike.
    """
    shape = pooled_shape(mask_features.shape[2:])
    target = image_features.detach() if detach else image_features
    return affinity_loss(pooled(mask_features, shape), pooled(target, shape))


def scale_affinity(mask_gates: Sequence[Tensor], image_gates: Sequence[Tensor], *, detach: bool = True) -> Tensor:
    """SA: the gates of the two decoders, each (N, paths, ...) per level, are alike at the same pairs of places."""
    shape = pooled_shape(max((g.shape[2:] for g in mask_gates), key=math.prod))
    # Pooling repeats the gates of levels that are coarser than that.
    ours, theirs = (torch.cat([pooled(gate, shape) for gate in gates], dim=1) for gates in (mask_gates, image_gates))
    return affinity_loss(ours, theirs.detach() if detach else theirs)
