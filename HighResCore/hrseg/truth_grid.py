"""Where the voxels of a true label map lie."""

from __future__ import annotations

from pathlib import Path

from hrseg.errors import InputError
from hrseg.geometry import Grid
from hrseg.pictures import is_picture

#: How far apart, in voxels, image and label map may lie: programs round the geometry that they write.
_TOLERANCE = 0.05


def truth_grid(label: Path, image: Grid, truth: Grid, *, sized: bool) -> Grid:
    """Where the voxels of a label map lie: on the image's, or on finer ones over the same field of view.

    Args:
        label: the label map's file.
        image, truth: grids as their files have them.
        sized: whether the data list says that label maps of pictures show their images' field of view.

    Raises:
        InputError: somewhere else.
    """
    finer = all(n >= m for n, m in zip(truth.shape, image.shape, strict=True))
    # Pictures hold no place in space, only a resolution for printing, which masks drawn on them often lose.
    if is_picture(label):
        if truth.shape == image.shape:
            return image
        if sized and truth.shape[0] == image.shape[0] == 1:
            return image.resized(truth.shape)
        advice = ' or, if both show the same field of view, give the list a "label_size"' * finer
    else:
        if truth.matches(image, _TOLERANCE):
            return image
        if finer and truth.matches(image.resized(truth.shape), _TOLERANCE):
            return image.resized(truth.shape)
        advice = ""
    raise InputError(
        f"its label map {_geometry(truth)} does not lie on its image's voxels {_geometry(image)}; "
        f"resample it to them{advice}."
    )


def measuring_grid(image_file: Path, image: Grid, truth: Grid) -> Grid:
    """That of the truth, for distances in mm; of pictures one on which the image's pixels have sides of 1."""
    if not is_picture(image_file):
        return truth
    # What they name as their resolution is meant for printing.
    return Grid.from_spacing(image.shape).resized(truth.shape)


def _geometry(grid: Grid) -> str:
    size, spacing = ("x".join(f"{n:.4g}" for n in reversed(numbers)) for numbers in (grid.shape, grid.spacing))
    place = ", ".join(f"{n:.4g}" for n in grid.to_world((0, 0, 0)))
    return f"({size} voxels of {spacing} mm, {grid.orientation} from {place})"
