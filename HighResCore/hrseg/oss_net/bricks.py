"""Features at full resolution, computed only in those bricks of the volume that are asked for.

A brick covers 16 cells between voxels along each axis, so that a point lies in exactly one brick and all eight voxels
around it belong to that brick. Neighbouring bricks share the voxels of their faces.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SIDE = 16


def brick_nodes(shape: Sequence[int]) -> list[int]:
    """Voxels per brick along each axis."""
    return [SIDE + 1 if n > 1 else 1 for n in shape]


def lattice(shape: Sequence[int]) -> list[int]:
    """Number of bricks along each axis."""
    return [max(1, -(-(n - 1) // SIDE)) for n in shape]


def brick_of(points: Tensor, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The bricks (P, 3) that points (P, 3) of a volume lie in, and where they lie in these, in voxels."""
    top = torch.tensor([n - 1 for n in shape], device=points.device)
    inside = torch.minimum(points.clamp(min=0), top)
    cell = torch.minimum(inside.floor(), (top - 1).clamp(min=0)).long()
    brick = cell // SIDE
    return brick, inside - brick * SIDE


def cut_bricks(volume: Tensor, bricks: Tensor, halo: Sequence[int]) -> Tensor:
    """The voxels (B, C, ...) of bricks (B, 3) of a volume (C, K, J, I), with a halo; the border's values repeat."""
    shape = volume.shape[1:]
    index = []
    for axis, (nodes, edge) in enumerate(zip(brick_nodes(shape), halo, strict=True)):
        run = torch.arange(-edge, nodes + edge, device=volume.device)
        index.append((bricks[:, axis, None] * SIDE + run).clamp(0, shape[axis] - 1))
    k, j, i = index
    return volume[:, k[:, :, None, None], j[:, None, :, None], i[:, None, None, :]].transpose(0, 1)
