from __future__ import annotations

import numpy as np
import pytest

from hrseg.geometry import Grid
from hrseg.instances import instances_of
from hrseg.prompts import RegionBox

LINE = Grid.from_spacing((1, 1, 24))
PLANE = Grid.from_spacing((1, 21, 21))


def box(center: tuple[float, ...], size: tuple[float, ...], degrees: float = 0) -> RegionBox:
    """Turned in the plane of i and j."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return RegionBox(np.array(center), np.array(size), np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]))


def numbers(grid: Grid, *boxes: RegionBox) -> np.ndarray:
    return instances_of(np.ones(grid.shape, np.uint8), grid, boxes)


def test_a_box_reaches_three_times_its_half_size() -> None:
    # Centre 10, half size 2: from 4 to 16.
    found = numbers(LINE, box((10, 0, 0), (4, 1, 1)))
    assert found.dtype == np.uint16
    assert np.flatnonzero(found).tolist() == list(range(4, 17))


def test_the_nearer_center_counts_in_the_box_s_own_size() -> None:
    # |i - 6| / 2 and |i - 15| / 4 are equal, 1.5, at 9, which goes to the earlier one.
    small, large = box((6, 0, 0), (4, 1, 1)), box((15, 0, 0), (8, 1, 1))
    found = numbers(LINE, small, large)[0, 0]
    assert found.tolist() == [1] * 10 + [2] * 14
    assert numbers(LINE, large, small)[0, 0].tolist() == [2] * 9 + [1] * 15


def test_a_small_box_inside_a_large_one() -> None:
    # |i - 10| / 2 against |i - 12| / 8: the small one is nearer between 9.33 and 10.4.
    found = numbers(LINE, box((12, 0, 0), (16, 1, 1)), box((10, 0, 0), (4, 1, 1)))[0, 0]
    assert found.tolist() == [1] * 10 + [2] + [1] * 13


def test_only_voxels_with_a_label_are_numbered() -> None:
    labels = np.zeros((1, 1, 24), np.uint8)
    labels[..., [3, 4, 10, 20]] = (1, 2, 1, 1)
    found = instances_of(labels, LINE, [box((10, 0, 0), (4, 1, 1))])
    assert np.flatnonzero(found).tolist() == [4, 10]
    assert not instances_of(labels, LINE, []).any()


@pytest.mark.parametrize("degrees", [0, 90, 180])
def test_a_box_along_the_image_s_axes(degrees: float) -> None:
    # Half sizes 3 and 1, by three: 9 and 3 voxels to each side.
    found = numbers(PLANE, box((10, 10, 0), (6, 2, 1), degrees))[0]
    rows, columns = (range(7, 14), range(1, 20)) if degrees != 90 else (range(1, 20), range(7, 14))
    expected = np.zeros((21, 21), bool)
    expected[np.ix_(rows, columns)] = True
    assert ((found == 1) == expected).all()


def test_a_box_at_45_degrees() -> None:
    # Half sizes of 2 by three make a diamond: |i - 10| + |j - 10| <= 6 sqrt 2 = 8.49.
    found = numbers(PLANE, box((10, 10, 0), (4, 4, 1), 45))[0]
    j, i = np.indices((21, 21))
    assert ((found == 1) == (abs(i - 10) + abs(j - 10) <= 8)).all()


@pytest.mark.parametrize(("height", "thickness"), [(0, 0.1), (0, 100), (40, 90)])
def test_the_thickness_does_not_count_in_2d(height: float, thickness: float) -> None:
    """Neither does where along the normal it was drawn."""
    found = numbers(PLANE, box((10, 10, height), (4, 4, thickness)))
    assert found.sum() == 13 * 13


def test_it_does_in_3d() -> None:
    grid = Grid.from_spacing((9, 3, 3), (2.0, 1.0, 1.0))
    # Centre at slice 4, half size 2 mm by three: three slices of 2 mm to each side.
    found = numbers(grid, box((1, 1, 8), (3, 3, 4)))
    assert np.flatnonzero(found[:, 1, 1]).tolist() == list(range(1, 8))


def test_a_2d_image_in_another_plane() -> None:
    """i to A, j to S: the normal is R."""
    affine = np.array([[0, 0, 1.0, 7], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    found = numbers(Grid((1, 21, 21), affine), box((7, 10, 5), (0.1, 4, 2)))[0]
    assert np.argwhere(found).min(0).tolist() == [2, 4]
    assert np.argwhere(found).max(0).tolist() == [8, 16]


def test_far_from_the_origin_and_outside() -> None:
    """A small box in a large image: float32 has to suffice."""
    grid = Grid.from_spacing((1, 2, 4000), 0.001, origin=(900, -700, 0))
    near = numbers(grid, box((903, -700, 0), (0.004, 0.004, 1)), box((800, 0, 0), (1, 1, 1)))
    assert np.flatnonzero(near[0, 0]).tolist() == list(range(2994, 3007))


def test_like_distances_of_all_points() -> None:
    rng = np.random.default_rng(0)
    affine = np.array([[0.8, -0.6, 0, 5], [0.6, 0.8, 0, -3], [0, 0, -2.0, 9], [0, 0, 0, 1.0]])
    grid = Grid((6, 20, 22), affine)
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    centers = grid.to_world(rng.uniform(0, grid.shape, (5, 3)))
    boxes = [box(c, rng.uniform(2, 5, 3), rng.uniform(0, 90)) for c in centers]
    distances = np.stack([np.abs((grid.to_world(index) - b.center) @ b.axes / (b.size / 2)).max(-1) for b in boxes])
    expected = np.where(distances.min(0) <= 3, distances.argmin(0) + 1, 0)
    assert (numbers(grid, *boxes) == expected).all()
    assert len(np.unique(expected)) == 6
