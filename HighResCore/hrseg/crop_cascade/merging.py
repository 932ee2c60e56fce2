"""Cutting crops out of a volume for the fine network, and joining what it says about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from hrseg.blocks import interpolated
from hrseg.geometry import Box, Grid, Shape
from hrseg.resample import resample, resample_labels

Merge = Literal["mean", "max", "or"]
#: Slices that are joined at once.
SLAB = 16
#: Width of the Gaussian weight of a crop, as a share of its side.
_SIGMA = 0.25


def cut(volume: NDArray[np.float32], box: Box, sides: Sequence[int], *, nearest: bool = False) -> NDArray[np.float32]:
    """The block ``box`` of ``volume`` (C, K, J, I), reflected beyond the border, at ``sides`` voxels (k, j, i).

    Antialiased where it shrinks; ``nearest`` takes single voxels instead, as the published code does.
    """
    block = _block(volume, box, sides, nearest=nearest)
    if block.shape[1:] == tuple(sides):
        return block
    source = Grid.from_spacing(box.shape)
    return resample(block, source, source.resized(sides))


def cut_labels(labels: NDArray, box: Box, sides: Sequence[int], *, nearest: bool = False) -> NDArray:
    """The same of a label map (K, J, I); where it shrinks, the label of largest area counts."""
    block = _block(labels[None], box, sides, nearest=nearest)[0]
    if block.shape == tuple(sides):
        return block
    source = Grid.from_spacing(box.shape)
    return resample_labels(block, source, source.resized(sides))


def _block(volume: NDArray, box: Box, sides: Sequence[int], *, nearest: bool) -> NDArray:
    """The voxels of ``box`` (C, K, J, I), reflected beyond the border; ``sides`` of them if ``nearest``."""
    block = volume
    for axis, (start, stop) in enumerate(zip(box.start, box.stop, strict=True)):
        index = np.arange(start, stop)
        if nearest:
            index = start + np.arange(sides[axis]) * (stop - start) // sides[axis]
        if index[0] >= 0 and index[-1] < volume.shape[axis + 1] and len(index) == stop - start:
            block = block[(slice(None),) * (axis + 1) + (slice(start, stop),)]
        else:
            block = np.take(block, _reflected(index, volume.shape[axis + 1]), axis=axis + 1)
    return np.ascontiguousarray(block)


@dataclass(frozen=True, eq=False)
class Region:
    """Voxels of a volume: those of ``box`` where ``mask`` (*box.shape) is True."""

    box: Box
    mask: NDArray[np.bool_]


class Canvas:
    """Joins the class probabilities of crops over a volume, a few slices at a time.

    Args:
        classes: number of classes, the background (0) included.
        shape: (K, J, I) of the volume.
        merge: ``mean``: Gaussian-weighted; ``max``: the crop that is surest of a foreground decides; ``or``: as
            published, nearest-neighbour resizing, a threshold of 0.5 per crop, and any crop suffices.
    """

    def __init__(self, classes: int, shape: Shape, merge: Merge) -> None:
        self._classes, self._shape, self._merge = classes, shape, merge
        self._crops: list[tuple[Box, Tensor, Region | None]] = []

    def add(self, box: Box, probability: Tensor, region: Region | None = None) -> None:
        """Probabilities (classes, *sides) of the crop at ``box``, which may reach outside the volume.

        Only voxels of ``region`` are taken from it, where one is given.
        """
        if self._merge == "or":
            foreground = (probability[1:].sum(0, keepdim=True) >= 0.5).float()
            probability = torch.cat([1 - foreground, foreground])
        self._crops.append((box, probability, region))

    def slabs(self, advance: Callable[[int], None] = lambda units: None) -> Iterator[tuple[int, Tensor]]:
        """(start, probabilities (classes, thickness, J, I)) in order; outside every crop all is background.

        ``advance`` is told of each when it is done with.
        """
        for start in range(0, self._shape[0], SLAB):
            yield start, self._slab(start, min(start + SLAB, self._shape[0]))
            advance(1)

    def _slab(self, start: int, stop: int) -> Tensor:
        place = Box((start, 0, 0), (stop, *self._shape[1:]))
        placed = [(*c, (c[2].box.intersection(c[0]) if c[2] else c[0]).intersection(place)) for c in self._crops]
        crops = [crop for crop in placed if crop[-1].size]
        if not crops:
            # Most of a volume in which a single box is drawn: it takes no memory and next to no time.
            return F.one_hot(torch.tensor(0), self._classes).float()[:, None, None, None].expand(-1, *place.shape)
        total = torch.zeros(self._classes, *place.shape)
        weights = torch.zeros(place.shape)
        for box, values, region, inner in crops:
            part = inner.shift([-s for s in box.start])
            spot = inner.shift((-start, 0, 0)).slices
            patch = _rows(values, box, part.start[0], part.stop[0], nearest=self._merge == "or")
            patch = patch[(slice(None), slice(None), *part.slices[1:])]
            weight = _weight(box)[part.slices] if self._merge == "mean" else torch.ones(inner.shape)
            if region:
                weight = weight * torch.from_numpy(region.mask[inner.shift([-s for s in region.box.start]).slices])
            self._join(total[(slice(None), *spot)], weights[spot], patch, weight)
        covered = weights > 0
        total /= torch.where(covered, weights, 1.0)
        total[0].masked_fill_(~covered, 1.0)
        return total

    def _join(self, total: Tensor, weights: Tensor, patch: Tensor, weight: Tensor) -> None:
        """Joins ``patch`` to what stands at its place, in place."""
        if self._merge == "mean":
            total += patch * weight
            weights += weight
            return
        surer = (weight > 0) & ((weights == 0) | (patch[0] < total[0]))
        total.copy_(torch.where(surer, patch, total))
        weights.copy_(torch.maximum(weights, weight))


def _rows(values: Tensor, box: Box, start: int, stop: int, *, nearest: bool) -> Tensor:
    """Slices ``start`` to ``stop`` of ``values`` (classes, *sides) interpolated to the shape of ``box``."""
    sides = values.shape[1:]
    if nearest:
        index = [torch.arange(n) * side // n for n, side in zip(box.shape, sides, strict=True)]
        return values[:, index[0][start:stop]][:, :, index[1]][:, :, :, index[2]]
    if sides != box.shape:
        position = ((torch.arange(start, stop) + 0.5) * sides[0] / box.shape[0] - 0.5).clamp(0, sides[0] - 1)
        low = position.long().clamp(max=max(0, sides[0] - 2))
        high = (low + 1).clamp(max=sides[0] - 1)
        values = torch.lerp(values[:, low], values[:, high], (position - low)[:, None, None])
        return interpolated(values, box.shape[1:])
    return values[:, start:stop]


def _weight(box: Box) -> Tensor:
    """Gaussian weight (*shape), 1 in the middle; a single slice has no weight of its own."""
    weight = torch.ones(1, 1, 1)
    for axis, side in enumerate(box.shape):
        x = (torch.arange(side) - (side - 1) / 2) / (side * _SIGMA)
        bell = torch.exp(-0.5 * x**2)
        weight = weight * bell.reshape([-1 if a == axis else 1 for a in range(3)])
    return weight.clamp(min=1e-3)


def _reflected(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Indices mirrored at the borders as often as needed, the border voxel not repeated."""
    if length == 1:
        return np.zeros_like(index)
    period = 2 * (length - 1)
    index = np.abs(index) % period
    return np.where(index >= length, period - index, index)
