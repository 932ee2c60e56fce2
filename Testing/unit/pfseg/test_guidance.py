from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from hrseg.errors import InputError
from hrseg.geometry import Box, Grid
from hrseg.image import Image
from hrseg.pfseg.guidance import box_at, check_inside, choose, variances


def noise(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@pytest.mark.parametrize(
    ("shape", "sides"),
    [
        ((1, 12, 9, 10), (4, 4, 4)),
        ((2, 20, 17, 21), (16, 5, 9)),
        ((1, 1, 40, 33), (1, 16, 8)),
        ((1, 5, 5, 5), (5, 5, 5)),
    ],
)
def test_variances_are_exact(shape: tuple[int, ...], sides: tuple[int, ...]) -> None:
    volume = noise(shape) * 50 + 1000
    starts, found = variances(volume, sides)
    for index in itertools.product(*(range(len(s)) for s in starts)):
        block = tuple(slice(s[n], s[n] + side) for s, n, side in zip(starts, index, sides, strict=True))
        expected = volume[(slice(None), *block)].astype(float).var(axis=(1, 2, 3)).sum()
        assert found[index] == pytest.approx(expected, rel=1e-6)


def test_stride_is_an_eighth_of_the_sides_and_both_ends_are_tried() -> None:
    starts, _ = variances(noise((1, 4, 20, 40)), (4, 16, 32))
    assert starts[0].tolist() == [0]
    assert starts[1].tolist() == [0, 2, 4]
    assert starts[2].tolist() == [0, 4, 8]
    assert variances(noise((1, 8, 8, 9)), (8, 8, 4))[0][2].tolist() == [0, 1, 2, 3, 4, 5]
    assert variances(noise((1, 8, 8, 43)), (8, 8, 32))[0][2].tolist() == [0, 4, 8, 11]


def test_the_crop_of_largest_variance() -> None:
    volume = np.zeros((1, 32, 32, 32), np.float32)
    volume[0, 20:28, 4:12, 16:20] = 1
    box = choose(volume, (8, 8, 8), "variance")
    assert box.start[:2] == (20, 4)
    # Half of the crop is bright in any of these.
    assert 12 <= box.start[2] <= 16
    _, found = variances(volume, (8, 8, 8))
    assert found.max() == pytest.approx(0.25)


def test_of_equal_crops_the_one_nearest_to_the_centre() -> None:
    volume = np.zeros((1, 1, 1, 64), np.float32)
    volume[..., [4, 36, 60]] = 1
    # Crops from 29 to 36 hold the bright voxel at 36; the middle one starts at 28.
    assert choose(volume, (1, 1, 8), "variance").start == (0, 0, 29)
    # From 20 and from 36, both 8 away from the middle: the first one wins.
    volume[:] = 0
    volume[..., [20, 43]] = 1
    assert choose(volume, (1, 1, 8), "variance").start == (0, 0, 20)


@pytest.mark.parametrize("mode", ["variance", "spiral", "center"])
def test_a_constant_volume_gives_the_centre(mode: str) -> None:
    volume = np.full((1, 20, 21, 22), 0.3, np.float32)
    assert choose(volume, (8, 8, 8), mode) == Box((6, 6, 7), (14, 14, 15))


@pytest.mark.parametrize("mode", ["variance", "spiral", "center", "random"])
@pytest.mark.parametrize("shape", [(16, 40, 33), (8, 8, 8), (9, 64, 10), (1, 30, 30)])
def test_the_crop_lies_inside(mode: str, shape: tuple[int, int, int]) -> None:
    sides = (min(8, shape[0]), 8, 8)
    for seed in range(5):
        box = choose(noise((1, *shape), seed), sides, mode, np.random.RandomState(seed))
        assert box.shape == sides
        assert box.clip(shape) == box


def test_random_crops_reach_every_place() -> None:
    rng = np.random.RandomState(0)
    found = {choose(noise((1, 4, 4, 6)), (4, 4, 4), "random", rng).start[2] for _ in range(50)}
    assert found == {0, 1, 2}


def test_the_search_passes_over_places_outside_instead_of_ending() -> None:
    # Long along i: on the second shell most probes are outside, but not the ones at both ends of i.
    volume = np.zeros((1, 16, 16, 96), np.float32)
    volume[..., 70:80] = noise((1, 16, 16, 10))
    box = choose(volume, (8, 8, 16), "spiral")
    assert box.start[2] > 52


@pytest.mark.parametrize("mode", ["variance", "spiral", "center", "random"])
def test_a_crop_larger_than_the_volume(mode: str) -> None:
    box = choose(noise((1, 4, 20, 20)), (8, 8, 8), mode)
    # Two of its rows lie before the volume's four, two behind them.
    assert (box.start[0], box.stop[0]) == (-2, 6)
    assert box.shape == (8, 8, 8)
    assert min(box.start[1:]) >= 0
    assert max(box.stop[1:]) <= 20


def test_a_crop_around_a_point() -> None:
    grid = Grid.from_spacing((20, 20, 20), 2.0, (100, 0, 0))
    # R is i: (119 - 100) / 2 = 9.5, between the voxels 9 and 10.
    assert box_at((119, 19, 19), (4, 4, 4), grid) == (Box((8, 8, 8), (12, 12, 12)), [])
    moved = "The guidance crop was moved to stay inside the image."
    assert box_at((139, 19, 19), (4, 4, 4), grid) == (Box((8, 8, 16), (12, 12, 20)), [moved])
    # Up to the first voxel it need not be moved.
    assert box_at((103, 3, 3), (4, 4, 4), grid) == (Box((0, 0, 0), (4, 4, 4)), [])
    assert box_at((101, 3, 3), (4, 4, 4), grid) == (Box((0, 0, 0), (4, 4, 4)), [moved])
    image = Image(np.zeros((1, 20, 20, 20)), grid, "scan")
    check_inside((99.1, 0, 0), image)
    for point in ((98.9, 0, 0), (110, 0, 39.1), (110, 0, np.nan)):
        with pytest.raises(InputError, match=r'lies outside the image "scan"; choose a point inside.'):
            check_inside(point, image)


def test_a_point_for_a_crop_that_is_as_long_as_the_volume_or_longer() -> None:
    grid = Grid.from_spacing((4, 8, 20))
    centered = "The guidance crop is as long as the image, or longer, along an axis; there it is centered."
    place = Box((-2, 0, 6), (6, 8, 14))
    # Its centre (i, j, k) is 9.5, 3.5 and 1.5.
    assert box_at((9.5, 3.5, 1.5), (8, 8, 8), grid) == (place, [])
    assert box_at((9.5, 3.5, 3.0), (8, 8, 8), grid) == (place, [centered])
    assert box_at((9.5, 6.5, 1.5), (8, 8, 8), grid) == (place, [centered])
    moved = "The guidance crop was moved to stay inside the image."
    assert box_at((1, 6.5, 1.5), (8, 8, 8), grid) == (Box((-2, 0, 0), (6, 8, 8)), [moved, centered])
