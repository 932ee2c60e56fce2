import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from monai.metrics import compute_hausdorff_distance, compute_surface_dice

from hrseg.bounding_box import bounding_box
from hrseg.errors import InputError
from hrseg.evaluation.metrics import axes_in_use, label_metrics
from hrseg.geometry import Box, Grid


def volume(shape, *boxes, value=1):
    """A label map with these blocks of voxels."""
    result = np.zeros(shape, dtype=np.uint8)
    for start, stop in boxes:
        result[Box(start, stop).slices] = value
    return result


def test_two_cubes_three_voxels_apart():
    grid = Grid.from_spacing((14, 14, 20), 2.0)
    truth = volume(grid.shape, ((2, 2, 2), (12, 12, 12)))
    prediction = volume(grid.shape, ((2, 2, 5), (12, 12, 15)))
    scores = label_metrics(prediction, truth, grid, 1)
    assert scores["dice"] == pytest.approx(0.7)
    assert scores["iou"] == pytest.approx(700 / 1300)
    assert scores["recall"] == scores["precision"] == pytest.approx(0.7)
    assert scores["hd95_mm"] == pytest.approx(6.0)
    assert scores["truth_ml"] == scores["predicted_ml"] == pytest.approx(8.0)
    assert scores["volume_error_ml"] == scores["volume_error_percent"] == 0


def test_recall_precision_and_volume_error_are_not_confused():
    grid = Grid.from_spacing((1, 1, 10), (5, 10, 2))
    truth = np.array([[[1, 1, 1, 1, 0, 0, 0, 0, 0, 0]]])
    prediction = np.array([[[0, 0, 1, 1, 1, 0, 0, 0, 0, 0]]])
    scores = label_metrics(prediction, truth, grid, 1)
    assert scores["recall"] == pytest.approx(2 / 4)
    assert scores["precision"] == pytest.approx(2 / 3)
    assert scores["dice"] == pytest.approx(4 / 7)
    assert scores["truth_ml"] == pytest.approx(0.4)
    assert scores["volume_error_ml"] == pytest.approx(-0.1)
    assert scores["volume_error_percent"] == pytest.approx(-25)


def test_surface_dice_forgives_one_voxel_but_not_two():
    grid = Grid.from_spacing((3, 20, 20), (9.0, 0.5, 0.5))
    truth = volume(grid.shape, ((0, 4, 4), (3, 12, 12)))
    by_one = volume(grid.shape, ((0, 4, 5), (3, 12, 13)))
    by_two = volume(grid.shape, ((0, 4, 6), (3, 12, 14)))
    assert label_metrics(by_one, truth, grid, 1)["surface_dice"] == 1
    assert label_metrics(by_two, truth, grid, 1)["surface_dice"] < 1


def test_one_slice_has_a_2d_outline():
    grid = Grid.from_spacing((1, 12, 12), (8.0, 1.5, 1.5))
    truth = volume(grid.shape, ((0, 2, 2), (1, 10, 10)))
    prediction = volume(grid.shape, ((0, 4, 4), (1, 8, 8)))
    scores = label_metrics(prediction, truth, grid, 1)
    # Were the slice's faces a surface, every pixel of the truth would be on it, and Dice the only difference.
    assert scores["hd95_mm"] == pytest.approx(np.percentile(corner_distances(), 95) * 1.5)
    assert scores["surface_dice"] == 0


def corner_distances():
    """From the 28 outline pixels of the 8 x 8 square to the 4 x 4 square in its middle, in pixels."""
    return [2.0] * 16 + [np.hypot(2, 1)] * 8 + [np.hypot(2, 2)] * 4


def test_an_object_at_the_border_of_the_image_has_a_surface_there():
    grid = Grid.from_spacing((5, 5, 5))
    full = np.ones(grid.shape, dtype=np.uint8)
    core = volume(grid.shape, ((1, 1, 1), (4, 4, 4)))
    assert label_metrics(core, full, grid, 1)["hd95_mm"] == pytest.approx(np.sqrt(3))


@pytest.mark.parametrize(
    ("n_predicted", "n_true", "overlap", "hd95", "percent"),
    [(0, 0, 1.0, 0.0, 0.0), (3, 0, 0.0, None, None), (0, 3, 0.0, None, -100.0)],
)
def test_empty_masks(n_predicted, n_true, overlap, hd95, percent):
    grid = Grid.from_spacing((1, 1, 6))
    prediction, truth = (np.arange(6).reshape(grid.shape) < n for n in (n_predicted, n_true))
    scores = label_metrics(prediction, truth, grid, 1)
    assert {scores[k] for k in ("dice", "iou", "recall", "precision", "surface_dice")} == {overlap}
    assert scores["hd95_mm"] == hd95
    assert scores["volume_error_percent"] == percent


def test_a_label_that_nobody_annotated_has_no_values():
    grid = Grid.from_spacing((2, 2, 2))
    ones = np.ones(grid.shape, dtype=np.uint8)
    scores = label_metrics(ones, ones, grid, 1, annotated=False)
    assert scores.keys() == label_metrics(ones, ones, grid, 1).keys()
    assert set(scores.values()) == {None}


def test_only_the_label_asked_for_counts():
    grid = Grid.from_spacing((1, 1, 4))
    scores = label_metrics(np.array([[[1, 2, 2, 0]]]), np.array([[[2, 2, 2, 1]]]), grid, 2)
    assert scores["precision"] == 1
    assert scores["recall"] == pytest.approx(2 / 3)


def test_label_maps_off_the_grid_are_refused():
    with pytest.raises(InputError, match=r"\(2, 2, 3\)"):
        label_metrics(np.zeros((2, 2, 3)), np.zeros((2, 2, 2)), Grid.from_spacing((2, 2, 2)), 1)


@pytest.mark.parametrize(
    ("shape", "axes"), [((4, 5, 6), [0, 1, 2]), ((1, 5, 6), [1, 2]), ((4, 1, 6), [0, 2]), ((1, 1, 1), [2])]
)
def test_axes_in_use(shape, axes):
    assert axes_in_use(Grid.from_spacing(shape)) == axes


def test_bounding_box():
    assert bounding_box(volume((4, 5, 6), ((1, 2, 3), (2, 4, 6))) > 0) == Box((1, 2, 3), (2, 4, 6))
    assert bounding_box(np.zeros((2, 2, 2), dtype=bool)) is None


@settings(max_examples=25, deadline=None)
@given(arrays.arrays(bool, (2, 5, 6, 7)))
def test_agrees_with_monai(masks):
    prediction, truth = masks
    assume(prediction.any() and truth.any())
    grid = Grid.from_spacing((5, 6, 7), (3.0, 1.0, 0.5))
    scores = label_metrics(prediction, truth, grid, 1)
    batch = [torch.from_numpy(mask)[None, None] for mask in (prediction, truth)]
    hd95 = compute_hausdorff_distance(*batch, include_background=True, percentile=95, spacing=grid.spacing)
    surface = compute_surface_dice(*batch, class_thresholds=[1.0], include_background=True)
    # MONAI interpolates between ranks in single precision.
    assert scores["hd95_mm"] == pytest.approx(hd95.item(), abs=1e-4)
    assert scores["surface_dice"] == pytest.approx(surface.item(), rel=1e-5)
