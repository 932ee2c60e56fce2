from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor
from torch.nn import functional as F

from hrseg.memory import MIB, PeakMemory
from hrseg.windows import blend_windows, blended_slabs, gaussian_weight, window_count, window_starts


def predictor(classes: int, channels: int = 1) -> Any:
    """Depends on the place within the window, so that a wrong weight or place shows."""

    def predict(x: Tensor) -> Tensor:
        ramp = torch.linspace(0, 1, x.shape[2]).reshape(-1, *[1] * (x.ndim - 3))
        smooth = x.cumsum(-1).sin() + ramp
        return torch.stack([smooth.sum(1) * (n + 1) + x[:, n % channels] for n in range(classes)], dim=1)

    return predict


@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.7])
@pytest.mark.parametrize(
    ("shape", "window"),
    [
        ((8, 8, 8), (8, 8, 8)),
        ((20, 17, 9), (8, 8, 8)),
        ((5, 19, 7), (8, 6, 10)),
        ((3, 3, 3), (8, 8, 8)),
        ((31, 8, 12), (4, 8, 12)),
        ((40, 33), (16, 12)),
        ((7, 33), (16, 12)),
        ((64, 5), (8, 16)),
    ],
)
def test_as_monai(shape: tuple[int, ...], window: tuple[int, ...], overlap: float) -> None:
    torch.manual_seed(0)
    volume = torch.rand(2, *shape)
    for classes, batch in ((1, 1), (3, 4)):
        predict = predictor(classes, 2)
        expected = sliding_window_inference(
            volume[None], window, batch, predict, overlap, mode="gaussian", sigma_scale=0.125, padding_mode="constant"
        )[0]
        found = blend_windows(volume, window, predict, overlap=overlap, batch=batch)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_padding_has_the_given_value() -> None:
    volume = torch.rand(1, 5, 9, 6)
    window = (8, 8, 8)
    expected = sliding_window_inference(
        volume[None], window, 1, predictor(2), 0.5, mode="gaussian", padding_mode="constant", cval=-3.0
    )[0]
    torch.testing.assert_close(blend_windows(volume, window, predictor(2), fill=-3.0), expected, rtol=1e-5, atol=1e-5)


def test_starts_by_hand() -> None:
    assert window_starts(10, 10, 0.5) == [0]
    assert window_starts(11, 10, 0.5) == [0, 1]
    assert window_starts(20, 10, 0.0) == [0, 10]
    assert window_starts(21, 10, 0.0) == [0, 10, 11]
    assert window_starts(20, 10, 0.5) == [0, 5, 10]
    assert window_starts(24, 10, 0.75) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert window_starts(5, 2, 0.9) == [0, 1, 2, 3]


def test_count() -> None:
    assert window_count((20, 21, 5), (10, 10, 10), 0.0) == 2 * 3
    told: list[int] = []
    list(blended_slabs(torch.rand(1, 20, 21, 5), (10, 10, 10), predictor(2), overlap=0.0, batch=4, advance=told.append))
    assert told == [3, 3]


def test_weight_by_hand() -> None:
    weight = gaussian_weight((3, 8))
    assert weight.shape == (3, 8)
    # sigma is 3/8 and 1 voxel; the centre of eight voxels lies between the fourth and the fifth.
    assert float(weight[1, 3]) == pytest.approx(torch.tensor(-0.125).exp().item())
    assert float(weight[0, 4]) == pytest.approx(torch.tensor(-1 / (2 * 0.375**2) - 0.125).exp().item())
    assert float(weight.min()) == pytest.approx(1e-3)


@pytest.mark.parametrize("length", [1, 7, 8, 9, 24, 37])
@pytest.mark.parametrize("overlap", [0, 0.5, 0.7])
def test_slabs_come_in_order_and_cover_everything_once(length: int, overlap: float) -> None:
    slabs = list(blended_slabs(torch.rand(1, length, 9), (8, 8), predictor(2), overlap=overlap))
    next_start = 0
    for start, slab in slabs:
        assert start == next_start
        assert slab.shape == (2, slab.shape[1], 9)
        next_start += slab.shape[1]
    assert next_start == length


def test_constant_predictions_stay_constant() -> None:
    found = blend_windows(torch.rand(1, 21, 13), (8, 8), lambda x: torch.full_like(x, 0.25), overlap=0.6)
    torch.testing.assert_close(found, torch.full((1, 21, 13), 0.25))


def test_slabs_leave_before_all_windows_are_done() -> None:
    told: list[int] = []
    slabs = blended_slabs(torch.rand(1, 64, 8), (8, 8), predictor(1), overlap=0.5, advance=told.append)
    start, slab = next(slabs)
    assert (start, slab.shape[1], len(told)) == (0, 4, 1)


def test_nothing_that_is_given_changes() -> None:
    volume = torch.rand(1, 12, 9)
    before, fixed = volume.clone(), torch.ones(1, 2, 8, 8)
    blend_windows(volume, (8, 8), lambda x: fixed, overlap=0.5)
    blend_windows(volume, (8, 8), lambda x: x.mul_(2), overlap=0.5)
    assert torch.equal(volume, before)
    assert torch.equal(fixed, torch.ones(1, 2, 8, 8))


def test_gradients_are_not_kept() -> None:
    weight = torch.ones(1, 1, 1, 1, requires_grad=True)
    assert not blend_windows(torch.rand(1, 12, 9), (8, 8), lambda x: F.conv2d(x, weight)).requires_grad


def test_memory_does_not_grow_with_the_volume() -> None:
    def peak(length: int) -> int:
        volume = torch.zeros(1, length, 64, 64)
        memory = PeakMemory(torch.device("cpu"))
        for _ in blended_slabs(volume, (16, 64, 64), lambda x: x.expand(-1, 8, -1, -1, -1), overlap=0.5):
            pass
        return memory.bytes()

    peak(16)
    # Sums over a volume of this size would take 64 MiB.
    assert peak(512) < 16 * MIB


@pytest.mark.parametrize(
    ("shape", "window"), [((20, 17, 9), (8, 8, 8)), ((3, 9, 13), (8, 6, 10)), ((40, 33), (16, 12))]
)
@pytest.mark.parametrize("factors", [2, 4])
def test_finer_predictions_are_as_windows_of_a_finer_volume(
    shape: tuple[int, ...], window: tuple[int, ...], factors: int
) -> None:
    def repeated(x: Tensor) -> Tensor:
        for axis in range(len(shape)):
            x = x.repeat_interleave(factors, x.ndim - 1 - axis)
        return x

    torch.manual_seed(0)
    volume = torch.rand(1, *shape)
    found = blend_windows(volume, window, repeated, overlap=0.5, batch=2, factors=[factors] * len(shape))
    # Whatever the weights are, windows that agree give what each of them says.
    torch.testing.assert_close(found, repeated(volume))


def test_finer_predictions_along_some_axes_come_in_order() -> None:
    def predict(x: Tensor) -> Tensor:
        return x.repeat_interleave(4, 3)

    slabs = list(blended_slabs(torch.rand(1, 20, 9), (8, 8), predict, overlap=0.5, factors=[1, 4]))
    assert torch.cat([slab for _, slab in slabs], dim=1).shape == (1, 20, 36)
    assert [start for start, _ in slabs] == sorted({start for start, _ in slabs})
    along = list(blended_slabs(torch.rand(1, 20, 9), (8, 8), lambda x: x.repeat_interleave(2, 2), factors=[2, 1]))
    ends = [start + slab.shape[1] for start, slab in along]
    assert [0, *ends[:-1]] == [start for start, _ in along]
    assert ends[-1] == 40
