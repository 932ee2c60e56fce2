"""The helpers' loss terms, in the corrected form (Wang et al. 2021). All are 0 for perfect outputs.

Arrays are (N, channels, *HR). S is the probability of any label, Y whether there is one, R the super-resolved image, X
the true one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def super_resolution_loss(restored: Tensor, image: Tensor) -> Tensor:
    """Mean of (R - X)^2 of the restored image and the image, (N, C, *HR) both."""
    return F.mse_loss(restored, image)


def guidance_loss(restored: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Mean of (R - X)^2 within the guidance crops; 0 where no sample has one.

    The published mean over the whole volume makes this a 64th of what it seems to be.

    Args:
        mask: (N, 1, *HR), 1 in the crop.
    """
    count = mask.sum() * image.shape[1]
    return (mask * (restored - image).square()).sum() / count.clamp(min=1)


def target_enhanced_loss(foreground: Tensor, truth: Tensor, restored: Tensor, image: Tensor) -> Tensor:
    """Mean of (S R - Y X)^2: the image is to be right where the mask is.

    Args:
        foreground: S, (N, 1, *HR).
        truth: Y, likewise.
    """
    return F.mse_loss(foreground * restored, truth * image)


def similarity_loss(
    foreground: Tensor, truth: Tensor, restored: Tensor, image: Tensor, positions: int = 1600
) -> Tensor:
    """Mean of |B - A| over pairs of places, A and B being the Gram matrices of the pooled S R and Y X.

    Both products are pooled, where the published form multiplies pooled factors and so differs from 0 at every border.

    Args:
        foreground: S, (N, 1, *HR).
        truth: Y, likewise.
        positions: places to pool to, at most.
    """
    kernel = pooling(image.shape[2:], positions)
    pool = _POOL[image.ndim - 2]
    a, b = (pool(product, kernel).flatten(2) for product in (foreground * restored, truth * image))
    return (b.transpose(1, 2) @ b - a.transpose(1, 2) @ a).abs().mean()


def pooling(shape: torch.Size | tuple[int, ...], positions: int) -> int:
    """The smallest kernel that pools ``shape`` to at most so many places."""
    kernel = 1
    while math.prod(max(1, n // kernel) for n in shape) > positions:
        kernel += 1
    return min(kernel, *shape)
