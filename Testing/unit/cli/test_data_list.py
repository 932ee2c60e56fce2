import json

import numpy as np
import pytest

from hrseg.data_list import read_case, read_data_list
from hrseg.geometry import Grid
from hrseg.image import write_image

GRID = Grid.from_spacing((2, 3, 4))


@pytest.fixture
def scans(tmp_path):
    """Five scans of images/ and labels/, each with the values 0, 1 and 3."""
    folder = tmp_path / "scans"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
        for number in range(5):
            array = np.full(GRID.shape, 3 * (name == "labels"), np.uint8)
            array[0, 0, :2] = 0, 1
            write_image(folder / name / f"p{number}.nii.gz", array, GRID)
    return folder


def test_a_list_that_can_be_used_and_moved(hrseg, scans, tmp_path):
    target = scans / "list.json"
    done = hrseg("data-list", scans, "--labels", "1=liver,3=lesion", "-o", target)
    assert (done.code, done.out) == (0, "")
    assert done.err == f'Data list: "{target}" (training 3, validation 1, test 1; labels: 1 liver, 3 lesion).\n'
    moved = read_data_list(scans.rename(tmp_path / "elsewhere") / "list.json")
    assert (moved.name, moved.labels) == ("scans", {1: "liver", 3: "lesion"})
    assert {split: len(cases) for split, cases in moved.splits.items()} == {"training": 3, "validation": 1, "test": 1}
    _, truth = read_case(moved.cases("test")[0], {1: 1, 3: 2})
    assert truth.array.ravel()[:3].tolist() == [0, 1, 2]


def test_what_the_data_set_says_of_itself(hrseg, scans, tmp_path):
    about = {"name": "Livers", "licence": "CC0-1.0", "reference": "Doe 2020", "labels": {"liver": 1, "lesion": 3}}
    (scans / "dataset.json").write_text(json.dumps(about))
    assert hrseg("data-list", scans, "-o", tmp_path / "a.json").code == 0
    assert hrseg("data-list", scans, "-o", tmp_path / "b.json", "--name", "mine", "--seed", 1).code == 0
    first, second = read_data_list(tmp_path / "a.json"), read_data_list(tmp_path / "b.json")
    assert (first.name, first.licence, first.citation) == ("Livers", "CC0-1.0", "Doe 2020")
    assert first.labels == {1: "liver", 3: "lesion"}
    assert second.name == "mine"
    assert second.splits != first.splits
    assert first.cases("test")[0].image.parent == scans / "images"


def test_names_are_proposed(hrseg, scans):
    done = hrseg("data-list", scans, "-o", scans / "a.json", "--shares", 1, 1, 0)
    assert done.err.splitlines()[0].endswith('others: --labels "1=label 1,3=label 3"')
    data = read_data_list(scans / "a.json")
    assert data.labels == {1: "label 1", 3: "label 3"}
    assert [len(cases) for cases in data.splits.values()] == [3, 2, 0]
    for file in (scans / "labels").iterdir():
        write_image(file, np.full(GRID.shape, 255, np.uint8), GRID)
    done = hrseg("data-list", scans, "-o", scans / "b.json")
    assert "if these are masks of one label: --labels lesion --label-above 127" in " ".join(done.err.split())


def test_masks(hrseg, scans):
    command = ("data-list", scans, "-o", scans / "a.json", "--label-above", 2)
    assert hrseg(*command).error == "With --label-above 2 there is one label; name it, as in --labels lesion."
    assert hrseg(*command, "--labels", "lesion").code == 0
    done = hrseg(*command, "--labels", "lesion", "--overwrite", "--group", "p[0-4]")
    assert "5 groups; labels: 1 lesion" in " ".join(done.err.split())
    data = read_data_list(scans / "a.json")
    _, truth = read_case(data.cases("test")[0], {1: 1})
    assert truth.array.ravel()[:3].tolist() == [0, 0, 1]


def test_files_without_a_partner(hrseg, scans):
    (scans / "labels" / "p1.nii.gz").rename(scans / "labels" / "q.nii.gz")
    command = ("data-list", scans, "-o", scans / "a.json", "--labels", "1=a,3=b")
    assert hrseg(*command).error == (
        f'There is no label map for the image "{scans}/images/p1.nii.gz" (2 without a partner in all); '
        "add it, or leave such files out by --skip-unpaired."
    )
    done = hrseg(*command, "--skip-unpaired")
    assert done.code == 0
    assert done.err.startswith(f'Note: left out 2 of the files: there is no label map for the image "{scans}/images/p1')
    assert sum(len(cases) for cases in read_data_list(scans / "a.json").splits.values()) == 4
    (scans / "images" / "p1.nii.gz").unlink()
    assert hrseg("data-list", scans, "-o", scans / "b.json").error.startswith("There is no image for the label map")


def test_a_list_is_not_overwritten_unasked(hrseg, scans):
    target = scans / "a.json"
    target.write_text("mine")
    command = ("data-list", scans, "-o", target, "--labels", "1=a,3=b")
    done = hrseg(*command)
    assert (done.code, target.read_text()) == (2, "mine")
    assert done.error == f'The data list "{target}" exists; choose another name, or replace it by --overwrite.'
    assert hrseg(*command, "--overwrite").code == 0
    assert read_data_list(target).labels == {1: "a", 3: "b"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--labels", "1=a"], "holds the value 3, but the names are those of 1; name it in --labels"),
        (["--group", "^q"], 'finds nothing in the case "p0"'),
        (["--shares", 0, 1, 1], "The shares 0 1 1 must be"),
        (["--label-folder", "truth"], "has no folder truth"),
    ],
)
def test_wrong_options(hrseg, scans, more, message):
    done = hrseg("data-list", scans, "-o", scans / "a.json", *more)
    assert done.code == 2
    assert message in done.error
    assert not (scans / "a.json").exists()
