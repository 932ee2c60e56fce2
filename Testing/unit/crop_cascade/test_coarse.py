from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hrseg.crop_cascade.coarse import Coarse, coarse_pass, probabilities
from hrseg.crop_cascade.settings import InferenceSettings
from hrseg.geometry import Box
from hrseg.runtime import CPU

FLAT = InferenceSettings(size=[16, 32])


def of(foreground: torch.Tensor, shape: tuple[int, int, int], nearest: bool = False) -> Coarse:
    return Coarse(torch.stack([1 - foreground, foreground]), shape, nearest)


class Copy(nn.Module):
    """Logits 0 and the input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.shape = tuple(x.shape)
        return torch.cat([torch.zeros_like(x), x], dim=1)


def test_two_dimensions_have_one_slice() -> None:
    assert FLAT.sides == [1, 16, 32]
    assert InferenceSettings(size=[16, 32, 48]).sides == [16, 32, 48]


@pytest.mark.parametrize(("shape", "seen"), [((3, 1, 1, 16, 32), (3, 1, 16, 32)), ((2, 1, 4, 8, 8), (2, 1, 4, 8, 8))])
def test_networks_in_2d_see_no_slices(shape: tuple[int, ...], seen: tuple[int, ...]) -> None:
    network = Copy()
    crops = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = probabilities(network, crops, CPU)
    assert network.shape == seen
    assert found.shape == (shape[0], 2, *shape[2:])
    np.testing.assert_allclose(found[:, 1:].numpy(), 1 / (1 + np.exp(-crops)), rtol=1e-5)


def test_the_whole_volume_is_seen_at_the_network_s_size() -> None:
    network = Copy()
    volume = np.random.default_rng(0).normal(size=(1, 1, 40, 64)).astype(np.float32)
    coarse = coarse_pass(network, volume, FLAT, CPU)
    assert network.shape == (1, 1, 16, 32)
    assert coarse.probability.shape == (2, 1, 16, 32)
    assert coarse.shape == (1, 40, 64)
    assert not coarse.nearest


def test_the_published_one_takes_single_pixels() -> None:
    volume = np.arange(32 * 32, dtype=np.float32).reshape(1, 1, 32, 32)
    settings = InferenceSettings(size=[16, 16], variant="paper")
    coarse = coarse_pass(Copy(), volume, settings, CPU)
    assert coarse.nearest
    expected = torch.from_numpy(volume[0, :, ::2, ::2]).sigmoid()
    torch.testing.assert_close(coarse.probability[1], expected)


def test_the_mask_is_interpolated_and_the_threshold_counts() -> None:
    # 0 and 1 at the size 2 make 0, 1/4, 3/4 and 1 at 4.
    coarse = of(torch.tensor([[[0.0, 1.0]]]), (1, 1, 4))
    assert coarse.mask(0.25).ravel().tolist() == [False, True, True, True]
    assert coarse.mask(0.5).ravel().tolist() == [False, False, True, True]
    assert coarse.mask(0.8).ravel().tolist() == [False, False, False, True]


def test_the_published_mask_repeats_pixels() -> None:
    coarse = of(torch.tensor([[[0.0, 0.6], [0.4, 0.0]]]), (1, 4, 5), nearest=True)
    # Column n of 5 comes from n * 2 // 5.
    assert coarse.mask(0.5)[0].astype(int).tolist() == [[0, 0, 0, 1, 1]] * 2 + [[0] * 5] * 2
    assert coarse.mask(0.3)[0, 2:].astype(int).tolist() == [[1, 1, 1, 0, 0]] * 2


def test_any_label_counts_for_the_mask() -> None:
    coarse = Coarse(torch.tensor([0.4, 0.3, 0.3]).view(3, 1, 1, 1), (1, 1, 1))
    assert coarse.mask(0.6).all()
    assert not coarse.mask(0.61).any()


@pytest.mark.parametrize("shape", [(1, 20, 30), (12, 20, 30)])
def test_probabilities_of_a_box_are_those_of_the_interpolated_volume(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    sides = (1, 8, 8) if shape[0] == 1 else (8, 8, 8)
    coarse = Coarse(torch.rand(3, *sides).softmax(0), shape)
    box = Box((0, 3, 7), (shape[0], 20, 19))
    full = F.interpolate(coarse.probability[None], shape, mode="trilinear", align_corners=False)[0]
    torch.testing.assert_close(coarse.at(box), full[(slice(None), *box.slices)], atol=1e-5, rtol=0)


def test_beyond_the_volume_all_is_background() -> None:
    coarse = of(torch.ones(1, 4, 4), (1, 8, 8))
    found = coarse.at(Box((0, -2, 6), (1, 3, 10)))
    assert found[1, 0].tolist() == [[0] * 4] * 2 + [[1, 1, 0, 0]] * 3
    assert (found.sum(0) == 1).all()
