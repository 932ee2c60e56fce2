from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hrseg.errors import InputError
from hrseg.geometry import Box, Grid
from hrseg.resample import (
    axis_map,
    crop_or_mirror,
    crop_or_pad,
    resample,
    resample_labels,
    resample_means,
    sample_nearest,
)
from image_helpers import line, turned

RNG = np.random.default_rng(0)


def to_line(values: NDArray, grid: Grid, size: int) -> list[float]:
    return resample(values, grid, grid.resized((1, 1, size))).ravel().tolist()


# ---- by hand ----


def test_enlarging_by_hand() -> None:
    assert to_line(*line(0, 4), 4) == [0, 1, 3, 4]


def test_shrinking_by_hand() -> None:
    # Weights 3/4, 3/4, 1/4 for voxels 0, 1, 2, which add up to 7/4.
    assert to_line(*line(7, 0, 0, 0), 2) == pytest.approx([3, 0])
    assert to_line(*line(0, 0, 7, 0), 2) == pytest.approx([1, 3])


def test_means_by_hand() -> None:
    values, grid = line(7, 1, 4, 0, 2, 4)
    assert resample_means(values, grid, grid.resized((1, 1, 3))).ravel().tolist() == [4, 2, 3]
    # Voxels of one and a half: all of the first and half of the second.
    assert resample_means(values, grid, grid.resized((1, 1, 4))).ravel().tolist() == pytest.approx(
        [5, 3, 2 / 3, 10 / 3]
    )
    # Linear where the grid is finer.
    assert resample_means(values, grid, grid.resized((1, 1, 12))).ravel().tolist() == to_line(values, grid, 12)
    with pytest.raises(InputError, match="parallel axes"):
        resample_means(values, grid, turned(grid))


def test_same_grid_copies_the_values() -> None:
    array = RNG.integers(-1000, 1000, (3, 4, 5)).astype(np.float32)
    grid = Grid.from_spacing(array.shape)
    result = resample(array, grid, grid)
    assert np.array_equal(result, array)
    result[0, 0, 0] += 1
    assert not np.array_equal(result, array)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_any_number_type_gives_float32(dtype: type) -> None:
    values, grid = line(0, 1)
    assert resample(values.astype(dtype), grid, grid.resized((1, 1, 4))).dtype == np.float32
    assert to_line(values.astype(dtype), grid, 4) == [0, 0.25, 0.75, 1]


def test_fill_begins_outside_the_field_of_view() -> None:
    values, grid = line(5, 7)
    # Voxels at -1, -0.5, 0, ..., 2: the field of view is -0.5 to 1.5.
    target = grid.finer((1, 1, 2)).crop(Box((0, 0, -2), (1, 1, 6)))
    target = Grid(target.shape, target.affine + np.array([[0, 0, 0, 0.25], *[[0] * 4] * 3]))
    assert resample(values, grid, target, fill=-9).ravel().tolist() == [-9, 5, 5, 6, 7, 7, -9, -9]


def test_crop_and_pad_move_values_unchanged() -> None:
    array = RNG.normal(size=(3, 4, 5)).astype(np.float32)
    grid, box = Grid.from_spacing(array.shape, (5, 0.3, 0.3)), Box((1, -1, 2), (3, 3, 7))
    assert np.array_equal(resample(array, grid, grid.crop(box), fill=2), crop_or_pad(array, box, fill=2))


def test_channels_are_resampled_alike() -> None:
    array = RNG.normal(size=(2, 4, 5, 6))
    grid = Grid.from_spacing((4, 5, 6))
    for target in (grid.resized((3, 9, 6)), turned(grid)):
        both = resample(array, grid, target)
        assert both.shape == (2, *target.shape)
        for channel in (0, 1):
            assert np.array_equal(both[channel], resample(array[channel], grid, target))


def test_array_of_another_grid_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(1, 1, 2\) but its grid has \(1, 1, 3\)"):
        resample(np.zeros((1, 1, 2)), Grid.from_spacing((1, 1, 3)), Grid.from_spacing((1, 1, 3)))


# ---- against an independent implementation ----


@pytest.mark.parametrize("shape", [(8, 10, 12), (13, 7, 9), (4, 5, 6), (40, 5, 7), (5, 6, 100)])
def test_enlarging_agrees_with_torch(shape: tuple[int, int, int]) -> None:
    array = RNG.normal(size=(4, 5, 6)).astype(np.float32)
    grid = Grid.from_spacing(array.shape, (5, 0.3, 0.4))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(array)[None, None], shape, mode="trilinear", align_corners=False
    )[0, 0]
    np.testing.assert_allclose(resample(array, grid, grid.resized(shape)), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("shape", [(10, 15), (5, 6), (7, 13), (19, 29), (1, 1), (3, 60), (40, 11)])
def test_shrinking_agrees_with_torch(shape: tuple[int, int]) -> None:
    array = RNG.normal(size=(1, 20, 30)).astype(np.float32)
    grid = Grid.from_spacing(array.shape, (1, 0.3, 0.4))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(array)[None], shape, mode="bilinear", align_corners=False, antialias=True
    )[0]
    np.testing.assert_allclose(resample(array, grid, grid.resized((1, *shape))), expected.numpy(), atol=1e-5)


# ---- geometry ----


def ball(grid: Grid, center: NDArray, radius: float) -> NDArray[np.float32]:
    """A ball whose edge falls off over 2 mm, centre and radius in RAS mm."""
    points = grid.to_world(np.stack(np.indices(grid.shape), axis=-1))
    return np.clip((radius - np.linalg.norm(points - center, axis=-1)) / 2 + 0.5, 0, 1).astype(np.float32)


def center_of_mass(array: NDArray, grid: Grid) -> NDArray:
    points = grid.to_world(np.stack(np.indices(grid.shape), axis=-1))
    return np.asarray((points * array[..., None]).sum(axis=(0, 1, 2)) / array.sum(dtype=float))


@pytest.mark.parametrize("spacing", [0.7, 1.0, 1.3, 2.0, 3.1, (5.0, 0.8, 0.8), (0.5, 3.0, 2.0)])
@pytest.mark.parametrize("kind", ["parallel", "flipped", "oblique"])
def test_ball_does_not_move(spacing: float, kind: str) -> None:
    source = turned(Grid.from_spacing((24, 26, 28), 1.0, origin=(-40, 25, 60)), 0.2)
    center = source.to_world((11.3, 13.1, 14.4))
    array = ball(source, center, 6.0)
    target = source.with_spacing(spacing)
    if kind == "flipped":
        target = target.reoriented(target.reorientation("SPL"))
    elif kind == "oblique":
        target = turned(target)
    moved = center_of_mass(resample(array, source, target), target)
    # Half a voxel would be fifty times as much.
    np.testing.assert_allclose(moved, center_of_mass(array, source), atol=0.01 * max(target.spacing))


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "SLA", "IPR"])
@pytest.mark.parametrize("shape", [(3, 5, 6), (5, 3, 2), (1, 5, 4)])
def test_turned_axes_are_resampled_like_straight_ones(orientation: str, shape: tuple[int, int, int]) -> None:
    array = RNG.integers(0, 5, (3, 5, 6)).astype(np.uint8)
    source = turned(Grid.from_spacing(array.shape, (3.0, 0.5, 0.4)), 0.2)
    target = source.resized(shape)
    change = target.reorientation(orientation)
    for function in (resample, resample_labels, sample_nearest):
        straight, other = function(array, source, target), function(array, source, target.reoriented(change))
        np.testing.assert_allclose(other, change.apply(straight), atol=1e-5)


def test_oblique_target_reproduces_a_ramp() -> None:
    source = Grid.from_spacing((12, 14, 16), (2.0, 1.0, 0.8))
    target = turned(source).crop(Box((4, 4, 4), (8, 10, 12))).finer(2)
    slope = np.array([1.0, -2.0, 0.5])

    def ramp(grid: Grid) -> NDArray:
        return np.asarray(grid.to_world(np.stack(np.indices(grid.shape), axis=-1)) @ slope)

    np.testing.assert_allclose(resample(ramp(source), source, target), ramp(target), atol=1e-4)


def test_oblique_target_outside_gets_the_fill() -> None:
    source = Grid.from_spacing((4, 4, 4))
    far = turned(Grid.from_spacing((3, 3, 3), origin=(50, 0, 0)))
    assert (resample(np.ones((4, 4, 4)), source, far, fill=-1000) == -1000).all()


def test_coarser_oblique_target_is_antialiased() -> None:
    source = Grid.from_spacing((24, 24, 24))
    noise = RNG.choice([-1.0, 1.0], size=source.shape)
    target = turned(source.resized((6, 6, 6))).crop(Box((1, 1, 1), (5, 5, 5)))
    # Of noise averaged over 4 x 4 x 4 voxels or more hardly any is left; points picked from it would keep nearly all.
    assert resample(noise, source, target).std() < 0.15


def test_one_slice() -> None:
    array = RNG.normal(size=(1, 4, 4)).astype(np.float32)
    grid = Grid.from_spacing(array.shape, (5.0, 0.3, 0.3))
    np.testing.assert_allclose(resample(array, grid, grid.finer((3, 1, 1))), np.repeat(array, 3, axis=0), rtol=1e-6)
    assert resample(array, grid, turned(grid, 0.01)).shape == (1, 4, 4)


def test_axis_map_by_hand() -> None:
    grid = Grid.from_spacing((4, 6, 8), (5.0, 0.3, 0.3))
    start, step = axis_map(grid, grid.finer((1, 2, 4))) or (None, None)
    np.testing.assert_allclose(step, (1, 0.5, 0.25))
    np.testing.assert_allclose(start, (0, -0.25, -0.375))
    assert axis_map(grid, turned(grid)) is None
    assert axis_map(grid, grid.reoriented(grid.reorientation("LPS"))) is None


def test_needs_little_memory() -> None:
    array = np.zeros((128, 128, 128), dtype=np.int16)
    grid = Grid.from_spacing(array.shape)
    for shape in ((64, 64, 64), (128, 128, 256)):
        tracemalloc.start()
        resample(array, grid, grid.resized(shape))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3 * array.size * 4


# ---- crop_or_pad ----


def test_crop_or_pad_by_hand() -> None:
    array = np.arange(4).reshape(1, 1, 4)
    assert crop_or_pad(array, Box((0, 0, 1), (1, 1, 3))).ravel().tolist() == [1, 2]
    assert crop_or_pad(array, Box((0, 0, -2), (1, 1, 1)), fill=9).ravel().tolist() == [9, 9, 0]
    assert crop_or_pad(array, Box((5, 0, 0), (6, 1, 2)), fill=9).ravel().tolist() == [9, 9]
    assert np.shares_memory(array, crop_or_pad(array, Box((0, 0, 1), (1, 1, 3))))


def test_crop_or_pad_keeps_channels_and_type() -> None:
    result = crop_or_pad(np.ones((3, 2, 2, 2), dtype=np.int16), Box.whole((2, 2, 2)).expand(1), fill=-1024)
    assert result.shape == (3, 4, 4, 4)
    assert result.dtype == np.int16
    assert np.count_nonzero(result == 1) == 24


# ---- crop_or_mirror ----


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [(0, 3, [0, 1, 2]), (1, 3, [1, 2]), (-2, 5, [1, 0, 0, 1, 2, 2, 1]), (-7, -5, [0, 0]), (7, 10, [1, 2, 2])],
)
def test_crop_or_mirror_by_hand(start: int, stop: int, expected: list[int]) -> None:
    array = np.arange(3).reshape(1, 1, 1, 3)
    assert crop_or_mirror(array, Box((0, 0, start), (1, 1, stop))).ravel().tolist() == expected
    turned = np.arange(3).reshape(3, 1, 1)
    assert crop_or_mirror(turned, Box((start, 0, 0), (stop, 1, 1))).ravel().tolist() == expected


def test_what_is_mirrored_on_finer_voxels_lies_where_it_does_on_coarse_ones() -> None:
    coarse = np.arange(4).reshape(1, 1, 4)
    fine = coarse.repeat(2, 2)
    for start in (-6, -3, 1):
        found = crop_or_mirror(coarse, Box((0, 0, start), (1, 1, start + 6))).repeat(2, 2)
        assert np.array_equal(found, crop_or_mirror(fine, Box((0, 0, 2 * start), (1, 1, 2 * start + 12))))
