"""Trilinear interpolation of feature maps at points: the eight nodes around each, and their weights.

Features are rows of a table, node by node, so that the eight rows that a point needs are read as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def corners(points: Tensor, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Flat indices and weights, both (P, 8), of the nodes around points (P, 3) of a map of (k, j, i) ``shape``.

    Beyond the outermost nodes their values hold.
    """
    top = torch.tensor([n - 1 for n in shape], device=points.device)
    inside = torch.minimum(points.clamp(min=0), top)
    low = torch.minimum(inside.floor(), (top - 1).clamp(min=0))
    step = torch.tensor([shape[1] * shape[2], shape[2], 1], device=points.device)
    # An axis with a single node has no second one.
    k, j, i = (step * (top > 0)).unbind()
    offset = torch.stack([torch.zeros_like(k), i, j, j + i, k, k + i, k + j, k + j + i])
    index = (low.long() * step).sum(dim=1)[:, None] + offset
    part = (inside - low).t()
    share = torch.stack([1 - part, part], dim=-1)
    plane = (share[1][:, :, None] * share[2][:, None]).flatten(1)
    return index, (share[0][:, :, None] * plane[:, None]).flatten(1)


def rows_at(table: Tensor, points: Tensor, shape: Sequence[int], first: Tensor | None = None) -> Tensor:
    """Values (P, F) at points (P, 3) of maps of (k, j, i) ``shape``, one after the other in ``table`` (rows, F).

    Args:
        first: the row where each point's map begins, (P,); 0 if left out.
    """
    index, weight = corners(points, shape)
    if first is not None:
        index = index + first[:, None]
    return F.embedding_bag(index, table, mode="sum", per_sample_weights=weight.to(table.dtype))


def maps_at(maps: Tensor, points: Tensor) -> Tensor:
    """Values (N, P, F) of maps (N, F, *shape) at points (N, P, 3), each sample's in its own map."""
    shape = maps.shape[2:]
    table = maps.float().movedim(1, -1).flatten(0, -2)
    first = torch.arange(len(maps), device=maps.device) * shape.numel()
    values = rows_at(table, points.flatten(0, 1), shape, first.repeat_interleave(points.shape[1]))
    return values.unflatten(0, points.shape[:2])
