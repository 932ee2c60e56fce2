"""Files and folders to SimpleITK images and back, where ITK's own checks and messages leave something to wish for."""

from __future__ import annotations

import gzip
import math
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from hrseg.errors import InputError
from hrseg.file_headers import check_announced, check_header, is_nifti, uncompressed

#: What NIfTI files have before the voxels when ITK writes them: the header and an empty extension.
_NIFTI_HEADER = 352
#: Their codes of floating-point numbers, as numpy has them.
_NIFTI_FLOATS = {"16": "f4", "64": "f8"}
_CHUNK = 2**24
#: Degrees between the stack of a DICOM series and the normal of its slices; files round both.
_MOST_TILT = 0.5


def read_itk(path: Path) -> sitk.Image:
    """The image in a file, or in a folder with one DICOM series, of two or three dimensions.

    Raises:
        InputError: no such file, not an image, incomplete, NaN in NIfTI, more than three dimensions, overlapping
            segments, or a folder without exactly one evenly spaced DICOM series.
    """
    if not path.exists():
        raise InputError(f'There is no file "{path}"; check the path.')
    try:
        with _silent_itk():
            if path.is_dir():
                return _read_dicom(path)
            _check_readable(path)
            with _unmistakable(path) as file:
                return _read_file(file, path)
    except (RuntimeError, ValueError, OverflowError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        if "orthonormal" in str(error):
            raise InputError(
                f'The axes of the image "{path}" are not at right angles (its affine is sheared); '
                "resample it to a regular grid first."
            ) from error
        if "Unknown PixelType" in str(error):
            raise InputError(
                f'The pixels of "{path}" are of a kind that cannot be read, such as gray with alpha; '
                "save it without alpha."
            ) from error
        raise InputError(f'Cannot read "{path}": it is not a complete image of the type that its name says.') from error


def write_itk(itk: sitk.Image, path: Path) -> None:
    """Writes a file, compressed where the type allows.

    Raises:
        OSError: not all of it could be written, for example because the disk is full.
    """
    pixel = itk.GetSizeOfPixelComponent() * itk.GetNumberOfComponentsPerPixel()
    try:
        sitk.WriteImage(itk, str(path), useCompression=True)
    except RuntimeError as error:
        raise OSError(0, "not all of it could be written") from error
    if is_nifti(path) and not _is_complete(path, _NIFTI_HEADER + itk.GetNumberOfPixels() * pixel):
        raise OSError(0, "not all of it could be written")


def _read_file(file: Path, path: Path) -> sitk.Image:
    """Reads ``file``; errors speak of ``path``."""
    check_header(file, path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    reader.ReadImageInformation()
    dimension, size = reader.GetDimension(), reader.GetSize()
    if reader.GetNumberOfComponents() > 1 and reader.HasMetaDataKey("Segment0_ID"):
        raise InputError(f'The segments in "{path}" overlap; export them from 3D Slicer as a label map.')
    if dimension > 3 and all(n == 1 for n in size[3:]):
        reader.SetExtractSize([*size[:3], *[0] * (dimension - 3)])
    elif dimension not in (2, 3):
        raise InputError(f'The image "{path}" has {dimension} dimensions {size}; save one volume of it as a 3D file.')
    check_announced(file, path, math.prod(size))
    if is_nifti(file) and not _is_complete(file, _nifti_bytes(reader)):
        raise InputError(f'The file "{path}" is incomplete or damaged; copy or download it again.')
    if is_nifti(file) and (bad := _count_not_finite(file, reader)):
        raise InputError(
            f'The image "{path}" has {bad} voxel{" that is" if bad == 1 else "s that are"} NaN or infinite; '
            "use a number instead."
        )
    return reader.Execute()


def _read_dicom(folder: Path) -> sitk.Image:
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if not series:
        raise InputError(f'The folder "{folder}" holds no DICOM series; give a folder with one, or an image file.')
    if len(series) > 1:
        raise InputError(
            f'The folder "{folder}" holds {len(series)} DICOM series; put the one to use in its own folder.'
        )
    reader = sitk.ImageSeriesReader()
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0])
    reader.SetFileNames(names)
    reader.MetaDataDictionaryArrayUpdateOn()
    itk = reader.Execute()
    _check_slices(reader, len(names), folder)
    return _narrowed(itk)


def _check_slices(reader: sitk.ImageSeriesReader, count: int, folder: Path) -> None:
    """ITK stacks slices at their mean distance and at right angles, wherever they are."""
    position, orientation = "0020|0032", "0020|0037"
    if count < 2 or not all(reader.HasMetaDataKey(n, position) for n in range(count)):
        return
    points = np.array([reader.GetMetaData(n, position).split("\\") for n in range(count)], dtype=float)
    if reader.HasMetaDataKey(0, orientation):
        rows, columns = np.array(reader.GetMetaData(0, orientation).split("\\"), dtype=float).reshape(2, 3)
        way = points[-1] - points[0]
        along = abs(way @ np.cross(rows, columns)) / max(float(np.linalg.norm(way)), 1e-9)
        if (tilt := np.degrees(np.arccos(min(along, 1)))) > _MOST_TILT:
            raise InputError(
                f'The slices of the DICOM series in "{folder}" are tilted by {tilt:.3g} degrees against their stack '
                "(gantry tilt); load the series in 3D Slicer, which straightens it, and save it as NRRD."
            )
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    if np.ptp(steps) > 0.05 * steps.mean():
        raise InputError(
            f'The slices of the DICOM series in "{folder}" are unevenly spaced ({steps.min():.4g} to {steps.max():.4g} '
            "mm), perhaps one is missing; load the series in 3D Slicer and save it as NRRD."
        )


def _narrowed(itk: sitk.Image) -> sitk.Image:
    # GDCM gives int32 whenever the rescale intercept could leave 16 bits, which the values of a CT never do.
    if itk.GetPixelID() == sitk.sitkInt32:
        extremes = sitk.MinimumMaximumImageFilter()
        extremes.Execute(itk)
        if extremes.GetMinimum() >= -(2**15) and extremes.GetMaximum() < 2**15:
            return sitk.Cast(itk, sitk.sitkInt16)
    return itk


def _check_readable(path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise InputError(f'Cannot read "{path}": {error.strerror}.') from error


@contextmanager
def _unmistakable(path: Path) -> Iterator[Path]:
    """``path``, or a copy of it in another folder where ITK would read a neighbour instead.

    With ``a.nii`` beside it, ``a.nii.gz`` is given the voxels of ``a.nii`` (ITK issue 2243, nifti_clib issue 129).
    """
    if not (path.name.lower().endswith(".nii.gz") and path.with_suffix("").exists()):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copyfile(path, Path(folder) / "image.nii.gz"))


def _nifti_bytes(reader: sitk.ImageFileReader) -> int:
    """How many bytes, uncompressed, the header announces."""
    dimensions = [int(reader.GetMetaData(f"dim[{n + 1}]")) for n in range(int(reader.GetMetaData("dim[0]")))]
    voxels = math.prod(max(1, n) for n in dimensions)
    return int(float(reader.GetMetaData("vox_offset"))) + voxels * int(reader.GetMetaData("bitpix")) // 8


def _is_complete(path: Path, expected: int) -> bool:
    """Whether a NIfTI file has ``expected`` bytes, uncompressed. ITK fills up what is missing with zeros, silently."""
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return path.stat().st_size >= expected
        file.seek(-4, 2)
        # The last bytes of a gzip file are its uncompressed size. Only if that does not fit, because the file is cut
        # or because it has several parts, is it worth to go through all of it.
        if int.from_bytes(file.read(), "little") == expected % 2**32:
            return True
    return _gzip_size(path) >= expected


def _count_not_finite(path: Path, reader: sitk.ImageFileReader) -> int:
    """How many values of a NIfTI file are NaN or infinite. ITK turns them into zeros, silently."""
    kind = _NIFTI_FLOATS.get(reader.GetMetaData("datatype"))
    if kind is None:
        return 0
    count = 0
    with uncompressed(path) as stream:
        order = "<" if int.from_bytes(stream.read(4), "little") < 2**16 else ">"
        stream.seek(int(float(reader.GetMetaData("vox_offset"))))
        left = _nifti_bytes(reader) - stream.tell()
        while chunk := stream.read(min(left, _CHUNK)):
            left -= len(chunk)
            count += int(np.count_nonzero(~np.isfinite(np.frombuffer(chunk, order + kind))))
    return count


def _gzip_size(path: Path) -> int:
    """Uncompressed size of a gzip file, 0 when it is damaged."""
    total = 0
    try:
        with gzip.open(path) as stream:
            while chunk := stream.read(_CHUNK):
                total += len(chunk)
    except (EOFError, OSError, zlib.error):
        return 0
    return total


@contextmanager
def _silent_itk() -> Iterator[None]:
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
