import numpy as np
import pytest

from hrseg.training.sampling import random_patch
from hrseg.training.task import TrainingCase


def case(shape=(20, 20, 20), **voxels):
    numbers = np.arange(np.prod(shape)).reshape(shape)
    label = np.zeros(shape, dtype=np.uint8)
    found = {}
    for value, place in voxels.items():
        label[place] = int(value[1:])
        found[int(value[1:])] = np.array([np.ravel_multi_index(place, shape)])
    return TrainingCase("a", numbers[None].astype(np.float32), label, (True,) * len(voxels), found)


def test_a_patch_is_larger_by_the_margin_and_cut_alike():
    source = case(v1=(10, 10, 10))
    image, label = random_patch(source, (8, 8, 8), 1, np.random.RandomState(0))
    np.testing.assert_array_equal(image, source.image[:, 5:15, 5:15, 5:15])
    np.testing.assert_array_equal(label, source.label[5:15, 5:15, 5:15])


def test_the_center_is_a_voxel_of_a_label_each_label_as_often():
    source = case(v1=(6, 7, 8), v3=(12, 11, 10))
    rng = np.random.RandomState(0)
    centers = [random_patch(source, (8, 8, 8), 1, rng)[1][5, 5, 5].item() for _ in range(200)]
    assert set(centers) == {1, 3}
    assert 70 < centers.count(1) < 130


def test_foreground_is_a_share():
    source = case(v1=(10, 10, 10))
    rng = np.random.RandomState(0)
    hits = sum(random_patch(source, (8, 8, 8), 0.5, rng)[1][5, 5, 5].item() for _ in range(200))
    assert 70 < hits < 130


def test_without_labels_patches_come_from_anywhere():
    starts = {float(random_patch(case(), (8, 8, 8), 1, np.random.RandomState(n))[0].max()) for n in range(20)}
    assert len(starts) > 10


@pytest.mark.parametrize("place", [(0, 0, 0), (19, 19, 19), (0, 19, 10)])
def test_the_final_patch_stays_inside(place):
    image, _ = random_patch(case(v1=place), (8, 8, 8), 1, np.random.RandomState(0))
    # Beyond the image there are zeros, and the first voxel is a zero itself.
    assert (image[0, 1:9, 1:9, 1:9] == 0).sum() <= 1


def test_a_small_image_is_padded_with_zeros():
    image, label = random_patch(case((4, 20, 20), v1=(0, 10, 10)), (8, 8, 8), 1, np.random.RandomState(0))
    assert image.shape == (1, 10, 10, 10)
    assert (image[0, :3] == 0).all()
    assert (image[0, 3:7, 5, 5] > 0).all()
    assert label.sum() == 1


def test_one_slice_stays_one_slice():
    image, label = random_patch(case((1, 20, 20)), (1, 8, 8), 0, np.random.RandomState(0))
    assert image.shape == (1, 1, 10, 10)
    assert label.shape == (1, 10, 10)


def test_the_patch_is_the_callers_own():
    source = case((10, 10, 10))
    image, label = random_patch(source, (8, 8, 8), 0, np.random.RandomState(0))
    image += 1
    label += 1
    assert source.image[0, 0, 0, 0] == 0
    assert source.label.max() == 0
