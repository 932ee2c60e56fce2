from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hrseg.crop_cascade.merging import Canvas, Region, cut, cut_labels
from hrseg.geometry import Box


def joined(canvas: Canvas) -> torch.Tensor:
    return torch.cat([slab for _, slab in canvas.slabs()], dim=1)


@pytest.mark.parametrize("merge", ["mean", "max", "or"])
@pytest.mark.parametrize("box", [Box((3, 4, 5), (23, 20, 25)), Box((-4, 0, 20), (10, 12, 44))])
def test_pasting_is_the_inverse_of_cutting(merge: str, box: Box) -> None:
    truth = np.random.default_rng(0).integers(0, 2, (1, 40, 30, 40)).astype(np.float32)
    crop = torch.from_numpy(cut(truth, box, box.shape))
    canvas = Canvas(2, (40, 30, 40), merge)  # type: ignore[arg-type]
    canvas.add(box, torch.cat([1 - crop, crop]))
    expected = np.zeros_like(truth[0])
    inner = box.clip((40, 30, 40)).slices
    expected[inner] = truth[0][inner]
    np.testing.assert_allclose(joined(canvas)[1].numpy(), expected, atol=1e-6)


def test_crops_are_resized_like_torch_does() -> None:
    values = torch.rand(3, 8, 9, 10).softmax(0)
    box = Box((2, 1, 0), (37, 15, 31))
    canvas = Canvas(3, (40, 16, 31), "mean")
    canvas.add(box, values)
    expected = F.interpolate(values[None], box.shape, mode="trilinear", align_corners=False)[0]
    torch.testing.assert_close(joined(canvas)[(slice(None), *box.slices)], expected, atol=1e-5, rtol=0)


def test_outside_every_crop_all_is_background() -> None:
    canvas = Canvas(2, (1, 4, 4), "mean")
    canvas.add(Box((0, 0, 0), (1, 2, 2)), torch.tensor([0.2, 0.8]).view(2, 1, 1, 1).expand(2, 1, 2, 2))
    probability = joined(canvas)
    assert probability[1, 0].sum() == pytest.approx(4 * 0.8)
    assert (probability.sum(0) - 1).abs().max() < 1e-6


def test_in_overlaps_mean_averages_and_max_takes_the_surest() -> None:
    box = Box((0, 0, 0), (1, 4, 4))
    low, high = (torch.tensor([1 - p, p]).view(2, 1, 1, 1).expand(2, 1, 4, 4) for p in (0.2, 0.8))
    for merge, expected in (("mean", 0.5), ("max", 0.8), ("or", 1.0)):
        canvas = Canvas(2, (1, 4, 4), merge)  # type: ignore[arg-type]
        canvas.add(box, low)
        canvas.add(box, high)
        torch.testing.assert_close(joined(canvas)[1], torch.full((1, 4, 4), expected))


def test_beyond_the_border_the_image_is_reflected() -> None:
    row = np.arange(4, dtype=np.float32).reshape(1, 1, 1, 4)
    assert cut(row, Box((0, 0, -3), (1, 1, 9)), (1, 1, 12)).ravel().tolist() == [3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]


def test_nearest_takes_single_voxels_and_the_default_averages() -> None:
    stripes = np.tile([0.0, 1.0], 8).astype(np.float32).reshape(1, 1, 1, 16)
    box = Box.whole((1, 1, 16))
    assert cut(stripes, box, (1, 1, 4), nearest=True).ravel().tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(cut(stripes, box, (1, 1, 4)).ravel()[1:3], 0.5, atol=1e-6)


def test_published_resizing_is_that_of_torch() -> None:
    values = torch.rand(1, 1, 29, 31)
    box = Box((0, 3, 5), (1, 26, 30))
    for sides in ((1, 16, 16), (1, 40, 48)):
        expected = F.interpolate(values[:, :, 3:26, 5:30], sides[1:])[0]
        np.testing.assert_array_equal(cut(values.numpy(), box, sides, nearest=True)[0], expected.numpy())
        canvas = Canvas(2, (1, 29, 31), "or")
        crop = torch.rand(1, *sides)
        canvas.add(box, torch.cat([1 - crop, crop]))
        pasted = F.interpolate((crop >= 0.5).float(), box.shape[1:])[0]
        torch.testing.assert_close(joined(canvas)[1][box.slices], pasted)


def test_of_a_shrunk_label_map_the_largest_area_counts() -> None:
    row = np.array([1, 1, 0, 2, 2, 2, 0, 0, 1], np.uint8).reshape(1, 1, 9)
    found = cut_labels(row, Box.whole((1, 1, 9)), (1, 1, 3))
    assert found.dtype == np.uint8
    assert found.ravel().tolist() == [1, 2, 0]
    assert cut_labels(row, Box.whole((1, 1, 9)), (1, 1, 3), nearest=True).ravel().tolist() == [1, 2, 0]
    assert cut_labels(row, Box((0, 0, 1), (1, 1, 7)), (1, 1, 3), nearest=True).ravel().tolist() == [1, 2, 2]


def test_labels_are_reflected_like_the_image() -> None:
    volume = np.random.default_rng(0).integers(0, 3, (5, 9, 8)).astype(np.uint8)
    box = Box((-2, 3, -4), (6, 14, 12))
    found = cut_labels(volume, box, box.shape)
    assert np.array_equal(found, cut(volume[None].astype(np.float32), box, box.shape)[0])
    assert np.array_equal(cut_labels(volume, box, box.shape, nearest=True), found)


def test_only_a_region_is_taken_from_its_crop() -> None:
    region = Region(Box((0, 1, 1), (1, 3, 4)), np.array([[[True, False, True], [True, True, False]]]))
    for merge in ("mean", "max", "or"):
        canvas = Canvas(2, (1, 4, 5), merge)  # type: ignore[arg-type]
        canvas.add(Box((0, -1, 0), (1, 5, 6)), torch.tensor([0.1, 0.9]).view(2, 1, 1, 1).expand(2, 1, 6, 6), region)
        found = joined(canvas)[1, 0] >= 0.5
        assert found.int().tolist() == [[0] * 5, [0, 1, 0, 1, 0], [0, 1, 1, 0, 0], [0] * 5]


def test_volumes_are_joined_slab_by_slab() -> None:
    canvas = Canvas(2, (40, 3, 3), "max")
    canvas.add(Box((10, 0, 0), (35, 3, 3)), torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 25, 3, 3))
    assert [(start, slab.shape[1]) for start, slab in canvas.slabs()] == [(0, 16), (16, 16), (32, 8)]
    assert np.flatnonzero(joined(canvas)[1, :, 0, 0]).tolist() == list(range(10, 35))
