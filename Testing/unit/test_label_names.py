import numpy as np
import pytest

from hrseg.errors import InputError
from hrseg.geometry import Grid
from hrseg.image import LabelMap, write_image
from hrseg.label_names import check_names, described_names, few, parse_names, proposed_names, read_description
from hrseg.labels import Label
from hrseg.segmentation_file import write_segmentation

GRID = Grid.from_spacing((1, 1, 40))


def label_file(path, *values):
    array = np.zeros(GRID.shape, np.uint8)
    array[0, 0, : len(values)] = values
    if path.name.endswith(".seg.nrrd"):
        labels = [Label(value=1, name="liver", color=(1, 2, 3)), Label(value=4, name="cyst", color=(1, 2, 3))]
        write_segmentation(path, LabelMap(array, GRID), labels)
    else:
        write_image(path, array, GRID)
    return path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("liver", {1: "liver"}),
        ("liver, liver lesion", {1: "liver", 2: "liver lesion"}),
        ("3=liver, 1 = lesion", {3: "liver", 1: "lesion"}),
    ],
)
def test_names_of_the_user(text, names):
    assert parse_names(text) == names


@pytest.mark.parametrize("text", ["", "1=", "0=air", "a=liver", "1=a,1=b", "liver,,lesion", "-1=x", "2=a,b"])
def test_names_that_cannot_be_used(text):
    with pytest.raises(InputError, match=f'The labels "{text}" must be values from 1'):
        parse_names(text)


def test_names_of_the_data_set(tmp_path):
    assert described_names({"labels": {"0": "background", "2": "liver"}}) == {2: "liver"}
    assert described_names({"labels": {"background": 0, "liver": 2, "3rd": "3"}}) == {2: "liver", 3: "3rd"}
    for nothing in ({}, [], {"labels": ["liver"]}):
        assert described_names(nothing) == {}
    with pytest.raises(InputError, match=r'The label "whole" of dataset.json is \[1, 2\], no single value'):
        described_names({"labels": {"whole": [1, 2]}})
    assert read_description(tmp_path) == {}
    (tmp_path / "dataset.json").write_text("[1]")
    assert read_description(tmp_path) == {}


def test_names_that_the_files_let_guess(tmp_path):
    files = [
        label_file(tmp_path / "a.nrrd", 2, 1),
        label_file(tmp_path / "b.nrrd", 0),
        label_file(tmp_path / "c.mha", 7),
    ]
    assert proposed_names(files) == {1: "label 1", 2: "label 2", 7: "label 7"}
    with pytest.raises(InputError, match=r'b\.nrrd", hold nothing but 0'):
        proposed_names(files[1:2])
    with pytest.raises(InputError, match="hold 21 values up to 21; name each by"):
        proposed_names([label_file(tmp_path / "d.nrrd", *range(1, 22))])


def test_slicers_segments_have_names(tmp_path):
    assert proposed_names([label_file(tmp_path / "a.seg.nrrd", 4)]) == {1: "liver", 4: "cyst"}


def test_a_value_that_is_another_segment_elsewhere(tmp_path):
    files = [label_file(tmp_path / f"{name}.seg.nrrd", 4) for name in "ab"]
    files[1].write_bytes(files[1].read_bytes().replace(b"cyst", b"mole"))
    with pytest.raises(
        InputError, match=r'value 4 is "cyst" in ".*a\.seg\.nrrd" but "mole" in ".*b\.seg\.nrrd"; export'
    ):
        proposed_names(files)


def test_values_without_a_name(tmp_path):
    files = [label_file(tmp_path / "a.nrrd", 1), label_file(tmp_path / "b.nrrd", 1, 255)]
    check_names({1: "liver", 2: "lesion", 255: "x"}, files)
    with pytest.raises(InputError, match=r'b\.nrrd" holds the value 255, but the names are those of 1, 2; name it'):
        check_names({1: "liver", 2: "lesion"}, files)


def test_a_few_files_are_spread_over_all():
    assert few([1]) == [1]
    assert few([1, 2, 3]) == [1, 2, 3]
    assert few(list(range(101))) == [0, 25, 50, 75, 100]
