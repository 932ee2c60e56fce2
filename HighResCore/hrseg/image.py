"""Images and label maps on a grid, and the files they come from and go to.

Files speak LPS, everything else here RAS: :data:`LPS_TO_RAS` is the sign change.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from hrseg.errors import InputError, OutputError
from hrseg.geometry import Box, Floats, Grid, Reorientation
from hrseg.itk_io import read_itk, write_itk
from hrseg.pictures import PICTURE_SUFFIXES, is_picture, picture_problem, picture_to_itk

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", *PICTURE_SUFFIXES)
#: Of files that can be written and hold any image with its place in space.
VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
#: PNG for single slices of whole numbers alone.
WRITABLE_SUFFIXES = (*VOLUME_SUFFIXES, ".png")
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_WRITABLE_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")


@dataclass(frozen=True, eq=False)
class Image:
    """Grey values or colours: ``array`` (C, K, J, I) in the file's own number type, on ``grid``."""

    array: NDArray
    grid: Grid
    name: str = ""

    def __post_init__(self) -> None:
        if self.array.ndim != 4 or self.array.shape[1:] != self.grid.shape or self.array.dtype.kind not in "biuf":
            raise InputError(
                f"An image array must be numbers (C, *{self.grid.shape}), not {self.array.shape} of {self.array.dtype}."
            )

    @property
    def channels(self) -> int:
        """Number of channels: 1 grey, 3 colour."""
        return int(self.array.shape[0])

    @property
    def is_2d(self) -> bool:
        """Whether it has a single slice."""
        return self.grid.shape[0] == 1

    def check_finite(self) -> None:
        """Raises InputError when a value is NaN or infinite."""
        if self.array.dtype.kind == "f":
            bad = int(np.count_nonzero(~np.isfinite(self.array).all(axis=0)))
            if bad:
                raise InputError(
                    f'The image "{self.name}" has {bad} voxel{" that is" if bad == 1 else "s that are"} NaN or '
                    "infinite; use a number instead, for example the value of the background."
                )

    def reoriented(self, change: Reorientation) -> Image:
        """The same image with its axes permuted and flipped (a view)."""
        return replace(self, array=change.apply(self.array), grid=self.grid.reoriented(change))

    def crop(self, box: Box) -> Image:
        """The part of the image in a box within it (a view)."""
        return replace(self, array=self.array[(..., *box.slices)], grid=self.grid.crop(box))


@dataclass(frozen=True, eq=False)
class LabelMap:
    """One whole number per voxel: ``array`` (K, J, I), 0 is the background."""

    array: NDArray
    grid: Grid
    names: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.array.shape != self.grid.shape or self.array.dtype.kind not in "iu":
            raise InputError(
                f"A label map must hold whole numbers of the shape {self.grid.shape}, "
                f"not {self.array.dtype} of the shape {self.array.shape}."
            )

    def reoriented(self, change: Reorientation) -> LabelMap:
        """The same label map with its axes permuted and flipped (a view)."""
        return replace(self, array=change.apply(self.array), grid=self.grid.reoriented(change))


def read_image(path: str | os.PathLike[str]) -> Image:
    """The image in a file (NIfTI, NRRD, MHA, PNG, JPEG, TIFF ...) or in a folder with one DICOM series.

    Raises:
        InputError: no such file, not an image, incomplete, more than three dimensions, neither grey nor colour, or a
            folder without exactly one evenly spaced DICOM series.
    """
    path = Path(path)
    return image_from_itk(read_itk(path), file_stem(path), alpha=is_picture(path))


def read_label_map(path: str | os.PathLike[str]) -> LabelMap:
    """The label map in a file; whole numbers stored as floats are accepted.

    Raises:
        InputError: as :func:`read_image`; several channels; values that are not whole numbers.
    """
    image = read_image(path)
    values = image.array[0]
    if image.channels > 1 and not (image.array == values).all():
        raise InputError(f'The label map "{path}" is a color image of {image.channels} channels; save it as gray.')
    if values.dtype.kind == "f":
        image.check_finite()
        if not (values == np.rint(values)).all():
            raise InputError(f'The label map "{path}" has values that are not whole numbers, such as {_odd(values)}.')
        values = values.astype(np.int32)
    return LabelMap(values, image.grid)


def image_from_itk(itk: sitk.Image, name: str = "", *, alpha: bool = False) -> Image:
    """An :class:`Image` from a SimpleITK image of two or three dimensions.

    ``alpha``: the last one of two or four channels is how opaque a pixel is, and dropped.

    Raises:
        InputError: neither grey nor colour, or a geometry that is not invertible.
    """
    components = itk.GetNumberOfComponentsPerPixel()
    array = sitk.GetArrayFromImage(itk)
    array = np.moveaxis(array, -1, 0) if components > 1 else array[None]
    if itk.GetDimension() == 2:
        array = array[:, None]
    if alpha and components in (2, 4):
        array = array[:-1]
    if array.shape[0] not in (1, 3):
        raise InputError(f'The image "{name}" has {components} channels; gray (1) and color (3) images can be used.')
    return Image(np.ascontiguousarray(array), _grid_of_itk(itk), name)


def image_to_itk(array: NDArray, grid: Grid) -> sitk.Image:
    """A SimpleITK image of ``array``, (K, J, I) or (C, K, J, I), on ``grid``.

    Raises:
        InputError: the grid is sheared, which no image file can hold.
    """
    if array.dtype.name not in _WRITABLE_TYPES:
        array = array.astype(np.uint8 if array.dtype == bool else np.float32 if array.dtype.kind == "f" else np.int32)
    vector = array.ndim == 4
    itk = sitk.GetImageFromArray(np.ascontiguousarray(np.moveaxis(array, 0, -1) if vector else array), isVector=vector)
    affine = lps_affine(grid)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    directions = affine[:3, :3] / spacing
    itk.SetSpacing(spacing.tolist())
    itk.SetOrigin(affine[:3, 3].tolist())
    itk.SetDirection(directions.ravel().tolist())
    return itk


def lps_affine(grid: Grid) -> Floats:
    """The matrix from (i, j, k, 1) to LPS millimetres, as files have it.

    Raises:
        InputError: the grid is sheared, which no image file can hold.
    """
    affine = LPS_TO_RAS @ grid.affine
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.abs(directions.T @ directions - np.eye(3)).max() > 1e-3:
        raise InputError("The image's axes are not at right angles, which image files cannot hold; resample it first.")
    return affine


def write_image(path: str | os.PathLike[str], array: NDArray, grid: Grid) -> None:
    """Writes ``array``, (K, J, I) or (C, K, J, I), to NIfTI, NRRD or MHA; an existing file is replaced in one step.

    A single slice of whole numbers may also become a PNG, pixel by pixel.

    Raises:
        InputError: a file type that cannot hold the geometry, or a PNG that cannot hold the numbers.
        OutputError: the folder is missing, read-only or full; nothing is left behind.
    """
    path = Path(path)
    check_writable_suffix(path)
    if is_picture(path):
        if problem := picture_problem(array):
            raise InputError(
                f'Cannot write "{path.name}": {problem}; choose a name that ends in one of '
                f"{', '.join(VOLUME_SUFFIXES)}."
            )
        itk = picture_to_itk(array, grid)
    else:
        itk = image_to_itk(array, grid)
    with replacing(path) as temporary:
        write_itk(itk, temporary)


def check_writable_suffix(path: Path) -> None:
    """Raises InputError unless :func:`write_image` can write this type of file."""
    if not path.name.lower().endswith(WRITABLE_SUFFIXES):
        raise InputError(f'Cannot write "{path.name}": the name must end in one of {", ".join(WRITABLE_SUFFIXES)}.')


def check_folder(path: Path) -> None:
    """Raises OutputError unless a file can be made in the folder of ``path``."""
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _output_error(path, error) from error


def make_folder(folder: Path) -> None:
    """Makes a folder, and those above it, if missing. Raises OutputError when that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f'Cannot make the folder "{folder}": {error.strerror}. Choose one that is writable.'
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; renamed to ``path`` on success, removed on failure.

    Raises:
        OutputError: writing failed, for whatever reason the system gives.
    """
    suffix = path.name.removeprefix(file_stem(path)) or path.suffix
    try:
        handle, name = tempfile.mkstemp(prefix=".hrseg-", suffix=suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise _output_error(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_UMASK)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        raise _output_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _output_error(path: Path, error: Exception) -> OutputError:
    reason = getattr(error, "strerror", None) or (str(error).strip().splitlines() or ["unknown reason"])[-1]
    if not path.parent.is_dir():
        reason = f'there is no folder "{path.parent}"'
    return OutputError(f'Cannot write "{path}": {reason}. Choose a folder that is writable and has free space.')


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


#: Asked once: to ask is to change it for a moment, and with it the files that other threads write meanwhile.
_UMASK = _umask()


def _grid_of_itk(itk: sitk.Image) -> Grid:
    dimension = itk.GetDimension()
    affine = np.eye(4)
    directions = np.array(itk.GetDirection()).reshape(dimension, dimension)
    affine[:dimension, :dimension] = directions * np.array(itk.GetSpacing())
    affine[:dimension, 3] = itk.GetOrigin()
    size = [*itk.GetSize(), 1][:3]
    return Grid((size[2], size[1], size[0]), LPS_TO_RAS @ affine)


def file_stem(path: Path) -> str:
    """The name of an image file without its folder and ending: ``a.b`` of ``x/a.b.nii.gz``."""
    name = path.name
    suffix = next((s for s in (".seg.nrrd", *IMAGE_SUFFIXES) if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)] or name


def _odd(values: NDArray) -> float:
    return float(values[values != np.rint(values)].flat[0])
