from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hrseg.geometry import Box, Grid, Reorientation
from hrseg.model_file import Intensity, Preprocessing
from hrseg.pfseg.volumes import (
    Volumes,
    around,
    centre_share,
    cut_guidance,
    enlarged,
    kept,
    padded_sides,
    resolution_of,
    scaled,
    shrunk,
)
from hrseg.preprocess import Prepared
from image_helpers import picture_grid
from model_helpers import tiny_header


def prepared(shape: tuple[int, int, int]) -> Prepared:
    grid = Grid.from_spacing((9, 9, 9)).crop(Box.whole(shape))
    array = np.broadcast_to(np.arange(shape[2], dtype=np.float32), (1, *shape)).copy()
    return Prepared(array, grid, Reorientation((0, 1, 2), (False,) * 3), Box.whole(shape), grid)


def test_sides_are_rounded_up() -> None:
    assert padded_sides((16, 17, 1), (8, 8, 1), (2, 2, 1)) == [8, 16, 1]


def test_around_the_middle() -> None:
    assert around((5, 4, 3), (8, 4, 4)) == Box((-1, 0, 0), (7, 4, 4))


def test_a_low_resolution_copy() -> None:
    source = prepared((4, 4, 6))
    found, high = shrunk(source, (2, 2, 4), (2, 2, 2), "antialiased")
    assert high is source.array
    assert found.low.shape == (1, 2, 2, 4)
    assert found.inner == Box((0, 0, 1), (4, 4, 7))
    # Padded by a voxel on both sides: the second LR voxel lies between the HR voxels 1 and 2.
    assert found.low[0, 0, 0, 1] == pytest.approx(1.5)


def test_low_and_high_resolution_agree() -> None:
    found, _ = shrunk(prepared((4, 4, 16)), (2, 2, 8), (2, 2, 2), "antialiased")
    # The LR voxel n lies between the HR voxels 2n and 2n + 1.
    np.testing.assert_allclose(found.low[0, 0, 0, 1:-1], 2 * np.arange(1, 7) + 0.5)
    assert found.inner == Box.whole((4, 4, 16))


def test_a_finer_output() -> None:
    source = prepared((4, 3, 6))
    found = enlarged(source, (2, 2, 4), (1, 2, 2))
    assert found.low.shape == (1, 4, 4, 8)
    assert found.inner == Box((0, 0, 2), (4, 6, 14))
    np.testing.assert_array_equal(found.low[0, 0, 0], [0, 0, 1, 2, 3, 4, 5, 0])
    assert found.prepared.grid.shape == (4, 6, 12)
    assert found.prepared.grid.spacing == (1, 0.5, 0.5)
    assert found.prepared.subject == Box.whole((4, 6, 12))


def test_a_low_resolution_image_for_a_mask_on_its_own_voxels() -> None:
    source = prepared((4, 3, 6))
    found, high = kept(source, (2, 2, 4), (1, 2, 2))
    np.testing.assert_array_equal(found.low[0, 0, 0], [0, 0, 1, 2, 3, 4, 5, 0])
    assert found.inner == Box((0, 0, 2), (4, 6, 14))
    assert found.prepared.grid.shape == high.shape[1:] == (4, 6, 12)
    np.testing.assert_allclose(high[0, 0, 0, :4], [0, 0.25, 0.75, 1.25])
    assert (found.prepared.subject, found.prepared.oriented) == (source.subject, source.oriented)


@pytest.mark.parametrize(
    ("spacing", "fine", "expected"),
    [
        ((1.0, 1.0, 1.0), False, False),
        ((1.0, 1.0, 1.0), True, True),
        ((3.0, 2.0, 4.0), False, True),
        ((3.0, 1.5, 4.0), False, False),
        ((1.0, 2.0, 4.0), False, True),
    ],
)
def test_images_that_are_no_finer_are_not_shrunk(spacing: Any, fine: bool, expected: bool) -> None:
    """The first axis of the model, of thick slices, is not shrunk, so that it does not count."""
    preprocessing = Preprocessing(spacing=(3, 1, 2), orientation="LPS", intensity=Intensity(kind="zscore"))
    header = tiny_header(preprocessing=preprocessing)
    grid = Grid.from_spacing((4, 4, 4), spacing).reoriented(Grid.from_spacing((4, 4, 4)).reorientation("LPS"))
    turned = grid.reoriented(grid.reorientation("SAR"))
    found = [resolution_of(one, header, (1, 2, 2), fine=fine) for one in (grid, turned)]
    assert [is_low for is_low, _ in found] == [expected] * 2
    assert found[0][1].preprocessing.spacing == ((3, 2, 4) if expected else (3, 1, 2))


def test_the_resolution_of_a_slice_is_that_in_which_it_is_shown() -> None:
    preprocessing = Preprocessing(spacing=(1, 1, 2), intensity=Intensity(kind="zscore"))
    header = tiny_header(dimension=2, preprocessing=preprocessing)
    # As coarse as the low resolution: 2 mm between rows, 4 mm between columns, as shown.
    grid = picture_grid((1, 4, 4)).with_spacing((1, 2, 4))
    for one in (grid, grid.reoriented(Reorientation((0, 2, 1), (False,) * 3))):
        assert resolution_of(one, header, (1, 2, 2), fine=False)[0]


def test_scaled() -> None:
    assert scaled(Box((1, 2, 3), (2, 4, 6)), (1, 2, 4)) == Box((1, 4, 12), (2, 8, 24))


def test_place_of_the_crop() -> None:
    # The volume starts 2 voxels into an output of 16; the crop's middle is 2 + 6.
    share = centre_share(Box((4, 4, 4), (8, 8, 8)), Box((2, 2, 2), (12, 12, 12)), (16, 16, 32))
    assert share.tolist() == [0.5, 0.5, 0.25]
    volume = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    guidance = cut_guidance(volume, Box((0, 1, 3), (1, 3, 5)), Box.whole((1, 4, 4)), (1, 4, 4), 2)
    assert guidance.crop.tolist() == [[[[7, 0], [11, 0]]]]
    assert guidance.place.tolist() == [[0.5, 1.0]]


@pytest.mark.parametrize(
    "make",
    [
        lambda found: shrunk(found, (2, 2, 4), (2, 2, 2), "antialiased")[0],
        lambda found: kept(found, (2, 2, 4), (2, 2, 2))[0],
    ],
)
def test_the_full_resolution_is_free_for_the_network(make: Callable[[Prepared], Volumes]) -> None:
    source = prepared((4, 4, 6))
    array = weakref.ref(source.array)
    found = make(source)
    del source
    assert array() is None
    assert found.prepared.array.shape == (1, 0, 4, 6)
