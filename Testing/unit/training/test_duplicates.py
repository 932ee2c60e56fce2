import numpy as np
import pytest

from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.resample import resample
from hrseg.training.duplicates import SAME, duplicates_across_splits, fingerprint


def picture(seed, shape=(30, 32, 34), channels=1):
    """Smooth structures, as images have."""
    coarse = np.random.default_rng(seed).normal(size=[-(-n // 3) for n in shape])
    grid = Grid.from_spacing(coarse.shape)
    array = 100 + 30 * resample(coarse, grid, grid.resized(shape))
    return Image(np.broadcast_to(array, (channels, *shape)), Grid.from_spacing(shape))


def likeness(a, b):
    return duplicates_across_splits([fingerprint("training", "a", a), fingerprint("test", "b", b)])


def changed(image, array):
    return Image(np.asarray(array)[None], Grid.from_spacing(np.shape(array)))


SHAPES = pytest.mark.parametrize("shape", [(30, 32, 34), (1, 90, 120)])


@SHAPES
def test_the_same_voxels_in_another_file(shape):
    other = Image(picture(0, shape).array.copy(), Grid.from_spacing(shape, 2.5))
    assert likeness(picture(0, shape), other) == [
        'training case "a" and test case "b" are the same image; put both into one split'
    ]


@SHAPES
@pytest.mark.parametrize("change", ["brightness", "gamma", "rounding", "size", "noise"])
def test_changed_copies(shape, change):
    image = picture(0, shape)
    array = image.array[0]
    copy = {
        "brightness": lambda: array * 1.4 + 20,
        "gamma": lambda: ((array - array.min()) / np.ptp(array)) ** 1.25,
        "rounding": lambda: np.rint(array / 8).astype(np.int16),
        "size": lambda: resample(array, image.grid, image.grid.resized([max(1, 3 * n // 4) for n in shape])),
        "noise": lambda: array + np.random.default_rng(1).normal(0, 5, array.shape),
    }[change]()
    (problem,) = likeness(image, changed(image, copy))
    assert "are nearly the same image (correlation 0.9" in problem or "correlation 1.000" in problem


@SHAPES
def test_different_images_of_one_kind(shape):
    """With the same background: brighter in the middle, dark outside."""
    distance = np.linalg.norm([(x - (n - 1) / 2) / n for x, n in zip(np.indices(shape), shape, strict=True)], axis=0)
    light = 400 * np.exp(-4 * distance)
    images = [changed(None, light + picture(seed, shape).array[0]) for seed in (0, 1)]
    assert np.corrcoef(images[0].array.ravel(), images[1].array.ravel())[0, 1] > 0.8
    assert likeness(*images) == []


def test_within_a_split_images_may_be_alike():
    one = [fingerprint("training", name, picture(0)) for name in "ab"]
    other = [fingerprint("validation", "c", picture(0)), fingerprint("test", "d", picture(1))]
    assert [problem.split('"')[1::2] for problem in duplicates_across_splits([*one, *other])] == [
        ["a", "c"],
        ["b", "c"],
    ]


def test_color_and_gray_copies():
    assert len(likeness(picture(0, (1, 64, 64)), picture(0, (1, 64, 64), channels=3))) == 1


def test_images_without_detail_are_not_called_alike():
    flat = Image(np.zeros((1, 8, 8, 8), dtype=np.uint8), Grid.from_spacing((8, 8, 8)))
    assert np.isfinite(fingerprint("test", "flat", flat).thumbnail).all()
    other = Image(np.ones((1, 8, 8, 8), dtype=np.uint8), flat.grid)
    assert likeness(flat, other) == []
    assert 0.9 < SAME < 1
