from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from hrseg.errors import InputError
from hrseg.geometry import Box
from hrseg.image import (
    VOLUME_SUFFIXES,
    Image,
    LabelMap,
    image_from_itk,
    image_to_itk,
    read_image,
    read_label_map,
    write_image,
)
from image_helpers import AXES, SHAPE, grid, numbers, one_line

# ---- round trips ----


@pytest.mark.parametrize("kind", AXES)
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
@pytest.mark.parametrize("suffix", VOLUME_SUFFIXES)
def test_round_trip(suffix: str, dtype: type, kind: str, tmp_path: Path) -> None:
    array = numbers(dtype)
    write_image(tmp_path / f"case{suffix}", array, grid(kind))
    image = read_image(tmp_path / f"case{suffix}")
    assert image.array.dtype == dtype
    assert np.array_equal(image.array, array[None])
    assert image.grid.matches(grid(kind), tolerance=1e-4)
    assert image.name == "case"
    assert (image.channels, image.is_2d) == (1, False)


@pytest.mark.parametrize("suffix", VOLUME_SUFFIXES)
@pytest.mark.parametrize("shape", [(3, 2, 3, 4), (1, 2, 3, 4), (3, 1, 3, 4)])
def test_round_trip_with_channels(suffix: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = numbers(np.uint8, shape)
    write_image(tmp_path / f"a{suffix}", array, grid(shape=shape[1:]))
    assert np.array_equal(read_image(tmp_path / f"a{suffix}").array, array)


@pytest.mark.parametrize(
    ("dtype", "written"), [(np.bool_, np.uint8), (np.int64, np.int32), (np.uint64, np.int32), (np.float16, np.float32)]
)
def test_types_without_a_file_type_are_converted(dtype: type, written: type, tmp_path: Path) -> None:
    write_image(tmp_path / "a.nrrd", np.ones(SHAPE, dtype=dtype), grid())
    array = read_image(tmp_path / "a.nrrd").array
    assert array.dtype == written
    assert (array == 1).all()


def test_file_is_lps_and_memory_is_ras(tmp_path: Path) -> None:
    write_image(tmp_path / "a.mha", numbers(np.uint8), grid())
    itk = sitk.ReadImage(str(tmp_path / "a.mha"))
    assert itk.GetOrigin() == pytest.approx((-10, 20, 30))
    assert itk.GetSpacing() == pytest.approx((0.3, 0.4, 5.0))
    assert itk.GetDirection() == pytest.approx((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    assert itk.GetSize() == (4, 3, 2)
    assert itk.GetPixel(3, 2, 1) == numbers(np.uint8)[1, 2, 3]


def test_itk_and_back() -> None:
    image = image_from_itk(image_to_itk(numbers(np.int16), grid("oblique")), name="x")
    assert np.array_equal(image.array[0], numbers(np.int16))
    assert image.grid.matches(grid("oblique"))


# ---- flat images ----


@pytest.mark.parametrize(
    ("suffix", "channels"), [(".png", 1), (".png", 3), (".PNG", 1), (".tif", 1), (".tif", 3), (".tiff", 3), (".bmp", 3)]
)
def test_flat_images(suffix: str, channels: int, tmp_path: Path) -> None:
    array = numbers(np.uint8, (3, 4, channels))
    itk = sitk.GetImageFromArray(array if channels == 3 else array[..., 0], isVector=channels == 3)
    sitk.WriteImage(itk, str(tmp_path / f"a{suffix}"))
    image = read_image(tmp_path / f"a{suffix}")
    assert image.is_2d
    assert image.array.shape == (channels, 1, 3, 4)
    assert np.array_equal(image.array[:, 0], np.moveaxis(array, -1, 0))
    assert image.grid.spacing == pytest.approx((1, 1, 1))
    assert image.grid.orientation == "LPS"


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg(channels: int, tmp_path: Path) -> None:
    array = np.full((8, 8, channels), 200, dtype=np.uint8)
    itk = sitk.GetImageFromArray(array if channels == 3 else array[..., 0], isVector=channels == 3)
    sitk.WriteImage(itk, str(tmp_path / "a.jpg"))
    image = read_image(tmp_path / "a.jpg")
    assert image.array.shape == (channels, 1, 8, 8)
    assert np.abs(image.array.astype(int) - 200).max() <= 2


@pytest.mark.parametrize(("suffix", "colours"), [(".png", 3), (".tif", 3), (".tif", 1)])
def test_alpha_is_dropped(suffix: str, colours: int, tmp_path: Path) -> None:
    array = numbers(np.uint8, (3, 4, colours + 1))
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=True), str(tmp_path / f"a{suffix}"))
    assert np.array_equal(read_image(tmp_path / f"a{suffix}").array[:, 0], np.moveaxis(array, -1, 0)[:colours])


@pytest.mark.parametrize("components", [2, 4])
def test_no_channel_of_a_volume_is_taken_for_alpha(components: int, tmp_path: Path) -> None:
    itk = sitk.GetImageFromArray(numbers(np.int16, (2, 3, 4, components)), isVector=True)
    sitk.WriteImage(itk, str(tmp_path / "a.mha"))
    with pytest.raises(InputError, match=f'"a" has {components} channels; gray'):
        read_image(tmp_path / "a.mha")


def test_grey_png_with_alpha_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    sitk.WriteImage(sitk.GetImageFromArray(numbers(np.uint8, (3, 4, 2)), isVector=True), str(path))
    with pytest.raises(InputError, match="save it without alpha") as error:
        read_image(path)
    one_line(error, path)


def test_sixteen_bit_png(tmp_path: Path) -> None:
    array = np.array([[0, 300], [1000, 65535]], dtype=np.uint16)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "a.png"))
    assert np.array_equal(read_label_map(tmp_path / "a.png").array[0], array)


def test_other_numbers_of_channels_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nrrd", numbers(np.uint8, (5, *SHAPE)), grid())
    with pytest.raises(InputError, match='"a" has 5 channels'):
        read_image(tmp_path / "a.nrrd")


# ---- label maps ----


def test_label_map_of_whole_floats(tmp_path: Path) -> None:
    array = np.array([0.0, 1, 2, 300], dtype=np.float32).reshape(1, 2, 2)
    write_image(tmp_path / "a.nii.gz", array, grid(shape=(1, 2, 2)))
    found = read_label_map(tmp_path / "a.nii.gz")
    assert found.array.dtype == np.int32
    assert found.array.ravel().tolist() == [0, 1, 2, 300]


def test_label_map_with_fractions(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz", np.full(SHAPE, 0.5, dtype=np.float32), grid())
    with pytest.raises(InputError, match=r"not whole numbers, such as 0\.5") as error:
        read_label_map(tmp_path / "a.nii.gz")
    one_line(error, tmp_path / "a.nii.gz")


def test_label_map_with_nan(tmp_path: Path) -> None:
    array = np.zeros(SHAPE, dtype=np.float32)
    array[0, 0, :2] = np.nan, np.inf
    write_image(tmp_path / "a.nrrd", array, grid())
    with pytest.raises(InputError, match="2 voxels that are NaN or infinite"):
        read_label_map(tmp_path / "a.nrrd")


def test_a_voxel_counts_once_whatever_its_channels_are() -> None:
    array = np.zeros((3, *SHAPE), dtype=np.float32)
    array[:2, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match='"colors" has 1 voxel that is NaN or infinite; use a number instead'):
        Image(array, grid(), "colors").check_finite()


def test_label_map_in_colour(tmp_path: Path) -> None:
    grey = np.repeat(numbers(np.uint8)[None], 3, axis=0)
    write_image(tmp_path / "grey.nrrd", grey, grid())
    found = read_label_map(tmp_path / "grey.nrrd").array
    np.testing.assert_array_equal(found, grey[0], strict=True)
    grey[2, 0, 0, 0] += 1
    write_image(tmp_path / "colour.nrrd", grey, grid())
    with pytest.raises(InputError, match="color image of 3 channels"):
        read_label_map(tmp_path / "colour.nrrd")


# ---- in memory ----


def test_reorienting_turns_voxels_and_grid_together() -> None:
    change = grid().reorientation("PIR")
    image = Image(numbers(np.int16)[None], grid()).reoriented(change)
    labels = LabelMap(numbers(np.int16), grid(), names={1: "one"}).reoriented(change)
    for index in np.ndindex(image.grid.shape):
        there = np.rint(grid().to_index(image.grid.to_world(index))).astype(int)
        assert image.array[0][index] == labels.array[index] == numbers(np.int16)[tuple(there)]
    assert labels.grid.orientation == "PIR"
    assert labels.names == {1: "one"}


def test_a_part_stays_where_it_was() -> None:
    image, box = Image(numbers(np.int16)[None], grid(), "case"), Box((0, 1, 2), (2, 3, 3))
    part = image.crop(box)
    assert (part.name, part.array.shape) == ("case", (1, 2, 2, 1))
    for index in np.ndindex(part.grid.shape):
        there = tuple(np.add(index, box.start))
        assert part.array[0][index] == image.array[0][there]
        np.testing.assert_allclose(part.grid.to_world(index), image.grid.to_world(there))


def test_wrong_shapes_and_types_are_refused() -> None:
    with pytest.raises(InputError, match=r"not \(2, 3, 4\)"):
        Image(numbers(np.int16), grid())
    with pytest.raises(InputError, match=r"not \(1, 2, 3, 5\)"):
        Image(numbers(np.int16, (1, 2, 3, 5)), grid())
    with pytest.raises(InputError, match="float32"):
        LabelMap(numbers(np.float32), grid())
    with pytest.raises(InputError, match=r"\(2, 3, 5\)"):
        LabelMap(numbers(np.int16, (2, 3, 5)), grid())
