"""How the released code of OSS-Net reads a label map, to compare with.

Strides 4, 2, 1: candidates are the voxels near what was found so far and not yet part of it, so that all of the
interior is evaluated, nothing found is ever revoked, and what no voxel of stride 4 hits is missed.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from hrseg.geometry import Shape
from hrseg.oss_net.hierarchy import Evaluate, Labels

STRIDES = (4, 2, 1)


def released(shape: Shape, evaluate: Evaluate, prior: NDArray[np.bool_] | None = None) -> tuple[Labels, int]:
    """The label map (K, J, I), and how many points were evaluated.

    Args:
        evaluate: labels of voxels (P, 3).
        prior: (K / 4, J / 4, I / 4), where voxels of stride 4 are evaluated at all.
    """
    labels = np.zeros(shape, dtype=np.uint8)
    points = 0
    for stride in STRIDES:
        every = tuple(slice(None, None, stride) for _ in shape)
        if stride == STRIDES[0]:
            here = np.ones(labels[every].shape, dtype=bool) if prior is None else prior
        else:
            found = torch.from_numpy(labels > 0)
            here = _near(found, 3**stride)[every] & (labels[every] == 0)
        nodes = np.argwhere(here) * stride
        if len(nodes):
            labels[tuple(nodes.T)] = evaluate(nodes)[0]
            points += len(nodes)
    return labels, points


def _near(mask: torch.Tensor, side: int) -> NDArray[np.bool_]:
    """Voxels within a cube of this side around those of ``mask``; axis by axis, which the released code does not do."""
    values = mask[None, None].half() if mask.is_cuda else mask[None, None].float()
    for axis in range(3):
        size, edge = [1, 1, 1], [0, 0, 0]
        size[axis], edge[axis] = side, side // 2
        values = F.max_pool3d(values, size, 1, edge)
    return (values[0, 0] > 0).numpy()
