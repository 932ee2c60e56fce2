from dataclasses import replace

import numpy as np
import pytest

from hrseg.data_list import read_data_list
from hrseg.errors import InputError
from hrseg.geometry import Grid
from hrseg.image import write_image
from hrseg.model_file import Intensity, Preprocessing
from hrseg.training.cases import largest_extent, load_cases
from hrseg.training.task import TrainingCase
from training_helpers import LABEL, scene, tiny_header, write_case, write_data, write_list

WINDOW = Intensity(kind="window", low=0, high=200)


def load(path, **changes):
    return load_cases(read_data_list(path), tiny_header(**changes))


def test_training_cases_are_prepared_and_validation_cases_as_they_are(tmp_path):
    path = write_data(tmp_path)
    seen = []
    training, validation = load_cases(read_data_list(path), tiny_header(), lambda *args: seen.append(args))
    assert [case.name for case in training] == ["case0", "case1", "case2"]
    raw, truth = scene(0)
    # From RAS to LPS two axes turn round; 0 ... 200 becomes 0 ... 1.
    np.testing.assert_array_equal(training[0].label, truth[:, ::-1, ::-1])
    np.testing.assert_allclose(training[0].image[0], np.clip(raw / 200, 0, 1)[:, ::-1, ::-1], atol=1e-5)
    np.testing.assert_array_equal(validation[0].image.array[0], scene(10)[0])
    np.testing.assert_array_equal(validation[0].truth.array, scene(10)[1])
    assert seen[0] == ("reading", 0, 6)
    assert seen[-1] == ("reading", 6, 6)


def test_the_largest_extent_is_that_along_each_axis():
    nothing = np.zeros((1, 2, 2), np.uint8)
    shapes = {(4, 5, 6): (1.0, 2.0, 3.0), (3, 30, 1): (2.0, 0.5, 0.5)}
    cases = [TrainingCase("a", np.zeros((1, *shape)), nothing, (), {}, spacing) for shape, spacing in shapes.items()]
    assert largest_extent(cases) == (6, 15, 18)
    assert largest_extent([replace(case, spacing=None) for case in cases]) is None


def test_voxels_to_center_patches_on(tmp_path):
    training, _ = load(write_data(tmp_path))
    voxels = training[0].voxels
    assert set(voxels) == {1, 2}
    assert (training[0].label.ravel()[voxels[2]] == 2).all()
    assert len(voxels[2]) == (training[0].label == 2).sum()


def test_labels_that_were_not_drawn_are_no_centers(tmp_path):
    rows = [write_case(tmp_path, f"c{n}", n) for n in (3, 4)]
    rows[0]["not_annotated"] = ["cube"]
    training, _ = load(write_data(tmp_path, training=rows))
    assert training[0].annotated == (True, False)
    assert set(training[0].voxels) == {1}
    assert set(training[1].voxels) == {1, 2}


def test_the_working_grid_has_the_models_spacing(tmp_path):
    training, _ = load(write_data(tmp_path), preprocessing=Preprocessing(spacing=(2, 2, 2), intensity=WINDOW))
    assert training[0].image.shape == (1, 10, 10, 10)
    assert training[0].label.shape == (10, 10, 10)
    assert training[0].spacing == (2, 2, 2)


def test_cases_know_the_spacing_of_their_working_grid(tmp_path):
    grid = Grid.from_spacing((20, 20, 20), (3, 1, 0.5))
    rows = [write_case(tmp_path, "thick", 0, grid)]
    training, _ = load(
        write_data(tmp_path, training=rows), preprocessing=Preprocessing(orientation="IRA", intensity=WINDOW)
    )
    # Along k, j and i of that orientation: A, R and I.
    np.testing.assert_allclose(training[0].spacing, (1, 0.5, 3))


def test_everything_wrong_is_reported_together(tmp_path):
    rows = [write_case(tmp_path, f"c{n}", n) for n in range(8)]
    grid = Grid.from_spacing((20, 20, 20))
    (tmp_path / "c1.nii").write_text("no image")
    write_image(tmp_path / "c2-labels.nii", scene(2)[1], Grid.from_spacing((20, 20, 20), 3))
    write_image(tmp_path / "c3-labels.nii", np.full(grid.shape, 9, np.uint8), grid)
    write_image(tmp_path / "c4.nii", np.full(grid.shape, 9, np.uint8), grid)
    write_image(tmp_path / "c5.nii", np.where(scene(5)[1], np.nan, 1.0), grid)
    rows[6]["not_annotated"] = ["ball", "cube"]
    write_image(tmp_path / "c7.nii", scene(0)[0].astype(np.float32) * 1.1, grid)
    splits = {"training": rows[:3], "validation": rows[3:6], "test": rows[6:]}
    with pytest.raises(InputError) as error:
        load(write_data(tmp_path, **splits))
    problems = str(error.value).split("\n  - ")[1:]
    expected = [
        'training case "c1": Cannot read',
        'training case "c2": its label map (20x20x20 voxels of 3x3x3 mm',
        'validation case "c3": its label map has values that are not among the',
        'validation case "c4": The image "c4" is constant',
        'validation case "c5": The image ',
        'test case "c6": none of the model\'s labels is annotated',
        'training case "c0" and test case "c7" are nearly the same image',
    ]
    assert [problem[: len(start)] for problem, start in zip(problems, expected, strict=False)] == expected
    assert len(problems) == len(expected)


def test_a_label_that_no_training_case_shows(tmp_path):
    row = write_case(tmp_path, "c", 5)
    write_image(tmp_path / "c-labels.nii", (scene(5)[1] == 1).astype(np.uint8), Grid.from_spacing((20, 20, 20)))
    with pytest.raises(InputError, match='no training case shows "cube"'):
        load(write_data(tmp_path, training=[row]))
    assert len(load(write_data(tmp_path, training=[row]), labels=LABEL[:1])[0]) == 1


def test_slices_do_not_fit_a_3d_model(tmp_path):
    flat = Grid.from_spacing((1, 20, 20))
    for n, name in enumerate("ab"):
        image, truth = scene(n)
        write_image(tmp_path / f"{name}.nii", image[8:9], flat)
        write_image(tmp_path / f"{name}-l.nii", truth[8:9], flat)
    rows = [{"image": f"{name}.nii", "label": f"{name}-l.nii"} for name in "ab"]
    content = {"labels": {"1": "ball", "2": "cube"}, "training": rows[:1], "validation": rows[1:]}
    with pytest.raises(InputError, match="for 3D volumes") as error:
        load(write_list(tmp_path, content))
    assert str(error.value).count("for 3D volumes") == 2


@pytest.mark.parametrize("split", ["training", "validation"])
def test_both_splits_are_needed(tmp_path, split):
    with pytest.raises(InputError, match=f'no cases with labels in "{split}"'):
        load(write_data(tmp_path, **{split: []}))


def test_finer_label_maps(tmp_path):
    rows = []
    for number in (0, 1):
        row = write_case(tmp_path, f"c{number}", number)
        truth = scene(number)[1].repeat(2, 0).repeat(2, 1).repeat(2, 2)
        write_image(tmp_path / row["label"], truth, Grid.from_spacing((20, 20, 20)).finer(2))
        rows.append(row)
    data = read_data_list(write_data(tmp_path, training=rows[:1], validation=rows[1:], test=[]))
    # Methods that do not ask for them get them at the image's resolution.
    (plain,), (seen,) = load_cases(data, tiny_header())
    np.testing.assert_array_equal(plain.label, scene(0)[1][:, ::-1, ::-1])
    assert seen.truth.array.shape == (40, 40, 40)
    (fine,), _ = load_cases(data, tiny_header(), finer=(1, 2, 4))
    assert fine.image.shape == (1, 20, 20, 20)
    np.testing.assert_array_equal(fine.label, plain.label.repeat(2, 1).repeat(4, 2))
    assert (fine.label.ravel()[fine.voxels[1]] == 1).all()


def test_label_maps_that_are_not_finer_stay_as_they_are(tmp_path):
    (first, *_), _ = load_cases(read_data_list(write_data(tmp_path)), tiny_header(), finer=(2, 2, 2))
    assert first.label.shape == (20, 20, 20)
