from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from hrseg.errors import InputError, OutputError
from hrseg.geometry import Grid
from hrseg.image import VOLUME_SUFFIXES, replacing, write_image
from image_helpers import SHAPE, grid, numbers, one_line


def assert_old_file_survives(path: Path) -> None:
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("suffix", VOLUME_SUFFIXES)
def test_full_disk(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text("old")

    def full(itk: sitk.Image, name: str, **_: object) -> None:
        Path(name).write_text("half")
        raise RuntimeError("Exception thrown in SimpleITK WriteImage: itk.cxx:100:\nITK ERROR: x\nNo space left\n")

    monkeypatch.setattr(sitk, "WriteImage", full)
    with pytest.raises(OutputError, match="not all of it could be written") as error:
        write_image(path, numbers(np.int16), grid())
    one_line(error, path)
    assert_old_file_survives(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_full_disk_that_goes_unnoticed(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / f"a{suffix}", sitk.WriteImage
    path.write_text("old")

    def cut(itk: sitk.Image, name: str, **options: bool) -> None:
        write(itk, name, **options)
        os.truncate(name, os.path.getsize(name) - 8)

    monkeypatch.setattr(sitk, "WriteImage", cut)
    with pytest.raises(OutputError, match="not all of it could be written"):
        write_image(path, numbers(np.int16), grid())
    assert_old_file_survives(path)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no folder"):
        write_image(tmp_path / "none" / "a.nrrd", numbers(np.int16), grid())


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(OutputError, match="there is no folder"):
        write_image(tmp_path / "file" / "a.nrrd", numbers(np.int16), grid())
    assert_old_file_survives(tmp_path / "file")


def test_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> tuple[int, str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(OutputError, match="Permission denied") as error:
        write_image(tmp_path / "a.nrrd", numbers(np.int16), grid())
    one_line(error, tmp_path / "a.nrrd")


@pytest.mark.parametrize("name", ["a.jpg", "a.mhd", "a", "a.nii.zip"])
def test_unwritable_type(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must end in one of \.nii\.gz"):
        write_image(tmp_path / name, numbers(np.int16), grid())
    assert not list(tmp_path.iterdir())


def test_sheared_grid_cannot_be_written(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.1
    with pytest.raises(InputError, match="right angles"):
        write_image(tmp_path / "a.nrrd", numbers(np.int16), Grid(SHAPE, affine))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, InputError])
def test_interrupted_write_leaves_nothing(error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error
    assert_old_file_survives(path)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("a\nb"), RuntimeError()])
def test_failed_write_becomes_an_output_error(error: Exception, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OutputError, match="free space") as caught, replacing(path):
        raise error
    one_line(caught, path)
    assert_old_file_survives(path)


def test_replacing_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "a.seg.nrrd"
    path.write_text("old")
    with replacing(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith(".seg.nrrd")
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
