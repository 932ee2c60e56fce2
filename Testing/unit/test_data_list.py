import json

import pytest

from hrseg.data_list import Case, read_data_list
from hrseg.errors import InputError
from hrseg.labels import Label
from training_helpers import BALL, CUBE, LABELS, write_case, write_data, write_list


def problems_of(path):
    with pytest.raises(InputError) as error:
        read_data_list(path)
    head, *problems = str(error.value).split("\n  - ")
    assert head == f'The data list "{path}" cannot be used; mend these rows:'
    return problems


@pytest.fixture
def rows(tmp_path):
    return [write_case(tmp_path, f"c{n}", n) for n in range(3)]


def test_what_is_read(tmp_path, rows):
    rows[1] |= {"name": "second", "not_annotated": ["Ball"], "image": str(tmp_path / "c1.nii")}
    content = {
        "name": "mine",
        "license": "MIT",
        "reference": "me",
        "labels": LABELS,
        "training": rows[:2],
        "test": rows[2:],
    }
    data = read_data_list(write_list(tmp_path, content))
    assert (data.name, data.licence, data.citation) == ("mine", "MIT", "me")
    assert data.labels == {1: "ball", 2: "cube"}
    assert data.cases("training") == [
        Case("c0", tmp_path / "c0.nii", tmp_path / "c0-labels.nii"),
        Case("second", tmp_path / "c1.nii", tmp_path / "c1-labels.nii", ("Ball",)),
    ]
    with pytest.raises(InputError, match=r'no cases with labels in "validation"; it has training \(2\), test \(1\)'):
        data.cases("validation")


def test_a_list_as_the_decathlon_has_it(tmp_path, rows):
    content = {"labels": LABELS, "training": rows, "test": ["./imagesTs/c9.nii.gz"], "modality": {"0": "CT"}}
    path = tmp_path / "list.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(content).encode())
    data = read_data_list(path)
    assert len(data.cases("training")) == 3
    assert data.name == "list"
    with pytest.raises(InputError, match='no cases with labels in "test"'):
        data.cases("test")


def test_bad_rows_are_reported_together(tmp_path, rows):
    bad = [
        {"image": "none.nii", "label": "c0-labels.nii"},
        {"image": "c1.nii"},
        "c2.nii",
        {**rows[0], "not_annotated": "ball"},
        {**rows[1], "not_annotated": ["pyramid"]},
        rows[2],
    ]
    labels = {"1": "ball", "2": "Ball", "x": "cube", "4": 4}
    content = {"labels": labels, "training": bad, "validation": [rows[2]], "test": {}}
    assert problems_of(write_list(tmp_path, content)) == [
        f'training row 1: there is no file "{tmp_path}/none.nii"',
        "training row 2: must have the paths \"image\" and \"label\", found {'image': 'c1.nii'}",
        'training row 3: must have the paths "image" and "label", found c2.nii',
        "training row 4: \"not_annotated\" must be a list of label names, found 'ball'",
        '"test" must be a list of rows',
        "labels: \"x\": 'cube' must be a whole number and a name",
        'labels: "4": 4 must be a whole number and a name',
        'labels: 2 values have the name "ball"',
        f'the image "{tmp_path}/c2.nii" stands in 2 rows',
        'case "c1": not_annotated names "pyramid", which is no label of the list',
    ]


def test_images_of_one_name_in_several_folders_need_names(tmp_path):
    rows = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        row = write_case(tmp_path / folder, "scan.1", 0)
        rows.append({key: f"{folder}/{value}" for key, value in row.items()})
    content = {"labels": LABELS, "training": rows}
    assert problems_of(write_list(tmp_path, content)) == [
        '2 rows have the name "scan.1"; give each row a "name" of its own'
    ]
    for row in rows:
        row["name"] = row["image"]
    assert len(read_data_list(write_list(tmp_path, content)).cases("training")) == 2


def test_many_problems_are_cut(tmp_path):
    content = {"labels": LABELS, "training": [{}] * 60}
    assert problems_of(write_list(tmp_path, content))[-1].endswith("\n  ... and 10 more")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("{", "is not JSON"),
        ("[]", 'must be a JSON object with "labels"'),
        ('{"labels": ["ball"]}', 'must be a JSON object with "labels"'),
        ("\x00\xff", "is not JSON"),
    ],
)
def test_files_that_are_no_data_lists(tmp_path, text, message):
    path = tmp_path / "list.json"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message) as error:
        read_data_list(path)
    assert str(path) in str(error.value)


def test_values_are_matched_by_name(tmp_path):
    data = read_data_list(write_data(tmp_path, labels={**LABELS, "7": "unused"}))
    assert data.value_map([CUBE, BALL]) == {2: 1, 1: 2, 7: 0}
    assert data.value_map([Label(1, "solids", (0, 0, 0), sources=("ball", "cube"))]) == {1: 1, 2: 1, 7: 0}
    with pytest.raises(InputError, match='no label "cone, torus"; it has ball, cube, unused'):
        data.value_map([Label(1, "torus", (0, 0, 0)), Label(2, "x", (0, 0, 0), sources=("cone", "cube"))])


def test_a_label_is_annotated_when_all_its_sources_are(tmp_path):
    both = Label(3, "solids", (0, 0, 0), sources=("ball", "CUBE"))
    case = Case("a", tmp_path, tmp_path, ("CUBE",))
    assert case.annotated([CUBE, BALL, both]) == (False, True, False)
    assert Case("a", tmp_path, tmp_path).annotated([CUBE]) == (True,)


@pytest.mark.parametrize("above", ["127", [127], True, float("nan")])
def test_label_above_must_be_a_number(tmp_path, rows, above):
    content = {"labels": {"1": "ball"}, "label_above": above, "training": rows}
    message = f'"label_above" must be a number such as 127, found {above!r}'
    assert problems_of(write_list(tmp_path, content)) == [message]


@pytest.mark.parametrize(
    ("labels", "found"), [(LABELS, "ball, cube"), ({"0": "background"}, "none")], ids=["two", "none"]
)
def test_label_above_needs_one_label(tmp_path, rows, labels, found):
    content = {"labels": labels, "label_above": 0, "training": rows}
    message = f'"label_above" needs exactly one label, found {found}'
    assert problems_of(write_list(tmp_path, content)) == [message]


@pytest.mark.parametrize("size", [512, [512], [512, 0], [512.0, 512], "512"])
def test_label_size_must_be_two_numbers(tmp_path, rows, size):
    message = f'"label_size" must be columns and rows such as [512, 512], found {size!r}'
    content = {"labels": LABELS, "label_size": size, "training": rows}
    assert problems_of(write_list(tmp_path, content)) == [message]
