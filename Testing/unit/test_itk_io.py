from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from hrseg.errors import InputError
from hrseg.geometry import Grid
from hrseg.image import VOLUME_SUFFIXES, image_to_itk, read_image, read_label_map, write_image
from image_helpers import SHAPE, grid, numbers, one_line

# ---- NIfTI and NRRD ----


def test_volume_stored_in_four_dimensions(tmp_path: Path) -> None:
    for suffix in (".nii.gz", ".nrrd"):
        path = tmp_path / f"a{suffix}"
        sitk.WriteImage(sitk.JoinSeries([image_to_itk(numbers(np.int16), grid("permuted"))]), str(path))
        image = read_image(path)
        assert np.array_equal(image.array[0], numbers(np.int16))
        assert image.grid.matches(grid("permuted"), tolerance=1e-4)


def test_compressed_nifti_beside_an_uncompressed_one_of_the_same_name(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz", numbers(np.int16), grid())
    write_image(tmp_path / "a.nii", np.zeros((4, 4, 4), dtype=np.float32), grid(shape=(4, 4, 4)))
    assert np.array_equal(read_image(tmp_path / "a.nii.gz").array[0], numbers(np.int16))
    assert not read_image(tmp_path / "a.nii").array.any()


def test_gzip_of_several_parts_is_complete(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii", numbers(np.int16), grid())
    data = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(data[:360]) + gzip.compress(data[360:]))
    assert np.array_equal(read_image(tmp_path / "b.nii.gz").array[0], numbers(np.int16))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_nan_in_nifti_does_not_become_zero(suffix: str, kind: type, tmp_path: Path) -> None:
    array = np.ones((7, 6, 5), dtype=kind)
    write_image(tmp_path / f"a{suffix}", array, grid(shape=array.shape))
    assert np.array_equal(read_image(tmp_path / f"a{suffix}").array[0], array)
    array[0, 0, 0], array[-1, -1, -1] = np.nan, np.inf
    write_image(tmp_path / f"a{suffix}", array, grid(shape=array.shape))
    with pytest.raises(InputError, match="has 2 voxels that are NaN or infinite") as error:
        read_image(tmp_path / f"a{suffix}")
    one_line(error, tmp_path / f"a{suffix}")


# ---- DICOM ----


def write_series(
    folder: Path,
    array: NDArray,
    where: Grid,
    order: Sequence[int],
    uid: str = "1.2.3.4",
    places: Grid | None = None,
) -> None:
    """One file per slice, named in the given order; ``places``: where slices lie, if elsewhere."""
    folder.mkdir(exist_ok=True)
    directions = np.reshape(image_to_itk(array, where).GetDirection(), (3, 3))
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for n, k in enumerate(order):
        slice_ = sitk.GetImageFromArray(array[k : k + 1])
        slice_.SetSpacing(where.spacing[::-1])
        position = (places or where).to_world((k, 0, 0)) * (-1, -1, 1)
        tags = {
            "0008|0060": "CT",
            "0008|0018": f"{uid}.{k + 1}",
            "0020|000d": "1.2.3",
            "0020|000e": uid,
            "0020|0013": str(n + 1),
            "0020|0032": "\\".join(f"{v:.10g}" for v in position),
            "0020|0037": "\\".join(f"{v:.10g}" for v in directions.T[:2].ravel()),
            "0028|1052": "-1024",
            "0028|1053": "1",
        }
        for key, value in tags.items():
            slice_.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{uid}-{n:03}.dcm"))
        writer.Execute(slice_)


def hounsfield() -> NDArray:
    return np.random.default_rng(1).integers(-1000, 2000, (4, 5, 6)).astype(np.int16)


@pytest.mark.parametrize("kind", ["plain", "oblique", "permuted"])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_dicom_series(kind: str, order: tuple[int, ...], tmp_path: Path) -> None:
    write_series(tmp_path / "ct", hounsfield(), grid(kind, (4, 5, 6)), order)
    image = read_image(tmp_path / "ct")
    assert image.array.dtype == np.int16
    assert image.name == "ct"
    for index in ((0, 0, 0), (1, 2, 3), (3, 4, 5)):
        there = np.rint(image.grid.to_index(grid(kind).to_world(index))).astype(int)
        np.testing.assert_allclose(image.grid.to_world(there), grid(kind).to_world(index), atol=1e-4)
        assert image.array[0][tuple(there)] == hounsfield()[index]


def test_dicom_values_beyond_16_bits_are_kept(tmp_path: Path) -> None:
    array = (hounsfield() + 1000).astype(np.uint16)
    array[0, 0, 0] = 64000
    write_series(tmp_path, array, grid(shape=(4, 5, 6)), range(4))
    assert np.array_equal(read_image(tmp_path).array[0], array)


def test_folder_without_dicom(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="holds no DICOM series") as error:
        read_image(tmp_path)
    one_line(error, tmp_path)


def test_folder_with_two_series(tmp_path: Path) -> None:
    for uid in ("1.2.3.4", "1.2.3.5"):
        write_series(tmp_path, hounsfield(), grid(shape=(4, 5, 6)), range(4), uid)
    with pytest.raises(InputError, match="holds 2 DICOM series") as error:
        read_image(tmp_path)
    one_line(error, tmp_path)


def test_series_with_a_missing_slice(tmp_path: Path) -> None:
    write_series(tmp_path, hounsfield(), grid(shape=(4, 5, 6)), (0, 1, 3))
    with pytest.raises(InputError, match=r"unevenly spaced \(5 to 10 mm\)") as error:
        read_image(tmp_path)
    one_line(error, tmp_path)


def test_series_with_gantry_tilt(tmp_path: Path) -> None:
    where = grid(shape=(4, 5, 6))
    sheared = where.affine.copy()
    # The table moves straight on, while the slices lean by 20 degrees.
    thickness = np.linalg.norm(sheared[:3, 2])
    sheared[:3, 2] += np.tan(np.deg2rad(20)) * thickness * sheared[:3, 1] / np.linalg.norm(sheared[:3, 1])
    write_series(tmp_path, hounsfield(), where, range(4), places=Grid(where.shape, sheared))
    with pytest.raises(
        InputError, match=r"are tilted by 20 degrees against their stack \(gantry tilt\); load"
    ) as error:
        read_image(tmp_path)
    one_line(error, tmp_path)


# ---- files that cannot be read ----


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file") as error:
        read_image(tmp_path / "a.nii.gz")
    one_line(error, tmp_path / "a.nii.gz")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".jpg", ".tif", ".xyz"])
@pytest.mark.parametrize("content", [b"", b"this is not an image\n" * 40])
def test_file_of_another_type(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a complete image of the type that its name says") as error:
        read_image(path)
    one_line(error, path)


@pytest.mark.parametrize("suffix", VOLUME_SUFFIXES)
@pytest.mark.parametrize("part", [0.05, 0.5, 0.9, 0.99])
def test_truncated_file(suffix: str, part: float, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(path, numbers(np.float32, (9, 9, 9)), grid(shape=(9, 9, 9)))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(InputError, match=r"incomplete|not a complete") as error:
        read_image(path)
    one_line(error, path)


def test_damaged_nifti(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    write_image(path, numbers(np.float32, (9, 9, 9)), grid(shape=(9, 9, 9)))
    data = bytearray(path.read_bytes())
    data[-4:] = b"\0\0\0\0"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"incomplete|not a complete"):
        read_image(path)


def test_four_dimensions(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    sitk.WriteImage(sitk.JoinSeries([image_to_itk(numbers(np.int16), grid())] * 2), str(path))
    with pytest.raises(InputError, match=r"4 dimensions \(4, 3, 2, 2\)") as error:
        read_image(path)
    one_line(error, path)


@pytest.mark.parametrize("shear", [0.3, 0.02])
def test_sheared_nifti(shear: float, tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii", numbers(np.int16), grid())
    data = bytearray((tmp_path / "a.nii").read_bytes())
    struct.pack_into("<2h", data, 252, 0, 1)  # qform_code, sform_code
    struct.pack_into("<12f", data, 280, 1, shear, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)  # sform
    (tmp_path / "b.nii").write_bytes(data)
    with pytest.raises(InputError, match="not at right angles") as error:
        read_image(tmp_path / "b.nii")
    one_line(error, tmp_path / "b.nii")


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_overlapping_segments(layers: int, tmp_path: Path) -> None:
    itk = sitk.GetImageFromArray(numbers(np.uint8, (*SHAPE, layers)), isVector=True)
    itk.SetMetaData("Segment0_ID", "Segment_1")
    path = tmp_path / "a.seg.nrrd"
    sitk.WriteImage(itk, str(path))
    for read in (read_image, read_label_map):
        with pytest.raises(InputError, match=r"overlap; export them .* as a label map") as error:
            read(path)
        one_line(error, path)
