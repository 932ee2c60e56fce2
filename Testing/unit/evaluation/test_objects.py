import numpy as np
import pytest

from hrseg.errors import InputError
from hrseg.evaluation.objects import instance_metrics, object_metrics
from hrseg.geometry import Grid


def row(*values):
    return np.array([[values]])


def test_objects_found_missed_and_invented():
    truth = row(1, 1, 0, 1, 1, 1, 0, 0, 0, 0)
    prediction = row(0, 1, 0, 0, 0, 0, 0, 1, 0, 1)
    scores = object_metrics(prediction, truth, Grid.from_spacing((1, 1, 10), 2.0), 1)
    assert (scores["objects_truth"], scores["objects_predicted"]) == (2, 3)
    assert scores["object_recall"] == pytest.approx(1 / 2)
    assert scores["object_precision"] == pytest.approx(1 / 3)
    assert scores["object_f1"] == pytest.approx(0.4)
    assert scores["objects"] == [
        {"diameter_mm": pytest.approx(4.0), "found": True},
        {"diameter_mm": pytest.approx(6.0), "found": False},
    ]


@pytest.mark.parametrize(("covered", "found"), [(1, False), (2, True)])
def test_a_tenth_of_an_object_must_be_covered(covered, found):
    truth, prediction = np.zeros((2, 1, 1, 30), dtype=int)
    truth[..., :20] = 1
    prediction[..., :covered] = 1
    scores = object_metrics(prediction, truth, Grid.from_spacing((1, 1, 30)), 1)
    assert scores["objects"][0]["found"] is found
    assert scores["object_precision"] == 1


def test_voxels_that_touch_at_a_corner_are_one_object():
    truth = np.zeros((2, 2, 2), dtype=int)
    truth[0, 0, 0] = truth[1, 1, 1] = 1
    assert object_metrics(truth, truth, Grid.from_spacing((2, 2, 2)), 1)["objects_truth"] == 1


@pytest.mark.parametrize(("depth", "diameter"), [(5, (6 / np.pi * 8) ** (1 / 3)), (1, (4 / np.pi * 4) ** 0.5)])
def test_diameter_of_the_ball_or_disc_of_one_voxel(depth, diameter):
    grid = Grid.from_spacing((depth, 5, 5), 2.0)
    truth = np.zeros(grid.shape, dtype=int)
    truth[0, 2, 2] = 1
    assert object_metrics(truth, truth, grid, 1)["objects"][0]["diameter_mm"] == pytest.approx(diameter)


@pytest.mark.parametrize(("predicted", "true", "f1"), [(0, 0, 1.0), (1, 0, 0.0), (0, 1, 0.0), (1, 1, 1.0)])
def test_no_objects(predicted, true, f1):
    scores = object_metrics(row(0, predicted), row(0, true), Grid.from_spacing((1, 1, 2)), 1)
    assert scores["object_f1"] == f1


def test_instances_are_matched_above_half_of_their_union():
    truth = row(1, 1, 1, 1, 0, 2, 2, 0, 3, 3, 0)
    # Instance 9 shares 3 of 4 voxels with 1; 4 shares 1 of 2 with 2, which is not above a half; 7 is alone.
    prediction = row(9, 9, 9, 0, 0, 4, 0, 0, 0, 0, 7)
    scores = instance_metrics(prediction, truth)
    assert (scores["instances_truth"], scores["instances_predicted"]) == (3, 3)
    assert scores["instance_ap50"] == pytest.approx(1 / 5)
    assert scores["instance_f1"] == pytest.approx(1 / 3)


def test_one_prediction_over_two_instances_matches_one_at_most():
    scores = instance_metrics(row(5, 5, 5, 5, 5), row(1, 1, 1, 2, 2))
    assert scores["instance_ap50"] == pytest.approx(1 / 2)


@pytest.mark.parametrize(("predicted", "true", "ap50"), [(0, 0, 1.0), (1, 0, 0.0), (0, 1, 0.0), (3, 1, 1.0)])
def test_no_instances(predicted, true, ap50):
    assert instance_metrics(row(0, predicted), row(0, true))["instance_ap50"] == ap50


def test_instance_maps_of_different_shapes_are_refused():
    with pytest.raises(InputError, match=r"\(1, 1, 2\) and \(1, 1, 3\)"):
        instance_metrics(row(0, 1), row(0, 1, 1))
