"""From a user's image to network input and back: orientation, subject crop, spacing, intensity.

The way back is exact for orientation and crop. It is the same for every method.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hrseg.bounding_box import bounding_box
from hrseg.errors import InputError
from hrseg.geometry import Box, Grid, Reorientation, Shape
from hrseg.image import Image
from hrseg.memory import check_room
from hrseg.model_file import Header, Intensity, Preprocessing
from hrseg.resample import SHRINK

#: Voxels that percentiles are taken from, at most.
_SAMPLE = 2**21
#: Bytes that resampling and percentiles use besides, at most.
_WORK = 2**23
_FLOAT = np.dtype(np.float32)
#: Where rows and columns of a slice run as viewers show it, by where they run in the file.
_SHOWN = {"L": "L", "R": "L", "P": "P", "A": "P", "I": "I", "S": "I"}


@dataclass(frozen=True)
class Prepared:
    """Network input and where it came from.

    Attributes:
        array: float32 (C, K, J, I) on ``grid``.
        grid: working grid: the subject, in the model's orientation and spacing.
        change: from the user's orientation to the model's.
        subject: the part of the reoriented image that ``grid`` covers, in its voxels.
        oriented: grid of the whole image in the model's orientation.
        greys: per channel (offset, scale), so that ``array * scale + offset`` has the user's grey values again.
        stored: the type of these, float32 where they are no whole numbers.
    """

    array: NDArray[np.float32]
    grid: Grid
    change: Reorientation
    subject: Box
    oriented: Grid
    greys: tuple[tuple[float, float], ...] = ()
    stored: np.dtype = _FLOAT

    def grey_values(self, array: NDArray[np.float32]) -> NDArray:
        """What a network made, (C, ...), in the user's grey values and their type."""
        result = np.empty_like(array)
        for values, found, (offset, scale) in zip(result, array, self.greys, strict=True):
            np.multiply(found, scale, out=values)
            values += offset
        if self.stored.kind == "f":
            return result
        limits = np.iinfo(self.stored)
        return np.clip(np.rint(result, out=result), limits.min, limits.max, out=result).astype(self.stored)


def prepare(image: Image, header: Header, room: int | None = None) -> Prepared:
    """The image as the model's network wants it.

    Args:
        image: in any orientation.
        header: of the model.
        room: bytes of main memory that may be used for it.

    Raises:
        InputError: wrong number of dimensions or channels, NaN, a constant image, or one without a subject.
        OutOfMemory: ``room`` does not suffice.
    """
    image = check(image, header)
    change, oriented, subject, grid = locate(image, header.preprocessing)
    if room is not None:
        check_room(preparing_bytes(image, subject, grid), room)
    array = _resized(oriented.array[(..., *subject.slices)], grid.shape, header.preprocessing.shrink)
    greys = normalize(array, header.preprocessing.intensity)
    stored = image.array.dtype if image.array.dtype.kind in "iu" else _FLOAT
    return Prepared(array, grid, change, subject, oriented.grid, tuple(greys), stored)


def locate(image: Image, settings: Preprocessing) -> tuple[Reorientation, Image, Box, Grid]:
    """The change of orientation, the reoriented image, the subject in its voxels, and the working grid.

    Raises:
        InputError: an image without a subject.
    """
    change = reorientation(image.grid, settings)
    oriented = image.reoriented(change)
    subject = _subject(oriented, settings.subject_above, settings.subject_margin)
    grid = oriented.grid.crop(subject)
    if settings.spacing:
        grid = grid.with_spacing(settings.spacing)
    return change, oriented, subject, grid


def reorientation(grid: Grid, settings: Preprocessing) -> Reorientation:
    """From the order of an image's voxels to the one in which the network sees them."""
    return grid.reorientation(settings.orientation or _as_shown(grid))


def _as_shown(grid: Grid) -> str:
    """The orientation in which a slice is looked at, whatever the order in the file; of volumes their own."""
    own = grid.orientation
    if grid.shape[0] > 1:
        return own
    return "".join(sorted((_SHOWN[letter] for letter in own[:2]), key="LPI".index)) + own[2]


def check(image: Image, header: Header) -> Image:
    """The image, grey copied to the channels of a colour model where needed.

    Raises:
        InputError: as :func:`prepare`.
    """
    if header.dimension == 2 and not image.is_2d:
        single = "a 3D model, or a single slice"
        if min(image.grid.shape) == 1:
            single = "a file of it in which the third axis is the one with a single voxel"
        raise InputError(
            f'The model "{header.name}" is for 2D images, but "{image.name}" has {image.grid.shape[0]} slices '
            f"({sides_text(image.grid)} voxels); choose {single}."
        )
    if header.dimension == 3 and min(image.grid.shape) < 2:
        raise InputError(
            f'The model "{header.name}" is for 3D volumes, but "{image.name}" has {sides_text(image.grid)} voxels; '
            "choose a volume with at least 2 voxels along each axis."
        )
    wanted = len(header.channels)
    if image.channels != wanted and (image.channels, wanted) != (1, 3):
        raise InputError(
            f'The model "{header.name}" takes images with {wanted} channel{"s" * (wanted > 1)} '
            f'({", ".join(header.channels)}), but "{image.name}" has {image.channels}; choose another image or model.'
        )
    image.check_finite()
    low, high = image.array.min(), image.array.max()
    if image.array.dtype.kind == "f" and max(-low, high) > np.finfo(np.float32).max:
        raise InputError(
            f'The image "{image.name}" has values from {low:g} to {high:g}, more than networks can compute with; '
            "replace those that only fill up, for example by the value of the background."
        )
    if low == high:
        raise InputError(f'The image "{image.name}" is constant (every voxel is {low}); choose another image.')
    return replace(image, array=np.broadcast_to(image.array, (wanted, *image.grid.shape)))


def normalize(array: NDArray[np.float32], intensity: Intensity) -> list[tuple[float, float]]:
    """Normalises the grey values of ``array`` (C, K, J, I) in place; see :class:`Intensity`.

    A constant channel becomes zero, or a constant between 0 and 1 under ``window``.

    Returns:
        What was subtracted from each channel, and what it was divided by.
    """
    greys = []
    for values in array:
        if intensity.kind == "zscore":
            offset, scale = _centered(values)
        else:
            offset, high = intensity.low, intensity.high
            if intensity.kind == "percentile":
                offset, high = _percentiles(values, offset, high)
            scale = high - offset
        greys.append((offset, scale))
        values -= offset
        values /= scale
        if intensity.kind != "zscore":
            np.clip(values, 0, 1, out=values)
    return greys


def preparing_bytes(image: Image, subject: Box, grid: Grid) -> int:
    """Bytes that :func:`prepare` needs at its peak, beyond the image, with what it returns."""
    value = 4 * image.channels
    # Comparisons make one or two truth values per number of the image.
    peak = 2 * image.array.size
    shape, before = list(subject.shape), 0
    for axis in np.argsort(-np.divide(shape, grid.shape), kind="stable"):
        # Axis by axis, as resampling goes; the input and the output of a step coexist.
        if shape[axis] != grid.shape[axis]:
            shape[axis] = grid.shape[axis]
            after = value * math.prod(shape)
            peak, before = max(peak, before + after), after
    return max(peak, value * grid.size) + _WORK


def _resized(array: NDArray, shape: Shape, shrink: str) -> NDArray[np.float32]:
    """A new float32 array (C, *shape) of the same field of view as ``array`` (C, K, J, I)."""
    if array.shape[1:] == shape:
        return np.array(array, dtype=np.float32, order="C")
    # On grids that only count voxels, so that rounding does not depend on where the image lies in space.
    grid = Grid.from_spacing(array.shape[1:])
    return SHRINK[shrink](array, grid, grid.resized(shape))


def _centered(values: NDArray[np.float32]) -> tuple[float, float]:
    """Mean and standard deviation of the voxels above the lowest value; those of that value are set to the mean.

    They are padding, or what was cut away. Where all others are the same nothing is taken for padding; a spread of 1
    where all voxels are.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low, 1.0
    mean, spread = _moments(values, low)
    if not spread:
        return _moments(values, -math.inf)
    for part in values:
        part[part == low] = mean
    return mean, spread


def _moments(values: NDArray[np.float32], above: float) -> tuple[float, float]:
    """Mean and standard deviation of what is larger than ``above``, slice by slice in double precision."""
    count = sum(int(np.count_nonzero(part > above)) for part in values)
    mean = sum(float(part[part > above].sum(dtype=np.float64)) for part in values) / count
    squares = sum(float(np.square(part[part > above] - mean, dtype=np.float64).sum()) for part in values)
    return mean, math.sqrt(squares / count)


def _percentiles(values: NDArray[np.float32], low: float, high: float) -> tuple[float, float]:
    """Two percentiles, of evenly spaced voxels where there are millions.

    The extremes where they are the same; a distance of 1 where all values are.
    """
    flat = values.ravel()
    # An odd stride: one that divides the length of the rows would take the same columns of each.
    start, end = np.percentile(flat[:: -(-flat.size // _SAMPLE) | 1], [low, high]).tolist()
    if start == end:
        start, end = float(values.min()), float(values.max())
    return start, end if end > start else start + 1


def _subject(image: Image, above: float | None, margin: float) -> Box:
    """The box of voxels above a grey value in any channel, with a margin in mm."""
    whole = Box.whole(image.grid.shape)
    if above is None:
        return whole
    box = bounding_box(np.any(image.array > above, axis=0))
    if box is None:
        raise InputError(
            f'The image "{image.name}" has no voxel above {above:g}, so no subject was found; '
            f"its values are {image.array.min():g} to {image.array.max():g}. Is it of the kind that the model is for?"
        )
    voxels = np.ceil(margin / np.asarray(image.grid.spacing) - 1e-6).astype(int)
    return box.expand(voxels.tolist()).clip(image.grid.shape)


def sides_text(grid: Grid) -> str:
    """Such as "512 x 512 x 160" (i, j, k)."""
    return " x ".join(str(n) for n in reversed(grid.shape))
