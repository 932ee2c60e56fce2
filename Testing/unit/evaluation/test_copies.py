from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from hrseg.evaluation.copies import Copy, copies
from hrseg.geometry import Grid
from hrseg.image import Image, LabelMap
from image_helpers import AXES

GREYS = [(-100.0, 200.0)]


def picture(shape: Sequence[int], channels: int = 1, kind: str = "plain") -> Image:
    """A bright block in the dark, away from the middle."""
    affine = np.eye(4)
    affine[:3, :3] = AXES[kind] * (0.5, 0.75, 2.0)
    affine[:3, 3] = (10, -20, 30)
    array = np.zeros((channels, *shape), np.int16)
    array[:, shape[0] // 4 : shape[0] // 2 + 1, 5 : shape[1] // 2, 4 : shape[2] // 2] = 100
    return Image(array, Grid((shape[0], shape[1], shape[2]), affine), "block")


IMAGES = {
    "volume": picture((12, 20, 24)),
    "oblique volume": picture((12, 20, 24), kind="oblique left-handed"),
    "picture": picture((1, 30, 26)),
    "colours": picture((1, 30, 26), 3),
}


def made(image: Image) -> dict[str, Copy]:
    return {copy.name: copy for copy in copies(image, GREYS * image.channels)}


def threshold(image: Image) -> LabelMap:
    """A method that follows everything."""
    return LabelMap((image.array[0] > 50).astype(np.uint8), image.grid)


@pytest.mark.parametrize("kind", IMAGES)
def test_results_come_back_to_where_they_belong(kind: str) -> None:
    image = IMAGES[kind]
    expected = threshold(image).array
    for copy in made(image).values():
        back, shown = copy.back(threshold(copy.image), image.grid), copy.shown(image.grid)
        assert not back[~shown].any()
        differing = np.count_nonzero(back[shown] != expected[shown])
        if copy.same_voxels:
            assert (differing, shown.all()) == (0, True)
        # New voxels move the border of the block by a part of a voxel.
        assert differing <= 0.35 * expected.sum(), copy.name
        assert copy.image.array.dtype == np.int16


@pytest.mark.parametrize("kind", IMAGES)
def test_labels_there_and_back(kind: str) -> None:
    image = IMAGES[kind]
    expected = threshold(image).array
    for copy in made(image).values():
        there = copy.forth(expected, image.grid, copy.image.grid)
        back, shown = copy.back(there, image.grid), copy.shown(image.grid)
        assert np.count_nonzero((back != expected)[shown]) <= (0 if copy.same_voxels else 0.35 * expected.sum())


def test_which_copies() -> None:
    volume, flat = made(IMAGES["volume"]), made(IMAGES["picture"])
    assert [name for name, copy in volume.items() if copy.same_voxels] == [
        "flipped along i",
        "flipped along j",
        "flipped along k",
        "axes j, i, k",
        "axes j, i, k, flipped along i",
        "axes j, k, i",
        "axes k, j, i, all flipped",
        "turned by 15 degrees in space",
    ]
    assert [*volume][8:] == [
        "new voxels, turned by 15 degrees",
        "coarser by 1.5",
        "finer by 1.5",
        "middle 80 % of each axis",
        "first half along k",
        "noise of 5%",
        "noise of 10%",
        "grey values -10%",
        "grey values +10%",
        "contrast times 0.9",
        "contrast times 1.1",
    ]
    assert len(flat) == 16
    assert all(copy.image.is_2d for copy in flat.values())
    assert "first half along i" in flat


def test_shapes() -> None:
    image, found = IMAGES["volume"], made(IMAGES["volume"])
    assert found["axes j, k, i"].image.grid.shape == (24, 12, 20)
    assert found["axes j, i, k"].image.grid.shape == (12, 24, 20)
    assert found["coarser by 1.5"].image.grid.shape == (8, 13, 16)
    assert found["finer by 1.5"].image.grid.shape == (18, 30, 36)
    assert made(IMAGES["picture"])["finer by 1.5"].image.grid.shape == (1, 45, 39)
    assert found["middle 80 % of each axis"].image.grid.shape == (10, 16, 20)
    assert found["first half along k"].image.grid.shape == (6, 20, 24)
    assert found["first half along k"].shown(image.grid).sum() == 6 * 20 * 24
    # The corners are inside.
    assert found["new voxels, turned by 15 degrees"].shown(image.grid).all()


def test_grey_values() -> None:
    image, found = IMAGES["volume"], made(IMAGES["volume"])
    noise = (found["noise of 10%"].image.array - image.array).astype(float)
    assert noise.std() == pytest.approx(20, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.5)
    for name, low, high in (
        ("grey values -10%", -20, 80),
        ("grey values +10%", 20, 120),
        ("contrast times 0.9", -10, 80),
        ("contrast times 1.1", 10, 120),
    ):
        assert np.unique(found[name].image.array).tolist() == [low, high]


def test_values_stay_in_their_type() -> None:
    image = Image(np.array([[[[0, 250]]]], np.uint8), Grid.from_spacing((1, 1, 2)))
    (copy,) = [copy for copy in copies(image, [(0, 255)]) if copy.name == "grey values +10%"]
    assert copy.image.array.ravel().tolist() == [26, 255]


def test_turned_in_space() -> None:
    """By 15 degrees: cos 0.9659; the middle stays, and so do the voxels."""
    image, copy = IMAGES["volume"], made(IMAGES["volume"])["turned by 15 degrees in space"]
    assert np.array_equal(copy.image.array, image.array)
    before, after = image.grid, copy.image.grid
    middle = (np.array(before.shape) - 1) / 2
    np.testing.assert_allclose(after.to_world(middle), before.to_world(middle))
    turn = copy.world[:3, :3]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.trace(turn) == pytest.approx(1 + 2 * 0.9659258)
    assert after.spacing == pytest.approx(before.spacing)


def test_finer_grids_follow() -> None:
    image = IMAGES["volume"]
    fine = image.grid.finer((1, 2, 3))
    found = made(image)
    for name, shape in {"axes j, k, i": (72, 12, 40), "flipped along i": (12, 40, 72)}.items():
        assert found[name].finer(image.grid, fine).shape == shape
    assert found["coarser by 1.5"].finer(image.grid, fine).shape == (8, 26, 48)
