"""Pictures: files of two dimensions whose pixels have no size in millimeters. Needs numpy and SimpleITK alone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from hrseg.geometry import Grid

#: What some of them name as their resolution is meant for printing.
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def is_picture(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a picture, by its name."""
    return Path(path).name.lower().endswith(PICTURE_SUFFIXES)


def picture_problem(array: NDArray) -> str | None:
    """Why an array, (K, J, I) or (C, K, J, I), cannot become a picture; None where it can."""
    channels = len(array) if array.ndim == 4 else 1
    if array.shape[-3] > 1:
        return f"a picture has one slice, not {array.shape[-3]}"
    if channels not in (1, 3):
        return f"a picture has one or three channels, not {channels}"
    if array.dtype.kind == "f":
        return "a picture holds whole numbers, not fractions such as probabilities"
    if array.dtype != np.uint16 and not 0 <= array.min() <= array.max() <= 255:
        return f"a picture holds values from 0 to 255, not from {array.min()} to {array.max()}"
    return None


def picture_to_itk(array: NDArray, grid: Grid) -> sitk.Image:
    """Two dimensions of an array without :func:`picture_problem`: uint16 where it has that, else uint8."""
    if array.dtype != np.uint16:
        array = array.astype(np.uint8)
    colors = array.ndim == 4 and len(array) == 3
    pixels = np.moveaxis(array[:, 0], 0, -1) if colors else array.reshape(array.shape[-2:])
    itk = sitk.GetImageFromArray(np.ascontiguousarray(pixels), isVector=colors)
    # 3D Slicer takes this for millimeters of every picture, so that a finer mask covers the picture it is of.
    itk.SetSpacing(grid.spacing[:0:-1])
    return itk
