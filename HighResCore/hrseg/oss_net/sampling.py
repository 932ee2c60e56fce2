"""Random points of a label map to learn from: uniform, near borders, and of each label equally often."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from hrseg.oss_net.training_settings import PointSettings


def draw_points(label: Tensor, settings: PointSettings, rng: np.random.RandomState) -> tuple[Tensor, Tensor, Tensor]:
    """Points (P, 3) in (k, j, i) voxels of a label map (K, J, I), their labels (P,), and their weights (P,).

    A weight is the share of its draws that a place would also have had without balancing the labels. Labels that are
    drawn more often than they occur would otherwise be found where they are not.

    Where the map is larger than ``settings.region`` allows, all points lie in a few cubes (so that few features at full
    resolution are needed). A share lies between voxels, where the label is the one whose membership, interpolated
    linearly, is the greatest.
    """
    s = settings
    where = _region(label, s, rng)
    border = near_border(label, s.reach)
    flat = label.flatten().numpy()
    allowed = None if where is None else where.flatten().numpy()
    near = border.flatten().numpy()
    by_border = _border_points(near, allowed, int(s.count * s.border), rng)
    by_label = _balanced_points(flat, allowed, int(s.count * s.balanced), rng)
    rest = _uniform_points(flat.size, allowed, s.count - len(by_border) - len(by_label), rng)
    numbers = rng.permutation(np.concatenate([by_border, by_label, rest]))
    weight = torch.from_numpy(_weights(numbers, flat, near, allowed, (len(by_border), len(by_label), len(rest))))
    points = torch.from_numpy(np.stack(np.unravel_index(numbers, label.shape), axis=1)).float()
    return *_moved(label, points, int(s.count * s.between), rng), weight


def node_labels(label: Tensor, strides: Sequence[int]) -> Tensor:
    """The label of the largest share of the voxels of each context node, (*nodes), of a label map (K, J, I).

    The lowest of equal shares; border values repeat where voxels are missing.
    """
    after = [-n % s for n, s in zip(label.shape, strides, strict=True)]
    filled = F.pad(label[None, None].float(), [0, after[2], 0, after[1], 0, after[0]], mode="replicate")
    shares = [F.avg_pool3d((filled == value).float(), list(strides))[0, 0] for value in range(int(label.max()) + 1)]
    return torch.stack(shares).argmax(dim=0)


def near_border(label: Tensor, reach: int) -> Tensor:
    """Voxels within ``reach`` (cube) of one whose neighbour has another label, (K, J, I)."""
    # In the smallest type, and one voxel at a time, this takes a twentieth of the time that max_pool3d takes.
    values = label.numpy().astype(np.min_scalar_type(int(label.max())))
    high, low = values, values
    for axis in range(3):
        for _ in range(reach):
            high, low = _spread(high, axis, np.maximum), _spread(low, axis, np.minimum)
    return torch.from_numpy(high != low)


def _spread(values: NDArray, axis: int, extreme: np.ufunc) -> NDArray:
    """The extreme of each voxel and its two neighbours along an axis."""
    found = values.copy()
    new, old = np.moveaxis(found, axis, 0), np.moveaxis(values, axis, 0)
    extreme(new[1:], old[:-1], out=new[1:])
    extreme(new[:-1], old[1:], out=new[:-1])
    return found


def _region(label: Tensor, settings: PointSettings, rng: np.random.RandomState) -> Tensor | None:
    """The cubes to draw from, as a mask; None: everywhere. Half of them are around a border or label."""
    side, shape = settings.side, label.shape
    counts = [-(-n // side) for n in shape]
    if settings.region is None or math.prod(counts) <= settings.region:
        return None
    cubes = torch.zeros(counts, dtype=torch.bool)
    seeds = np.flatnonzero(near_border(label, 1).flatten().numpy())
    while int(cubes.sum()) < settings.region:
        interesting = len(seeds) > 0 and rng.random_sample() < 0.5
        number = seeds[rng.randint(len(seeds))] if interesting else rng.randint(label.numel())
        cubes[tuple(int(n) // side for n in np.unravel_index(number, tuple(shape)))] = True
        # All cubes with a border are taken: what is left is anywhere.
        if interesting and int(cubes.sum()) > settings.region // 2:
            seeds = seeds[:0]
    for axis, n in enumerate(shape):
        cubes = cubes.repeat_interleave(side, dim=axis).narrow(axis, 0, n)
    return cubes


def _border_points(
    border: NDArray[np.bool_], allowed: NDArray[np.bool_] | None, count: int, rng: np.random.RandomState
) -> NDArray[np.intp]:
    """Without replacement; all of them where there are fewer."""
    pool = np.flatnonzero(border if allowed is None else border & allowed)
    return pool[rng.choice(len(pool), count, replace=False)] if len(pool) > count else pool


def _balanced_points(
    label: NDArray, allowed: NDArray[np.bool_] | None, count: int, rng: np.random.RandomState
) -> NDArray[np.intp]:
    """As many of each label that occurs, the background not counted, with replacement."""
    mask = label > 0 if allowed is None else (label > 0) & allowed
    voxels = np.flatnonzero(mask)
    if not len(voxels):
        return voxels
    values = np.unique(label[voxels])
    pools = [voxels[label[voxels] == value] for value in values]
    return np.concatenate([pool[rng.randint(len(pool), size=count // len(pools))] for pool in pools])


def _uniform_points(
    size: int, allowed: NDArray[np.bool_] | None, count: int, rng: np.random.RandomState
) -> NDArray[np.intp]:
    if allowed is None:
        return rng.randint(size, size=count)
    pool = np.flatnonzero(allowed)
    return pool[rng.randint(len(pool), size=count)]


def _weights(
    numbers: NDArray[np.intp],
    label: NDArray,
    border: NDArray[np.bool_],
    allowed: NDArray[np.bool_] | None,
    counts: tuple[int, int, int],
) -> NDArray[np.float32]:
    """Of each point: how often its voxel is drawn whatever its label is, as a share of all its draws."""
    inside = slice(None) if allowed is None else allowed
    by_border, by_label, rest = counts
    sizes = np.bincount(label[inside])
    occurring = np.flatnonzero(sizes[1:]) + 1
    balanced = np.zeros(len(sizes))
    balanced[occurring] = by_label / max(1, len(occurring)) / sizes[occurring]
    anyway = rest / sizes.sum() + border[numbers] * (by_border / max(1, int(border[inside].sum())))
    return (anyway / (anyway + balanced[label[numbers]])).astype(np.float32)


def _moved(label: Tensor, points: Tensor, count: int, rng: np.random.RandomState) -> tuple[Tensor, Tensor]:
    """The first ``count`` points moved by up to half a voxel along each axis; labels of all."""
    shift = torch.from_numpy(rng.uniform(-0.5, 0.5, (count, 3)).astype(np.float32))
    points[:count] += shift * (torch.tensor(label.shape) > 1)
    top = torch.tensor(label.shape) - 1
    inside = torch.minimum(points.clamp(min=0), top)
    low = inside.floor()
    part = inside - low
    member = torch.zeros(len(points), int(label.max()) + 1)
    for corner in np.ndindex(2, 2, 2):
        step = torch.tensor(corner)
        k, j, i = torch.minimum(low.long() + step, top).T
        weight = torch.where(step > 0, part, 1 - part).prod(dim=1)
        member.scatter_add_(1, label[k, j, i][:, None].long(), weight[:, None])
    return points, member.argmax(dim=1)
