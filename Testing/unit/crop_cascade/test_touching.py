from __future__ import annotations

import numpy as np
import pytest

from hrseg.crop_cascade.touching import split_instances, split_touching
from hrseg.geometry import Box, Grid


def ball(shape: tuple[int, ...], center: tuple[float, ...], radius: float, spacing: tuple[float, ...] = (1, 1, 1)):
    index = np.indices(shape).reshape(3, -1).T
    inside = np.linalg.norm((index - center) * spacing, axis=1) <= radius
    return inside.reshape(shape)


def test_two_discs_that_overlap_are_two_objects() -> None:
    shape = (1, 40, 60)
    left, right = ball(shape, (0, 20, 18), 12), ball(shape, (0, 20, 38), 12)
    numbers, boxes = split_touching(left | right, Grid.from_spacing(shape), 1)
    assert sorted(box.start[2] for box in boxes) == [6, pytest.approx(28, abs=1)]
    assert numbers[0, 20, 10] != numbers[0, 20, 46]
    assert set(np.unique(numbers)) == {0, 1, 2}
    assert np.array_equal(numbers > 0, left | right)
    for number, box in enumerate(boxes, start=1):
        k, j, i = np.nonzero(numbers == number)
        assert box == Box((k.min(), j.min(), i.min()), (k.max() + 1, j.max() + 1, i.max() + 1))


def test_an_ellipse_with_a_rough_border_is_one_object() -> None:
    shape = (1, 40, 60)
    mask = ball(shape, (0, 20, 30), 12, (1, 1, 0.5))
    mask[0, 7, 20:40:2] = True
    assert len(split_touching(mask, Grid.from_spacing(shape), 1)[1]) == 1


def test_a_deep_enough_neck_is_asked_for() -> None:
    shape = (1, 40, 60)
    mask = ball(shape, (0, 20, 18), 12) | ball(shape, (0, 20, 38), 12)
    # The middles are 12 from the border, the neck between them about 7.
    assert len(split_touching(mask, Grid.from_spacing(shape), 8)[1]) == 1


def test_two_objects_in_one_basin_and_specks() -> None:
    mask = np.zeros((1, 30, 30), dtype=bool)
    mask[0, 4:8, 4:8] = mask[0, 9:13, 4:8] = True
    mask[0, 20:23, 20:25] = True
    numbers, boxes = split_touching(mask, Grid.from_spacing(mask.shape), 50)
    assert boxes == [Box((0, 4, 4), (1, 8, 8)), Box((0, 9, 4), (1, 13, 8))]
    assert numbers[0, 21, 21] == 0


def test_distances_are_those_in_space() -> None:
    shape, spacing = (12, 40, 60), (4.0, 1.0, 1.0)
    mask = ball(shape, (5, 20, 18), 13, spacing) | ball(shape, (5, 20, 40), 13, spacing)
    assert len(split_touching(mask, Grid.from_spacing(shape, spacing), 1)[1]) == 2


def test_nothing() -> None:
    numbers, boxes = split_touching(np.zeros((3, 4, 5), dtype=bool), Grid.from_spacing((3, 4, 5)), 1)
    assert (numbers.shape, numbers.max(), boxes) == ((3, 4, 5), 0, [])


def test_an_object_at_the_edge_goes_on_behind_it() -> None:
    # Half of a disc: measured from the edge, too, its middle would be a ridge between two ends.
    shape = (1, 20, 60)
    mask = ball(shape, (0, 0, 30), 16)
    assert len(split_touching(mask, Grid.from_spacing(shape), 0.5)[1]) == 1


def test_objects_of_drawn_boxes_stay() -> None:
    shape = (1, 40, 60)
    both = ball(shape, (0, 20, 18), 12) | ball(shape, (0, 20, 38), 12)
    drawn = np.where(both, 1, 0).astype(np.uint16)
    assert split_instances(drawn, Grid.from_spacing(shape), 1, 1) == []
    assert np.array_equal(drawn > 0, both)
    proposed = np.where(both, 2, 0).astype(np.uint16)
    proposed[0, 0, 0] = 1
    found = split_instances(proposed, Grid.from_spacing(shape), 1, 1)
    assert [box.name for box in found] == ["object 2", "object 3"]
    assert proposed[0, 0, 0] == 1
    assert set(np.unique(proposed)) == {0, 1, 2, 3}
