import numpy as np
import pytest
import SimpleITK as sitk

from hrseg.data_list import Case, read_case, read_data_list, read_instances
from hrseg.errors import InputError
from hrseg.geometry import Grid
from hrseg.image import write_image
from training_helpers import BALL, CUBE, scene, write_case, write_list


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
