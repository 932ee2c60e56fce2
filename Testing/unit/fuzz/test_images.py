"""Image files and DICOM folders with damaged content."""

from __future__ import annotations

import gzip
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from fuzzing import damaged, fuzzed, outcome
from hrseg.errors import InputError
from hrseg.image import image_to_itk, read_image, read_label_map
from image_helpers import grid, numbers

KINDS = {
    "int16.nii": (np.int16, {}),
    "float.nii.gz": (np.float32, {}),
    "int16.nrrd": (np.int16, {}),
    "packed.nrrd": (np.uint8, {"useCompression": True}),
    "a.seg.nrrd": (np.uint8, {"useCompression": True}),
    "float.mha": (np.float32, {}),
    "packed.mha": (np.int16, {"useCompression": True}),
    "grey.png": (np.uint8, {}),
    "colour.png": (np.uint8, {}),
    "grey.tif": (np.uint8, {}),
    "colour.jpg": (np.uint8, {}),
    "colour.bmp": (np.uint8, {}),
}


def picture(name: str, dtype: type) -> sitk.Image:
    if name.endswith((".nii", ".nii.gz", ".nrrd", ".mha")):
        return image_to_itk(numbers(dtype), grid("oblique"))
    shape = (6, 5, 3) if name.startswith("colour") else (6, 5)
    return sitk.GetImageFromArray(numbers(dtype, shape), isVector=len(shape) == 3)


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A whole file of each kind; of compressed NIfTI what is compressed."""
    folder, found = tmp_path_factory.mktemp("images"), {}
    for name, (dtype, how) in KINDS.items():
        sitk.WriteImage(picture(name, dtype), str(folder / name), **how)
        content = (folder / name).read_bytes()
        found[name] = gzip.decompress(content) if name.endswith(".gz") else content
    return found


def check(path: Path) -> None:
    """Both readers give an image on its grid, or refuse."""
    image, labels = outcome(read_image, path), outcome(read_label_map, path)
    if image:
        assert image.array.shape == (image.channels, *image.grid.shape)
        assert image.array.dtype.kind in "iuf"
    if labels:
        assert image is not None
        assert labels.array.shape == image.grid.shape


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
@fuzzed(60)
def test_damaged_file(name: str, contents: dict[str, bytes], tmp_path: Path, data: st.DataObject) -> None:
    content = data.draw(damaged(contents[name], list(contents.values())))
    path = tmp_path / name
    path.write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
    check(path)


@given(data=st.data())
@fuzzed(60)
def test_damaged_compression(contents: dict[str, bytes], tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(data.draw(damaged(gzip.compress(contents["int16.nii"], mtime=0))))
    check(path)


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
@given(data=st.data())
@fuzzed(60)
def test_damaged_header_beside_its_voxels(suffix: str, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / f"a{suffix}"
    if not (whole := tmp_path / f"whole{suffix}").exists():
        sitk.WriteImage(image_to_itk(numbers(np.int16), grid("oblique")), str(path))
        shutil.copy(path, whole)
    path.write_bytes(data.draw(damaged(whole.read_bytes())))
    check(path)


@given(data=st.data())
@fuzzed(120)
def test_damaged_dicom(dicom: dict[str, bytes], tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "ct"
    folder.mkdir(exist_ok=True)
    which = data.draw(st.sampled_from(sorted(dicom)))
    for name, content in dicom.items():
        (folder / name).write_bytes(data.draw(damaged(content)) if name == which else content)
    check(folder)


@pytest.fixture(scope="module")
def dicom(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Three slices of one series."""
    folder = tmp_path_factory.mktemp("series")
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(3):
        itk = sitk.GetImageFromArray(numbers(np.int16, (1, 4, 5)))
        tags = {
            "0008|0060": "CT",
            "0008|0018": f"1.2.3.{k}",
            "0020|000d": "1.2",
            "0020|000e": "1.2.3",
            "0020|0013": str(k),
            "0020|0032": f"0\\0\\{2.5 * k}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0028|0030": "0.5\\0.5",
            "0028|1052": "-1024",
            "0028|1053": "1",
        }
        for key, value in tags.items():
            itk.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{k}.dcm"))
        writer.Execute(itk)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_undamaged(contents: dict[str, bytes], dicom: dict[str, bytes], tmp_path: Path) -> None:
    for name, content in contents.items():
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        assert read_image(tmp_path / name).grid.shape[1:] in ((3, 4), (6, 5))
    (tmp_path / "ct").mkdir()
    for name, content in dicom.items():
        (tmp_path / "ct" / name).write_bytes(content)
    assert read_image(tmp_path / "ct").grid.shape == (3, 4, 5)


# ---- found once ----


def edited(path: Path, offset: int, kind: str, *values: float) -> Path:
    """The file with other numbers at an offset."""
    content = bytearray(path.read_bytes())
    struct.pack_into(kind, content, offset, *values)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("value", [np.inf, np.nan, 3e38])
@pytest.mark.parametrize("offset", [300, 260, 84])
def test_nifti_whose_axes_itk_would_look_for_for_ever(
    contents: dict[str, bytes], tmp_path: Path, offset: int, value: float
) -> None:
    (tmp_path / "a.nii").write_bytes(contents["int16.nii"])
    path = edited(edited(tmp_path / "a.nii", 252, "<2h", 1, 1), offset, "<f", value)
    with pytest.raises(InputError, match=r"geometry in the header of .* is not finite"):
        read_image(path)
    # Without these codes nobody looks at the matrices.
    if offset > 84:
        assert read_image(edited(path, 252, "<2h", 0, 0)).grid.shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("name", "size", "lie"),
    [
        ("int16.nrrd", b"sizes: 4 3 2", b"sizes: 1500 1500 1500"),
        ("packed.nrrd", b"sizes: 4 3 2", b"sizes: 1500 1500 1500"),
        ("float.mha", b"DimSize = 4 3 2", b"DimSize = 1500 1500 1500"),
        ("packed.mha", b"DimSize = 4 3 2", b"DimSize = 1500 1500 1500"),
        ("colour.bmp", struct.pack("<2i", 5, 6), struct.pack("<2i", 60000, 60000)),
    ],
)
def test_headers_that_announce_far_more_than_there_is(
    contents: dict[str, bytes], tmp_path: Path, name: str, size: bytes, lie: bytes
) -> None:
    assert contents[name].count(size) == 1
    (tmp_path / name).write_bytes(contents[name].replace(size, lie))
    with pytest.raises(InputError, match=r"announces (3375000000|3600000000) voxels, but the file is too small"):
        read_image(tmp_path / name)


@pytest.mark.parametrize("field", [b"type", b"sizes", b"space directions", b"nonsense"])
def test_long_lines_of_which_itk_would_crash(contents: dict[str, bytes], tmp_path: Path, field: bytes) -> None:
    head, voxels = contents["int16.nrrd"].split(b"\n\n", 1)
    lines = [line for line in head.split(b"\n") if not line.startswith(field)]
    for name in ("a.nrrd", "a.mha"):
        (tmp_path / name).write_bytes(b"\n".join([*lines, field + b": " + 9000 * b"x"]) + b"\n\n" + voxels)
        with pytest.raises(InputError, match=rf'has a line of \d+ bytes \("{field.decode()}: xxx.* \.\.\."\)'):
            read_image(tmp_path / name)


def test_long_lines_of_other_programs(contents: dict[str, bytes], tmp_path: Path) -> None:
    head, voxels = contents["int16.nrrd"].split(b"\n\n", 1)
    long = [start + 9000 * b"x" for start in (b"# ", b"content: ", b"Any key:=")]
    (tmp_path / "a.nrrd").write_bytes(b"\n".join([head, *long]) + b"\n\n" + voxels)
    assert np.array_equal(read_image(tmp_path / "a.nrrd").array[0], numbers(np.int16))


@pytest.mark.parametrize("value", ["-1", "100", "2147483648", "three"])
@pytest.mark.parametrize("separator", [" = ", ": "])
def test_dimensions_of_which_itk_would_crash(
    contents: dict[str, bytes], tmp_path: Path, value: str, separator: str
) -> None:
    content = contents["float.mha"]
    assert content.count(b"NDims = 3") == 1
    (tmp_path / "a.mha").write_bytes(content.replace(b"NDims = 3", f"NDims{separator}{value}".encode()))
    with pytest.raises(InputError, match=f'announces "{value}" dimensions'):
        read_image(tmp_path / "a.mha")


def test_zeros_that_were_packed_well_are_no_lie(tmp_path: Path) -> None:
    itk = sitk.GetImageFromArray(np.zeros((200, 200, 200), np.uint8))
    for name in ("a.nrrd", "a.mha"):
        sitk.WriteImage(itk, str(tmp_path / name), useCompression=True, compressionLevel=9)
        assert (tmp_path / name).stat().st_size < 9000
        assert read_image(tmp_path / name).grid.shape == (200, 200, 200)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_small_header_with_voxels_in_another_file_is_no_lie(suffix: str, tmp_path: Path) -> None:
    array = np.arange(10**6, dtype=np.uint8).reshape(100, 100, 100)
    detached = ".nhdr" if suffix == ".nrrd" else ".mhd"
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"a{detached}"))
    (tmp_path / f"a{detached}").rename(tmp_path / f"a{suffix}")
    assert np.array_equal(read_image(tmp_path / f"a{suffix}").array[0], array)
