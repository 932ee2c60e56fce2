from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hrseg.crop_cascade.merging import Canvas, cut
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
