"""What the network sees of an image: the low-resolution volume, the guidance crop, and where its output lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrseg.geometry import Box, Floats, Grid, Shape, as_shape
from hrseg.model_file import Header
from hrseg.pfseg.network import Guidance
from hrseg.preprocess import Prepared, reorientation
from hrseg.resample import SHRINK, crop_or_pad, resample

#: Voxels above this share of the low resolution's are no finer.
_AS_COARSE = 0.95


@dataclass(frozen=True, eq=False)
class Volumes:
    """An image as the network takes it. Everything has three axes; a 2D image has one slice.

    Attributes:
        low: float32 (C, *LR), padded with zeros to sides that the network can take.
        inner: the part of the network's output, in its voxels, that is not padding.
        prepared: where ``inner`` lies in the image, or in its finer grid.
    """

    low: NDArray[np.float32]
    inner: Box
    prepared: Prepared


def resolution_of(grid: Grid, header: Header, factors: Sequence[int], *, fine: bool) -> tuple[bool, Header]:
    """Whether an image is the low-resolution volume itself, and the header with the spacing that it is prepared in.

    It is where the result is to be ``fine``, and where it is no finer than that volume: shrinking would only blur it.
    """
    settings = header.preprocessing
    if settings.spacing is None:
        return fine, header
    own = grid.reoriented(reorientation(grid, settings)).spacing
    low = tuple(np.multiply(settings.spacing, factors).tolist())
    no_finer = all(mine > _AS_COARSE * other for mine, other, f in zip(own, low, factors, strict=True) if f > 1)
    if not (fine or no_finer):
        return False, header
    return True, header.model_copy(update={"preprocessing": settings.model_copy(update={"spacing": low})})


def shrunk(
    prepared: Prepared, multiple: Sequence[int], factors: Sequence[int], shrink: str
) -> tuple[Volumes, NDArray[np.float32]]:
    """An image that is the high-resolution volume (C, *HR): a low-resolution copy is made of it; and that volume.

    ``shrink`` is that of :class:`hrseg.model_file.Preprocessing`.
    """
    low = padded_sides(prepared.grid.shape, multiple, factors)
    box = around(prepared.grid.shape, np.multiply(low, factors).tolist())
    grid = prepared.grid.crop(box)
    array = SHRINK[shrink](prepared.array, prepared.grid, grid.resized(low))
    inner = Box.whole(prepared.grid.shape).shift(np.negative(box.start).tolist())
    return Volumes(array, inner, _without_array(prepared)), prepared.array


def enlarged(prepared: Prepared, multiple: Sequence[int], factors: Sequence[int]) -> Volumes:
    """An image that is the low-resolution volume: the output is ``factors`` times finer."""
    shape = prepared.grid.shape
    box = around(shape, padded_sides(shape, multiple, (1, 1, 1)))
    inner = Box.whole(shape).shift(np.negative(box.start).tolist())
    finer = replace(
        prepared,
        grid=prepared.grid.finer(factors),
        subject=scaled(prepared.subject, factors),
        oriented=prepared.oriented.finer(factors),
    )
    return Volumes(np.ascontiguousarray(crop_or_pad(prepared.array, box)), scaled(inner, factors), finer)


def kept(prepared: Prepared, multiple: Sequence[int], factors: Sequence[int]) -> tuple[Volumes, NDArray[np.float32]]:
    """An image that is the low-resolution volume, for a mask on its own voxels; and (C, *HR) the image interpolated."""
    volumes = enlarged(prepared, multiple, factors)
    place = replace(volumes.prepared, subject=prepared.subject, oriented=prepared.oriented)
    high = resample(prepared.array, prepared.grid, place.grid)
    return replace(volumes, prepared=_without_array(place)), high


def _without_array(prepared: Prepared) -> Prepared:
    """Where it lies alone: what the array takes is free for the network as soon as nobody needs it."""
    array = prepared.array
    # Not a view, which would keep all of it.
    return replace(prepared, array=np.empty((len(array), 0, *array.shape[2:]), array.dtype))


def padded_sides(shape: Shape, multiple: Sequence[int], factors: Sequence[int]) -> list[int]:
    """LR sides for ``shape`` in HR voxels, rounded up to multiples."""
    return [-(-n // (m * f)) * m for n, m, f in zip(shape, multiple, factors, strict=True)]


def around(shape: Sequence[int], sides: Sequence[int]) -> Box:
    """A box of ``sides`` around the middle of ``shape``."""
    start = [-((m - n) // 2) for n, m in zip(shape, sides, strict=True)]
    return Box(as_shape(start), as_shape(np.add(start, sides)))


def scaled(box: Box, factors: Sequence[int]) -> Box:
    """The same box in voxels that are ``factors`` times finer."""
    return Box(as_shape(np.multiply(box.start, factors)), as_shape(np.multiply(box.stop, factors)))


def cut_guidance(volume: NDArray[np.float32], box: Box, inner: Box, whole: Sequence[int], dimension: int) -> Guidance:
    """The crop ``box`` of ``volume`` (C, *shape) for a batch of one.

    Args:
        inner: where ``volume`` lies in the network's output.
        whole: sides of that output.
    """
    crop = torch.from_numpy(np.ascontiguousarray(crop_or_pad(volume, box)))
    place = torch.from_numpy(centre_share(box, inner, whole).astype(np.float32))
    return Guidance(flat(crop, dimension)[None], place[3 - dimension :][None], torch.ones(1))


def centre_share(box: Box, inner: Box, whole: Sequence[int]) -> Floats:
    """The centre of ``box``, in voxels of ``inner``, as a share of the sides of ``whole``."""
    middle = (np.asarray(box.start) + np.asarray(box.stop)) / 2
    return (middle + inner.start) / np.asarray(whole)


def flat(volume: Tensor, dimension: int) -> Tensor:
    """(C, K, J, I) for a network of this dimension: a 2D one gets its only slice."""
    return volume[:, 0] if dimension == 2 else volume


def inner_slabs(slabs: Iterator[tuple[int, Tensor]], inner: Box, dimension: int) -> Iterator[tuple[int, Tensor]]:
    """(start, rows) of the network's output without the padding, counted from ``inner``; 2D ones as (C, rows, 1, I)."""
    first = 3 - dimension
    low, high = inner.start[first], inner.stop[first]
    across = inner.slices[first + 1 :]
    for start, slab in slabs:
        a, b = max(start, low), min(start + slab.shape[1], high)
        if a < b:
            part = slab[(slice(None), slice(a - start, b - start), *across)]
            yield a - low, part[:, :, None] if dimension == 2 else part
