"""What the network sees of an image, and where what it finds belongs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from hrseg.geometry import Box, Grid, Shape, as_shape
from hrseg.image import Image
from hrseg.preprocess import Prepared
from hrseg.resample import resample
from hrseg.sasr.layers import shrunk


@dataclass(frozen=True, eq=False)
class View:
    """Input and output of one image.

    Attributes:
        volume: what the network sees, (C, *shape) with two or three spatial axes.
        place: where its probabilities lie (``grid``, finer than ``volume`` by the factors), and which voxels the label
            map has (``oriented`` and what follows from it). ``array`` is not used any more.
        output: grid of the label map, in the user's orientation.
        means: how many of the probabilities, (k, j, i), are averaged to one before the label map is made.
    """

    volume: Tensor
    place: Prepared
    output: Grid
    means: tuple[int, ...] = (1, 1, 1)

    @property
    def flat(self) -> bool:
        """Whether it is a 2D image."""
        return self.volume.ndim == 3

    @property
    def averaged(self) -> Prepared:
        """:attr:`place` after averaging."""
        grid = self.place.grid
        return replace(self.place, grid=grid.resized([n // m for n, m in zip(grid.shape, self.means, strict=True)]))


def of_three(sides: Sequence[int]) -> list[int]:
    """With the single slice of a 2D image."""
    return [1] * (3 - len(sides)) + list(sides)


def resized(prepared: Prepared, size: Sequence[int] | None, blocks: Sequence[int]) -> Prepared:
    """The working grid in ``size`` voxels, (j, i) or (k, j, i); the same where no size is given.

    Where the image has enough voxels, these are means over ``blocks`` (per axis), as in training.
    """
    if size is None:
        return prepared
    shape = as_shape([*prepared.grid.shape[: 3 - len(size)], *size])
    if shape == prepared.grid.shape:
        return prepared
    finer = np.multiply(shape, of_three(blocks))
    averaged = bool((finer <= prepared.grid.shape).all())
    # On grids that only count voxels, so that rounding does not depend on where the image lies in space.
    counted = Grid.from_spacing(prepared.grid.shape)
    array = resample(prepared.array, counted, counted.resized(as_shape(finer) if averaged else shape))
    if averaged:
        array = shrunk(torch.from_numpy(array)[None], of_three(blocks))[0].numpy()
    return replace(prepared, array=array, grid=prepared.grid.resized(shape))


def view_of(image: Image, prepared: Prepared, factors: Sequence[int], *, shrinks: bool, fine: bool) -> View:
    """What the network sees: the image itself, or where it ``shrinks`` the image a smaller one.

    Args:
        image: as the user gave it.
        prepared: the same, prepared.
        factors: how many times finer the network answers, per axis.
        shrinks: the image is shrunk by the factors, so that the probabilities have its resolution.
        fine: the label map is finer than the image by the factors; only where the image is not shrunk.
    """
    return _shrunk_view(image, prepared, factors) if shrinks else _native_view(image, prepared, factors, fine)


def _native_view(image: Image, prepared: Prepared, factors: Sequence[int], fine: bool) -> View:
    finer = of_three(factors)
    place = replace(prepared, grid=prepared.grid.finer(finer))
    output = image.grid
    if fine:
        subject = Box(_times(prepared.subject.start, finer), _times(prepared.subject.stop, finer))
        place = replace(place, subject=subject, oriented=prepared.oriented.finer(finer))
        output = image.grid.finer([finer[axis] for axis in prepared.change.inverse.axes])
    return View(_volume(prepared.array, len(factors)), place, output, _means(place, finer))


def _means(place: Prepared, factors: Sequence[int]) -> tuple[int, ...]:
    """So many that about two are left per voxel of the label map.

    Interpolation looks at two neighbours, so that their mean is that of the voxel; of four it would miss the outer two.
    """
    each = np.divide(place.grid.shape, place.subject.shape).tolist()
    return tuple(max(1, min(f // 2, round(n / 2))) for f, n in zip(factors, each, strict=True))


def _shrunk_view(image: Image, prepared: Prepared, factors: Sequence[int]) -> View:
    volume = _shrunk_volume(_volume(prepared.array, len(factors)), factors)
    return View(volume, prepared, image.grid)


def filled(view: View, multiple: Sequence[int]) -> View:
    """The same where sides are multiples already; else the edge is repeated, and the network says more than is used."""
    return replace(view, volume=_filled(view.volume, multiple))


def _shrunk_volume(volume: Tensor, factors: Sequence[int]) -> Tensor:
    """(C, *shape) shrunk as means over blocks; the edge is repeated where a side is not a multiple."""
    return shrunk(_filled(volume, factors)[None], factors)[0]


def _filled(volume: Tensor, multiple: Sequence[int]) -> Tensor:
    """(C, *shape) with its last voxels repeated up to sides that are multiples."""
    pads = [(0, -n % m) for n, m in zip(volume.shape[1:], multiple, strict=True)]
    if not any(after for _, after in pads):
        return volume
    return F.pad(volume[None], [p for pair in reversed(pads) for p in pair], mode="replicate")[0]


def restored(array: NDArray[np.float32], view: View, image: Image) -> Image:
    """A super-resolved image (C, K, J, I) on the working grid, in the user's orientation, grey values and type."""
    result = view.place.grey_values(array)
    return Image(result, view.place.grid, image.name).reoriented(view.place.change.inverse)


def _volume(array: NDArray[np.float32], dimension: int) -> Tensor:
    """A view, without the single slice of a 2D image."""
    tensor = torch.from_numpy(array)
    return tensor[:, 0] if dimension == 2 else tensor


def _times(start: Shape, factors: Sequence[int]) -> Shape:
    return as_shape(np.multiply(start, factors))
