"""PNG files of masks and images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from hrseg.errors import InputError
from hrseg.geometry import Grid
from hrseg.image import read_image, read_label_map, write_image
from hrseg.pictures import is_picture

FLAT = Grid.from_spacing((1, 2, 3))
VALUES = np.array([[[0, 1, 2], [3, 254, 255]]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_a_mask_has_eight_bits(tmp_path: Path, dtype: type) -> None:
    write_image(tmp_path / "a.PNG", VALUES.astype(dtype), FLAT)
    itk = sitk.ReadImage(str(tmp_path / "a.PNG"))
    assert (itk.GetPixelIDTypeAsString(), itk.GetSize()) == ("8-bit unsigned integer", (3, 2))
    assert np.array_equal(sitk.GetArrayFromImage(itk), VALUES[0])
    assert np.array_equal(read_label_map(tmp_path / "a.PNG").array, VALUES)
    assert [path.name for path in tmp_path.iterdir()] == ["a.PNG"]


def test_numbered_objects_keep_sixteen_bits(tmp_path: Path) -> None:
    many = np.array([[[0, 1, 700], [256, 65535, 2]]], dtype=np.uint16)
    write_image(tmp_path / "a.png", many, FLAT)
    found = read_label_map(tmp_path / "a.png").array
    np.testing.assert_array_equal(found, many, strict=True)


@pytest.mark.parametrize("channels", [1, 3])
def test_images(tmp_path: Path, channels: int) -> None:
    array = np.arange(channels * 6, dtype=np.uint8).reshape(channels, 1, 2, 3)
    write_image(tmp_path / "a.png", array, FLAT)
    assert np.array_equal(read_image(tmp_path / "a.png").array, array)


def test_true_and_false(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", VALUES > 2, FLAT)
    assert read_label_map(tmp_path / "a.png").array.ravel().tolist() == [0, 0, 0, 1, 1, 1]


def test_a_finer_mask_covers_its_picture(tmp_path: Path) -> None:
    fine = Grid.from_spacing((1, 20, 30), 0.35).finer([1, 2, 2])
    write_image(tmp_path / "a.png", np.ones(fine.shape, np.uint8), fine)
    itk = sitk.ReadImage(str(tmp_path / "a.png"))
    assert np.multiply(itk.GetSize(), itk.GetSpacing()) == pytest.approx([30 * 0.35, 20 * 0.35], rel=1e-3)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((2, 2, 3), np.uint8), "a picture has one slice, not 2"),
        (np.zeros((2, 1, 2, 3), np.uint8), "a picture has one or three channels, not 2"),
        (np.zeros((1, 2, 3), np.float32), "a picture holds whole numbers, not fractions such as probabilities"),
        (VALUES + 1, "a picture holds values from 0 to 255, not from 1 to 256"),
        (VALUES.astype(np.int32) - 3, "a picture holds values from 0 to 255, not from -3 to 252"),
    ],
)
def test_what_png_cannot_hold(tmp_path: Path, array: np.ndarray, reason: str) -> None:
    with pytest.raises(InputError) as error:
        write_image(tmp_path / "a.png", array, Grid.from_spacing(array.shape[-3:]))
    assert str(error.value) == (
        f'Cannot write "a.png": {reason}; choose a name that ends in one of .nii.gz, .nii, .nrrd, .mha.'
    )
    assert not list(tmp_path.iterdir())


def test_pictures_by_name() -> None:
    assert [is_picture(name) for name in ("a.JPG", "b/a.png", "a.tiff", "png", "a.nii.gz", "a.nrrd")] == [
        *[True] * 3,
        *[False] * 3,
    ]
