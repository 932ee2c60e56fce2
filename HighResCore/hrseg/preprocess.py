"""From a user's image to network input and back: orientation, subject crop, spacing, intensity.

The way back is exact for orientation and crop. It is the same for every method.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrseg.errors import InputError
from hrseg.geometry import Box, Grid, Reorientation
from hrseg.image import Image
from hrseg.model_file import Header, Intensity, Preprocessing
from hrseg.resample import resample


@dataclass(frozen=True)
class Prepared:
    """Network input and where it came from.

    Attributes:
        array: float32 (C, K, J, I) on ``grid``.
        grid: working grid: the subject, in the model's orientation and spacing.
        change: from the user's orientation to the model's.
        subject: the part of the reoriented image that ``grid`` covers, in its voxels.
        oriented: grid of the whole image in the model's orientation.
    """

    array: NDArray[np.float32]
    grid: Grid
    change: Reorientation
    subject: Box
    oriented: Grid


def prepare(image: Image, header: Header) -> Prepared:
    """The image as the model's network wants it.

    Raises:
        InputError: wrong number of dimensions or channels, NaN, a constant image, or one without a subject.
    """
    image = check(image, header)
    change, oriented, subject, grid = locate(image, header.preprocessing)
    array = resample(oriented.array[(..., *subject.slices)], oriented.grid.crop(subject), grid)
    return Prepared(normalise(array, header.preprocessing.intensity), grid, change, subject, oriented.grid)


def locate(image: Image, settings: Preprocessing) -> tuple[Reorientation, Image, Box, Grid]:
    """The change of orientation, the reoriented image, the subject in its voxels, and the working grid."""
    change = image.grid.reorientation(settings.orientation or image.grid.orientation)
    oriented = image.reoriented(change)
    subject = _subject(oriented, settings.subject_above, settings.subject_margin)
    grid = oriented.grid.crop(subject)
    return change, oriented, subject, grid.with_spacing(settings.spacing) if settings.spacing else grid


def check(image: Image, header: Header) -> Image:
    """The image, grey copied to the channels of a colour model where needed.

    Raises:
        InputError: as :func:`prepare`.
    """
    if header.dimension == 2 and not image.is_2d:
        raise InputError(
            f'The model "{header.name}" is for 2D images, but "{image.name}" has {image.grid.shape[0]} slices; '
            "choose a 3D model, or a single slice."
        )
    if header.dimension == 3 and min(image.grid.shape) < 2:
        raise InputError(
            f'The model "{header.name}" is for 3D volumes, but "{image.name}" has {_times(image.grid)} voxels; '
            "choose a volume with at least 2 voxels along each axis."
        )
    wanted = len(header.channels)
    if image.channels != wanted:
        if image.channels != 1 or wanted != 3:
            raise InputError(
                f'The model "{header.name}" needs {wanted} channels ({", ".join(header.channels)}), '
                f'but "{image.name}" has {image.channels}.'
            )
        image = Image(np.broadcast_to(image.array, (wanted, *image.grid.shape)), image.grid, image.name)
    image.check_finite()
    if image.array.min() == image.array.max():
        raise InputError(
            f'The image "{image.name}" is constant (every voxel is {image.array.flat[0]}); there is nothing to segment.'
        )
    return image


def normalise(array: NDArray[np.float32], intensity: Intensity) -> NDArray[np.float32]:
    """``array`` (C, K, J, I) with normalised grey values; see :class:`Intensity`."""
    result = np.empty_like(array)
    for channel, values in enumerate(array):
        if intensity.kind == "zscore":
            np.divide(values - values.mean(), max(float(values.std()), 1e-6), out=result[channel])
            continue
        low, high = intensity.low, intensity.high
        if intensity.kind == "percentile":
            low, high = np.percentile(values, [low, high])
        np.clip((values - low) / max(high - low, 1e-6), 0, 1, out=result[channel])
    return result


def preparing_bytes(image: Image, subject: Box, grid: Grid) -> int:
    """Bytes that :func:`prepare` needs at its peak, beyond the image, with what it returns."""
    channels, inside = image.channels, subject.size
    reoriented_copy = image.array.itemsize * channels * inside
    working = 4 * channels * grid.size
    # Axis by axis the array goes from the subject's size to the working size; input and output of a step coexist.
    largest = 4 * channels * max(inside, grid.size)
    return max(2 * largest, 2 * working) + reoriented_copy


def _subject(image: Image, above: float | None, margin: float) -> Box:
    """The box of voxels above a grey value in any channel, with a margin in mm."""
    whole = Box.whole(image.grid.shape)
    if above is None:
        return whole
    mask = (image.array > above).any(axis=0)
    if not mask.any():
        raise InputError(
            f'The image "{image.name}" has no voxel above {above:g}, so no subject was found; '
            f"its values are {image.array.min():g} to {image.array.max():g}. Is it of the kind that the model is for?"
        )
    ends = []
    for others in ((1, 2), (0, 2), (0, 1)):
        where = np.flatnonzero(mask.any(axis=others))
        ends.append((int(where[0]), int(where[-1]) + 1))
    voxels = np.ceil(margin / np.asarray(image.grid.spacing) - 1e-6).astype(int)
    box = Box((ends[0][0], ends[1][0], ends[2][0]), (ends[0][1], ends[1][1], ends[2][1]))
    return box.expand(voxels.tolist()).clip(image.grid.shape)


def _times(grid: Grid) -> str:
    return " x ".join(str(n) for n in reversed(grid.shape))
