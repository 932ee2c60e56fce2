from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicerio

from hrseg.errors import InputError, OutputError
from hrseg.geometry import Grid
from hrseg.image import LabelMap, read_label_map
from hrseg.labels import Label
from hrseg.segmentation_file import write_label_map, write_segmentation
from hrseg.structures import label

LABELS = [label(1, "liver"), label(2, "liver_lesion", name="lesion A"), Label(5, "no codes", (10, 20, 30))]
AFFINE = np.array([[0, 0.3, 0, 10], [0.3, 0, 0, -20], [0, 0, 5, 30], [0, 0, 0, 1.0]])  # left-handed, permuted


def label_map(dtype: type = np.int64) -> LabelMap:
    array = np.zeros((2, 3, 4), dtype=dtype)
    array[0, 1, 2], array[1, 0, :2] = 1, 2
    return LabelMap(array, Grid(array.shape, AFFINE))


def read(path: Path) -> dict[str, Any]:
    return dict(slicerio.read_segmentation(str(path)))


def test_voxels_and_geometry_come_back(tmp_path: Path) -> None:
    write_segmentation(tmp_path / "a.seg.nrrd", label_map(), LABELS)
    found = read(tmp_path / "a.seg.nrrd")
    assert np.array_equal(found["voxels"].transpose(2, 1, 0), label_map().array)
    np.testing.assert_allclose(np.diag([-1, -1, 1, 1]) @ found["ijkToLPS"], AFFINE)
    back = read_label_map(tmp_path / "a.seg.nrrd")
    assert np.array_equal(back.array, label_map().array)
    assert back.grid.matches(label_map().grid)


def test_names_colors_and_codes_come_back(tmp_path: Path) -> None:
    write_segmentation(tmp_path / "a.seg.nrrd", label_map(), LABELS)
    liver, lesion, plain = read(tmp_path / "a.seg.nrrd")["segments"]
    assert [s["name"] for s in (liver, lesion, plain)] == ["liver", "lesion A", "no codes"]
    assert [s["labelValue"] for s in (liver, lesion, plain)] == [1, 2, 5]
    assert [s["id"] for s in (liver, lesion, plain)] == ["Segment_1", "Segment_2", "Segment_5"]
    assert np.rint(np.multiply(plain["color"], 255)).tolist() == [10, 20, 30]
    assert lesion["terminology"]["type"] == ["SCT", "4147007", "Mass"]
    assert lesion["terminology"]["anatomicRegion"] == ["SCT", "10200004", "Liver"]
    assert "terminology" not in plain
    assert liver["extent"] == [0, 3, 0, 2, 0, 1]


def test_map_without_any_label_keeps_all_segments(tmp_path: Path) -> None:
    empty = LabelMap(np.zeros((2, 3, 4), dtype=np.uint8), label_map().grid)
    write_segmentation(tmp_path / "a.seg.nrrd", empty, LABELS)
    found = read(tmp_path / "a.seg.nrrd")
    assert len(found["segments"]) == 3
    assert not found["voxels"].any()


@pytest.mark.parametrize(("value", "dtype"), [(255, np.uint8), (256, np.int16), (40000, np.int32)])
def test_smallest_type_that_holds_the_values(value: int, dtype: type, tmp_path: Path) -> None:
    array = np.full((1, 2, 2), value, dtype=np.int64)
    write_segmentation(
        tmp_path / "a.seg.nrrd", LabelMap(array, Grid.from_spacing((1, 2, 2))), [Label(value, "x", (1, 2, 3))]
    )
    voxels = read(tmp_path / "a.seg.nrrd")["voxels"]
    assert voxels.dtype == dtype
    assert (voxels == value).all()
    # A label without voxels counts as well: users may draw it.
    empty = LabelMap(np.zeros_like(array), Grid.from_spacing((1, 2, 2)))
    write_segmentation(tmp_path / "a.seg.nrrd", empty, [Label(value, "x", (1, 2, 3))])
    assert read(tmp_path / "a.seg.nrrd")["voxels"].dtype == dtype


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ".seg.nrrd", ".SEG.NRRD"])
def test_ending_decides(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write_label_map(path, label_map(np.uint8), LABELS)
    back = read_label_map(path)
    assert np.array_equal(back.array, label_map().array)
    assert back.grid.matches(label_map().grid)
    assert ("Segment0_Name:=liver" in path.read_bytes().decode("latin-1")) == (".seg" in suffix.lower())


def test_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'"a\.bmp".*\.seg\.nrrd, \.nii\.gz'):
        write_label_map(tmp_path / "a.bmp", label_map(), LABELS)


def test_value_without_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no label describes \(2\)"):
        write_segmentation(tmp_path / "a.seg.nrrd", label_map(), LABELS[:1])
    assert not list(tmp_path.iterdir())


def test_two_labels_of_one_value_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\[1, 2, 5, 1\]"):
        write_segmentation(tmp_path / "a.seg.nrrd", label_map(), [*LABELS, LABELS[0]])


@pytest.mark.parametrize("name", ["Läsion", "two\nlines"])
def test_name_that_the_header_cannot_hold_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="of label 1 cannot be written"):
        write_segmentation(tmp_path / "a.seg.nrrd", label_map(), [label(1, "liver", name=name), *LABELS[1:]])


def test_sheared_grid_is_refused(tmp_path: Path) -> None:
    sheared = AFFINE.copy()
    sheared[0, 0] = 0.2
    with pytest.raises(InputError, match="right angles"):
        write_segmentation(tmp_path / "a.seg.nrrd", LabelMap(label_map().array, Grid((2, 3, 4), sheared)), LABELS)


def test_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "slicerio", None)
    with pytest.raises(OutputError, match="pip install slicerio"):
        write_label_map(tmp_path / "a.seg.nrrd", label_map(), LABELS)


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.seg.nrrd"
    path.write_text("old")

    def full(file: str, *_: object, **__: object) -> None:
        Path(file).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(slicerio, "write_segmentation", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_segmentation(path, label_map(), LABELS)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
