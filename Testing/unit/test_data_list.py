import json

import numpy as np
import pytest
import SimpleITK as sitk

from hrseg.data_list import Case, read_case, read_data_list, read_instances
from hrseg.errors import InputError
from hrseg.geometry import Grid
from hrseg.image import write_image
from hrseg.labels import Label
from training_helpers import LABELS, scene, write_case, write_data, write_list

CUBE, BALL = Label(1, "Cube", (0, 0, 0)), Label(2, "round thing", (0, 0, 0), sources=("ball",))


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


def test_a_case_in_the_models_values(tmp_path):
    write_case(tmp_path, "c", 5)
    image, truth = read_case(Case("c", tmp_path / "c.nii", tmp_path / "c-labels.nii"), {1: 2, 2: 0})
    raw, labels = scene(5)
    np.testing.assert_array_equal(image.array[0], raw)
    np.testing.assert_array_equal(truth.array, np.where(labels == 1, 2, 0))
    assert truth.array.dtype == np.uint8


def test_values_that_the_list_does_not_know(tmp_path):
    write_case(tmp_path, "c", 5)
    with pytest.raises(InputError, match=r'values that are not among the "labels" of the list: 2$'):
        read_case(Case("c", tmp_path / "c.nii", tmp_path / "c-labels.nii"), {1: 1})


@pytest.mark.parametrize(
    ("shift", "spacing", "fits"), [(0.02, 1, True), (0, 1.001, True), (0.2, 1, False), (0, 1.1, False)]
)
def test_geometry_may_be_rounded_but_not_wrong(tmp_path, shift, spacing, fits):
    raw, labels = scene(1)
    grid = Grid.from_spacing(raw.shape, (2, 1, 1))
    write_image(tmp_path / "c.nii", raw, grid)
    write_image(tmp_path / "l.nii", labels, Grid.from_spacing(raw.shape, (2 * spacing, 1, 1), (shift, 0, 0)))
    case = Case("c", tmp_path / "c.nii", tmp_path / "l.nii")
    if fits:
        image, truth = read_case(case, {1: 1, 2: 2})
        assert truth.grid is image.grid
    else:
        with pytest.raises(
            InputError, match=r"label map \(20x20x20 voxels of 1x1x2.* does not lie on its image's voxels"
        ):
            read_case(case, {1: 1, 2: 2})


def test_another_shape_does_not_fit(tmp_path):
    write_case(tmp_path, "c", 5)
    write_image(tmp_path / "l.nii", scene(5, side=10)[1], Grid.from_spacing((10, 10, 10)))
    with pytest.raises(InputError, match=r"its label map \(10x10x10 voxels .*\(20x20x20 voxels"):
        read_case(Case("c", tmp_path / "c.nii", tmp_path / "l.nii"), {1: 1, 2: 2})


def write_mask(folder, values, name="m.png", spacing=1.0):
    """An image of the size of ``values`` (J, I) in c.png, and the values as its label file."""
    values = np.array(values)
    write_picture(folder / "c.png", np.zeros(values.shape[:2], dtype=np.uint8), spacing)
    write_picture(folder / name, values)
    return {"image": "c.png", "label": name}


def write_picture(path, array, spacing=1.0):
    itk = sitk.GetImageFromArray(array, isVector=array.ndim == 3)
    itk.SetSpacing((spacing, spacing))
    sitk.WriteImage(itk, str(path))


def mask_case(folder, row, above):
    content = {"labels": {"0": "background", "3": "ball"}, "label_above": above, "training": [row]}
    data = read_data_list(write_list(folder, content))
    assert data.label_above == above
    (case,) = data.cases("training")
    return case, data.value_map([CUBE, BALL][1:])


@pytest.mark.parametrize(
    ("above", "dtype", "values", "expected"),
    [
        (127, np.uint8, [[0, 1, 127], [128, 254, 255]], [[0, 0, 0], [2, 2, 2]]),
        (0, np.uint8, [[0, 1, 127], [128, 254, 255]], [[0, 2, 2], [2, 2, 2]]),
        (0, np.uint16, [[0, 1, 300], [0, 65535, 0]], [[0, 2, 2], [0, 2, 0]]),
        (0.5, np.uint8, [[0, 1, 2]], [[0, 2, 2]]),
    ],
)
def test_what_exceeds_a_number_is_the_label(tmp_path, above, dtype, values, expected):
    case, value_map = mask_case(tmp_path, write_mask(tmp_path, np.array(values, dtype)), above)
    truth = read_case(case, value_map)[1].array
    np.testing.assert_array_equal(truth, [expected])
    assert truth.dtype == np.uint8


def test_a_mask_may_be_a_jpeg_in_color(tmp_path):
    mask = np.zeros((16, 24, 3), dtype=np.uint8)
    mask[:, 8:16] = 255
    mask[3:5, 3:5] = 90
    case, value_map = mask_case(tmp_path, write_mask(tmp_path, mask, "m.jpg"), 127)
    np.testing.assert_array_equal(read_case(case, value_map)[1].array[0] == 2, mask[..., 0] > 127)


def test_a_picture_has_no_place_that_its_mask_must_share(tmp_path):
    mask = np.array([[0, 255], [0, 0]], dtype=np.uint8)
    for name in ("m.tif", "m.png"):
        case, value_map = mask_case(tmp_path, write_mask(tmp_path, mask, name, spacing=0.25), 127)
        image, truth = read_case(case, value_map)
        assert truth.grid is image.grid
    write_picture(tmp_path / "m.png", mask[:1])
    with pytest.raises(InputError, match=r"its label map \(2x1x1 voxels .* does not lie on .*\(2x2x1 voxels"):
        read_case(case, value_map)


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


def test_instances_keep_their_numbers(tmp_path):
    values = np.array([[0, 1, 300], [0, 65535, 1]], dtype=np.uint16)
    case, _ = mask_case(tmp_path, write_mask(tmp_path, values), 0)
    instances = read_instances(case)
    np.testing.assert_array_equal(instances, [values])
    assert instances.dtype == np.uint16


@pytest.mark.parametrize("above", [None, 127])
def test_other_lists_have_no_instances(tmp_path, above):
    with pytest.raises(InputError, match=f'"c" has no instances: the "label_above" of its list is {above}'):
        read_instances(Case("c", tmp_path, tmp_path, label_above=above))


@pytest.mark.parametrize("odd", [-1, 65536])
def test_numbers_that_are_no_instances(tmp_path, odd):
    write_image(tmp_path / "l.nii", np.array([[[0, odd]]], dtype=np.int32), Grid.from_spacing((1, 1, 2)))
    with pytest.raises(InputError, match=f"numbers from .*{odd}.*; use 0 to 65535"):
        read_instances(Case("c", tmp_path, tmp_path / "l.nii", label_above=0))


# ---- label maps finer than their images ----


def fine_case(folder, shape, spacing, origin=(0, 0, 0)):
    """An image of 4 x 3 x 2 voxels of 1 mm, and a label map whose first voxel alone is 1."""
    values = np.zeros(shape, dtype=np.uint8)
    values[0, 0, 0] = 1
    write_image(folder / "c.nii", np.zeros((2, 3, 4), dtype=np.uint8), Grid.from_spacing((2, 3, 4)))
    write_image(folder / "l.nii", values, Grid.from_spacing(shape, spacing, origin))
    return Case("c", folder / "c.nii", folder / "l.nii")


def test_a_finer_label_map_of_the_same_field_of_view(tmp_path):
    case = fine_case(tmp_path, (4, 3, 12), (0.5, 1, 1 / 3), (-1 / 3, 0, -0.25))
    image, truth = read_case(case, {1: 1})
    assert truth.grid.matches(image.grid.resized((4, 3, 12)))
    assert np.argwhere(truth.array).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(
    ("shape", "spacing", "origin"),
    [
        ((4, 3, 12), (0.5, 1, 1 / 3), (0, 0, 0)),
        ((4, 6, 8), (0.5, 0.5, 0.25), (-0.25, -0.25, -0.25)),
        ((1, 3, 8), (2, 1, 0.5), (-0.25, 0, 0.5)),
    ],
    ids=["elsewhere", "smaller", "coarser along k"],
)
def test_other_finer_label_maps_do_not_fit(tmp_path, shape, spacing, origin):
    with pytest.raises(InputError, match=r"does not lie on its image's voxels .*; resample it to them\.$"):
        read_case(fine_case(tmp_path, shape, spacing, origin), {1: 1})


def sized_case(folder, mask, size):
    row = write_mask(folder, np.zeros((2, 3), dtype=np.uint8))
    write_picture(folder / "m.png", mask)
    content = {"labels": {"1": "ball"}, "label_above": 127, "training": [row]}
    data = read_data_list(write_list(folder, {**content, **({"label_size": size} if size else {})}))
    return data.cases("training")[0]


def test_masks_of_pictures_are_brought_to_the_size_that_the_list_names(tmp_path):
    mask = np.zeros((8, 24), dtype=np.uint8)
    # In blocks of 2 x 4 of the 4 x 6 that remain: a full one, one by three quarters, one by a quarter.
    mask[:2, :4] = mask[2:4, 4:7] = mask[4:6, 8:9] = 255
    image, truth = read_case(sized_case(tmp_path, mask, [6, 4]), {1: 1})
    assert truth.grid.matches(image.grid.finer((1, 2, 2)))
    expected = np.zeros((4, 6))
    expected[0, 0] = expected[1, 1] = 1
    np.testing.assert_array_equal(truth.array, [expected])


def test_masks_of_pictures_in_another_size_need_it_to_be_named(tmp_path):
    mask = np.zeros((8, 24), dtype=np.uint8)
    with pytest.raises(InputError, match='both show the same field of view, give the list a "label_size"'):
        read_case(sized_case(tmp_path, mask, None), {1: 1})
    with pytest.raises(InputError, match=r"resample it to them\.$"):
        read_case(sized_case(tmp_path, mask[:1], None), {1: 1})


@pytest.mark.parametrize("size", [512, [512], [512, 0], [512.0, 512], "512"])
def test_label_size_must_be_two_numbers(tmp_path, rows, size):
    message = f'"label_size" must be columns and rows such as [512, 512], found {size!r}'
    content = {"labels": LABELS, "label_size": size, "training": rows}
    assert problems_of(write_list(tmp_path, content)) == [message]
