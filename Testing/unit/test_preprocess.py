from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hrseg.errors import InputError, OutOfMemory
from hrseg.geometry import Box, Grid, Reorientation
from hrseg.image import Image
from hrseg.label_assembly import assemble
from hrseg.memory import MIB
from hrseg.model_file import Header, Intensity, Preprocessing
from hrseg.preprocess import locate, prepare, preparing_bytes
from hrseg.resample import SHRINK
from image_helpers import TURN
from model_helpers import KINDS, tiny_header

ORIENTATIONS = [
    "".join(letters)
    for pairs in itertools.permutations((("R", "L"), ("A", "P"), ("S", "I")))
    for letters in itertools.product(*pairs)
]


def header(kind: Intensity = KINDS[0], dimension: int = 3, channels: int = 1, **preprocessing: Any) -> Header:
    names = ["grey"] if channels == 1 else [f"channel {n}" for n in range(channels)]
    return tiny_header(
        dimension=dimension, channels=names, preprocessing=Preprocessing(intensity=kind, **preprocessing)
    )


def odd_image(turned: bool = False, dtype: type = np.int16) -> Image:
    """An image of odd sides and unequal spacing, with a body of 50 and more inside air of 0 to 9."""
    rng = np.random.default_rng(0)
    array = rng.integers(0, 10, (1, 9, 7, 11)).astype(dtype)
    array[0, 2:8, 1:6, 3:9] = rng.integers(50, 99, (6, 5, 6))
    affine = np.eye(4)
    affine[:3, :3] = (TURN if turned else np.eye(3)) * (0.7, 1.1, 2.3)
    affine[:3, 3] = (-31.7, 12.9, 5.5)
    return Image(array, Grid((9, 7, 11), affine), "odd")


def image_of(array: NDArray, name: str = "x") -> Image:
    return Image(array, Grid.from_spacing(array.shape[1:]), name)


# ---- orientation ----


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
@pytest.mark.parametrize("spacing", [None, (1.7, 0.9, 1.3)])
def test_every_orientation_of_an_image_gives_the_same_input(
    spacing: tuple[float, float, float] | None, kind: Intensity, turned: bool
) -> None:
    image, model = (
        odd_image(turned),
        header(kind, orientation="LPS", spacing=spacing, subject_above=30, subject_margin=1),
    )
    expected = prepare(image, model)
    assert expected.grid.orientation == "LPS"
    labels = np.arange(expected.grid.size).reshape(expected.grid.shape) % 3
    slabs = [(0, (np.arange(3)[:, None, None, None] == labels).astype(np.float32))]
    found = restored(slabs, expected)
    for orientation in ORIENTATIONS:
        change = image.grid.reorientation(orientation)
        result = prepare(image.reoriented(change), model)
        assert np.array_equal(result.array, expected.array)
        assert result.grid.matches(expected.grid)
        assert result.array.flags.c_contiguous
        assert np.array_equal(restored(slabs, result), change.apply(found))


def restored(slabs: list[tuple[int, NDArray]], prepared: Any) -> NDArray:
    import torch

    return assemble(((start, torch.from_numpy(slab)) for start, slab in slabs), prepared, 3).labels()


@pytest.mark.parametrize("shrink", ["antialiased", "means"])
def test_values_are_those_of_the_resampler(shrink: str) -> None:
    wide = Intensity(kind="window", low=0, high=1000)
    image, model = odd_image(), header(wide, spacing=(1.7, 0.9, 1.3), shrink=shrink)
    result = prepare(image, model)
    expected = SHRINK[shrink](image.array, image.grid, result.grid)
    np.testing.assert_allclose(result.array, expected.clip(0, 1000) / 1000, atol=1e-6)
    assert result.array.dtype == np.float32


@pytest.mark.parametrize("shown", ["LPS", "PIL", "LIP", "LPI"])
def test_slices_are_taken_as_viewers_show_them(shown: str) -> None:
    ways = {"L": (-1, 0, 0), "P": (0, -1, 0), "I": (0, 0, -1), "S": (0, 0, 1)}
    affine = np.eye(4)
    affine[:3, :3] = np.transpose([ways[letter] for letter in shown]) * (0.5, 0.8, 3.0)
    image = Image(np.arange(35.0).reshape(1, 1, 5, 7), Grid((1, 5, 7), affine), "slice")
    model = header(Intensity(kind="window", low=0, high=34), 2)
    expected = (image.array / 34).astype(np.float32)
    for axes in ((0, 1, 2), (0, 2, 1)):
        for j, i in itertools.product((False, True), repeat=2):
            copy = image.reoriented(Reorientation(axes, (False, j, i)))
            found = prepare(copy, model)
            np.testing.assert_allclose(found.array, expected, rtol=1e-6)
            assert found.grid.matches(image.grid)


def test_volumes_of_models_without_orientation_are_taken_as_they_are() -> None:
    image = image_of(np.arange(24.0).reshape(1, 2, 3, 4))
    flipped = image.reoriented(image.grid.reorientation("LPI"))
    model = header(Intensity(kind="window", low=0, high=23))
    assert np.array_equal(prepare(flipped, model).array, prepare(image, model).array[:, ::-1, ::-1, ::-1])


@given(
    st.tuples(*[st.integers(2, 12)] * 3),
    st.tuples(*[st.floats(0.3, 5)] * 3),
    st.tuples(*[st.floats(0.3, 5)] * 3),
    st.sampled_from(ORIENTATIONS),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_field_of_view_is_kept(
    shape: tuple[int, int, int], spacing: tuple[float, ...], wanted: tuple[float, float, float], orientation: str
) -> None:
    array = np.random.default_rng(0).random((1, *shape))
    image = Image(array, Grid.from_spacing(shape, spacing))
    result = prepare(image, header(orientation=orientation, spacing=wanted))
    assert result.grid.orientation == orientation
    extent = np.multiply(result.grid.shape, result.grid.spacing)
    assert sorted(extent) == pytest.approx(sorted(np.multiply(shape, spacing)))
    center = result.grid.to_world(np.divide(result.grid.shape, 2) - 0.5)
    assert center == pytest.approx(image.grid.to_world(np.divide(shape, 2) - 0.5))


# ---- the subject ----


def test_subject_and_margin() -> None:
    model = header(subject_above=30, subject_margin=2.3)
    result = prepare(odd_image(), model)
    # 2.3 mm are one voxel along k, three along j (1.1 mm) and four along i (0.7 mm), as far as the image goes.
    assert result.subject == Box((1, 0, 0), (9, 7, 11))
    assert prepare(odd_image(), header(subject_above=30, subject_margin=0)).subject == Box((2, 1, 3), (8, 6, 9))
    assert prepare(odd_image(), header()).subject == Box.whole((9, 7, 11))


def test_subject_in_any_channel() -> None:
    array = np.zeros((3, 4, 5, 6))
    array[0, 1, 1, 1] = array[2, 2, 3, 4] = 9
    model = header(channels=3, subject_above=5, subject_margin=0)
    assert prepare(image_of(array), model).subject == Box((1, 1, 1), (3, 4, 5))


def test_no_subject() -> None:
    with pytest.raises(InputError, match=r'"odd" has no voxel above 500, .* its values are 0 to 98'):
        prepare(odd_image(), header(subject_above=500))


# ---- channels and dimensions ----


def test_gray_is_copied_to_the_channels_of_a_color_model() -> None:
    result = prepare(odd_image(), header(channels=3))
    assert result.array.shape == (3, 9, 7, 11)
    assert np.array_equal(result.array[0], result.array[2])
    result.array[0] = 7
    assert result.array[1].max() <= 1


@pytest.mark.parametrize(("has", "wants"), [(3, 1), (1, 2), (3, 4)])
def test_wrong_channels(has: int, wants: int) -> None:
    image = image_of(np.random.default_rng(0).random((has, 2, 3, 4)))
    with pytest.raises(InputError, match=rf'"tiny" takes images with {wants} channels? .* but "x" has {has}'):
        prepare(image, header(channels=wants))


def test_2d_model_with_a_volume() -> None:
    with pytest.raises(InputError, match=r'for 2D images, but "odd" has 9 slices'):
        prepare(odd_image(), header(dimension=2))


@pytest.mark.parametrize("shape", [(1, 3, 4), (1, 1, 1), (3, 4, 1)])
def test_3d_model_with_a_flat_image(shape: tuple[int, int, int]) -> None:
    k, j, i = shape
    image = image_of(np.arange(float(k * j * i)).reshape(1, *shape))
    with pytest.raises(InputError, match=rf'for 3D volumes, but "x" has {i} x {j} x {k} voxels'):
        prepare(image, header())


def test_slice_of_a_2d_model_stays_one_however_thick() -> None:
    array = np.arange(12.0).reshape(1, 1, 3, 4)
    image = Image(array, Grid.from_spacing((1, 3, 4), (5.0, 2.0, 2.0)))
    result = prepare(image, header(dimension=2, spacing=(1, 1, 1)))
    assert result.grid.shape == (1, 6, 8)


@pytest.mark.parametrize("dimension", [2, 3])
def test_constant_image(dimension: int) -> None:
    image = image_of(np.full((1, 1 if dimension == 2 else 3, 3, 3), 4, np.uint8))
    with pytest.raises(InputError, match=r'"x" is constant \(every voxel is 4\)'):
        prepare(image, header(dimension=dimension))


def test_values_beyond_single_precision() -> None:
    array = np.zeros((1, 2, 2, 2))
    array[0, 0, 0, 0] = -1e200
    with pytest.raises(InputError, match=r'"x" has values from -1e\+200 to 0, more than networks can compute with'):
        prepare(Image(array, Grid.from_spacing((2, 2, 2)), "x"), header())


def test_nan() -> None:
    array = np.arange(24.0).reshape(1, 2, 3, 4)
    array[0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="has 1 voxel that is NaN or infinite"):
        prepare(image_of(array), header())


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.float64])
def test_the_image_stays_as_it_is(dtype: type) -> None:
    image = odd_image(dtype=dtype)
    before = image.array.copy()
    for kind in KINDS:
        result = prepare(image, header(kind))
        assert not np.may_share_memory(result.array, image.array)
    assert np.array_equal(image.array, before)
    assert image.array.dtype == dtype


# ---- memory ----


def test_room() -> None:
    image, model = odd_image(), header()
    needed = preparing_bytes(image, Box.whole(image.grid.shape), image.grid)
    prepare(image, model, needed)
    with pytest.raises(OutOfMemory):
        prepare(image, model, needed - 1)


@pytest.mark.parametrize(
    ("spacing", "kind"),
    [
        (None, KINDS[0]),
        (None, KINDS[1]),
        (None, KINDS[2]),
        ((2, 2, 2), KINDS[0]),
        ((0.8, 0.7, 0.6), KINDS[0]),
        ((3, 0.7, 1), KINDS[0]),
    ],
)
def test_forecast_of_memory(spacing: tuple[float, float, float] | None, kind: Intensity) -> None:
    array = np.zeros((1, 160, 160, 160), np.int16)
    array[0, 80:] = 90
    image, model = image_of(array), header(kind, orientation="LIP", spacing=spacing)
    forecast = preparing_bytes(image, *locate(image, model.preprocessing)[2:])
    tracemalloc.start()
    prepare(image, model)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The resampler works in parts of some megabytes.
    assert abs(forecast - peak) < 10 * MIB
