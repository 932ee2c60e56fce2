from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from hrseg.geometry import Box, Grid
from hrseg.resample import crop_or_pad, resample_labels, sample_nearest
from image_helpers import line, turned

RNG = np.random.default_rng(0)


def labels_to_line(values: list[int], size: int) -> list[int]:
    array, grid = line(*values)
    return resample_labels(array.astype(np.uint16), grid, grid.resized((1, 1, size))).ravel().tolist()


def test_labels_enlarged_by_hand() -> None:
    assert labels_to_line([0, 500, 3], 6) == [0, 0, 500, 500, 3, 3]
    assert labels_to_line([0, 500, 3], 5) == [0, 0, 500, 3, 3]


def test_label_of_largest_area_wins() -> None:
    assert labels_to_line([1, 0, 1, 0, 0, 0], 2) == [1, 0]
    assert labels_to_line([7, 2, 2, 7, 7, 0], 2) == [2, 7]
    # 5 voxels to 2: each covers two and a half.
    assert labels_to_line([1, 2, 2, 3, 3], 2) == [2, 3]
    assert labels_to_line([4, 4, 4], 1) == [4]


def test_what_is_around_decides_a_tie_then_the_lower_label() -> None:
    assert labels_to_line([1, 0, 2, 1], 2) == [0, 1]
    assert labels_to_line([0, 3, 3, 3], 2) == [3, 3]
    assert labels_to_line([3, 0, 0, 0], 2) == [0, 0]


@given(arrays(np.uint8, (4, 6, 6), elements=st.integers(0, 3)), st.sampled_from([(2, 2, 2), (1, 3, 2), (4, 1, 6)]))
@settings(max_examples=30, deadline=None)
def test_labels_shrunk_by_whole_factors_are_block_majorities(array: NDArray, factor: tuple[int, int, int]) -> None:
    grid = Grid.from_spacing(array.shape)
    shape = [n // f for n, f in zip(array.shape, factor, strict=True)]
    blocks = array.reshape(shape[0], factor[0], shape[1], factor[1], shape[2], factor[2])
    blocks = blocks.transpose(0, 2, 4, 1, 3, 5).reshape(*shape, -1)
    counts = (blocks[..., None] == np.arange(4)).sum(axis=-2)
    shrunk = resample_labels(array, grid, grid.resized(shape))
    assert np.array_equal(
        np.take_along_axis(counts, shrunk[..., None].astype(int), axis=-1)[..., 0], counts.max(axis=-1)
    )


def test_labels_outside_are_background() -> None:
    array, grid = np.full((2, 2, 2), 5, dtype=np.int16), Grid.from_spacing((2, 2, 2))
    for target in (grid, grid.finer(2), grid.resized((1, 1, 1))):
        padded = target.crop(Box.whole(target.shape).expand(1))
        result = resample_labels(array, grid, padded)
        assert result.dtype == np.int16
        assert np.array_equal(result, crop_or_pad(np.full(target.shape, 5), Box.whole(target.shape).expand(1)))


def test_coarser_oblique_labels_follow_the_area() -> None:
    source = Grid.from_spacing((24, 24, 24))
    speckled = (RNG.random(source.shape) < 0.8).astype(np.uint8)
    target = turned(source.resized((6, 6, 6))).crop(Box((1, 1, 1), (5, 5, 5)))
    assert (resample_labels(speckled, source, target) == 1).all()


def test_nearest_on_an_oblique_target() -> None:
    source = Grid.from_spacing((6, 6, 6), 2.0)
    array = RNG.integers(0, 9, source.shape)
    target = turned(source)
    result = sample_nearest(array, source, target)
    for index in np.ndindex(target.shape):
        near = np.floor(source.to_index(target.to_world(index)) + 0.5).astype(int)
        inside = (near >= 0).all() and (near < source.shape).all()
        assert result[index] == (array[tuple(near)] if inside else 0)
