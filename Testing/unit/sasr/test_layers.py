"""The blocks: folding, path by path, sizes."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn

from hrseg.blocks import channels_last, placed
from hrseg.sasr.layers import Residual, ScaleAware, Unit, enlarged, shrunk


def shaken(module: nn.Module) -> nn.Module:
    """In evaluation, with weights and statistics that are all different."""
    torch.manual_seed(0)
    for tensor in module.state_dict().values():
        tensor.uniform_(0.2, 1.0)
    return module.eval()


@pytest.mark.parametrize("dimension", [2, 3])
def test_folded_norm_is_the_same(dimension: int) -> None:
    unit = shaken(Unit(dimension, 3, 2, 3, [2] * dimension))
    x = torch.randn(2, 3, *[7] * dimension)
    slow = unit(x)
    with torch.no_grad():
        torch.testing.assert_close(unit(x), slow)
    assert slow.shape == (2, 2, *[7] * dimension)


def test_unit_by_hand() -> None:
    # Weight 2, bias 1; mean 3, variance 4 (+ 1e-5), scale 1, shift 0.5: 5 becomes (11 - 3) / 2 + 0.5.
    unit = Unit(2, 1, 1, 1).eval()
    with torch.no_grad():
        for tensor, value in ((unit.conv.weight, 2), (unit.conv.bias, 1), (unit.mean, 3), (unit.variance, 4)):
            assert tensor is not None
            tensor.fill_(value)
        unit.bias.fill_(0.5)
        assert unit(torch.full((1, 1, 1, 1), 5.0)).item() == pytest.approx(4.5, abs=1e-4)
        assert unit(torch.full((1, 1, 1, 1), -5.0)).item() == 0


@pytest.mark.parametrize(("dimension", "channels"), [(2, 24), (2, 104), (3, 24)])
def test_gradients_in_half_precision(dimension: int, channels: int) -> None:
    torch.manual_seed(0)
    unit = Unit(dimension, channels, 8, 3, [2] * dimension)
    placed(unit, torch.device("cpu"))
    x = channels_last(torch.randn(8, channels, *[32 if dimension == 2 else 12] * dimension))
    gradients = []
    for enabled in (False, True):
        unit.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = unit(x)
        y.square().mean().backward()
        assert unit.conv.weight.grad is not None
        gradients.append(unit.conv.weight.grad.clone())
    assert (gradients[0] - gradients[1]).norm() < 0.05 * gradients[0].norm()


def test_norm_learns_statistics_in_training_alone() -> None:
    unit = Unit(2, 1, 1, 1)
    unit(torch.randn(4, 1, 8, 8))
    assert unit.mean.item() != 0
    before = unit.mean.clone()
    unit.eval()(torch.randn(4, 1, 8, 8))
    assert torch.equal(unit.mean, before)


@pytest.mark.parametrize("dimension", [2, 3])
def test_scale_aware_path_by_path_is_the_same(dimension: int) -> None:
    block = shaken(ScaleAware(dimension, 3, 2, [[1] * dimension, [2] * dimension]))
    x = torch.randn(2, 3, *[6] * dimension)
    y, gates = block(x)
    assert gates.shape == (2, 3, *[6] * dimension)
    with torch.no_grad():
        same, same_gates = block(x)
    torch.testing.assert_close(same, y)
    torch.testing.assert_close(same_gates, gates)


def test_gates_are_half_open_without_input_and_never_0_or_1() -> None:
    block = ScaleAware(2, 3, 2, [[1, 1], [2, 2], [5, 5]]).eval()
    _, gates = block(torch.zeros(1, 3, 4, 4))
    assert torch.equal(gates, torch.full((1, 4, 4, 4), 0.5))
    _, gates = block(torch.randn(1, 3, 4, 4))
    assert ((gates > 0) & (gates < 1)).all()


def test_a_closed_gate_shuts_its_path() -> None:
    block = shaken(ScaleAware(2, 1, 1, [[1, 1]]))
    with torch.no_grad():
        block.gate.weight.zero_()
        block.gate.bias.copy_(torch.tensor([0.0, -200.0]))
        before, _ = block(torch.ones(1, 1, 3, 3))
        block.paths[1].conv.weight.mul_(5)
        after, _ = block(torch.ones(1, 1, 3, 3))
    assert torch.equal(before, after)


@pytest.mark.parametrize(("dilation", "reach"), [([1, 1], (1, 1)), ([1, 2], (1, 2)), ([5, 5], (5, 5))])
def test_reach_of_dilations(dilation: list[int], reach: tuple[int, int]) -> None:
    unit = shaken(Unit(2, 1, 1, 3, dilation))
    x = torch.zeros(1, 1, 13, 13)
    empty = unit(x)
    x[..., 6, 6] = 1
    changed = (unit(x) != empty)[0, 0].nonzero() - 6
    expected = set(product(*[(-r, 0, r) for r in reach]))
    assert {tuple(place) for place in changed.tolist()} == expected


def test_residual_adds_its_shortcut() -> None:
    block = Residual(2, 2)
    with torch.no_grad():
        block.conv2.weight.zero_()
        assert block.conv2.bias is not None
        block.conv2.bias.fill_(1)
        block.shortcut.weight.copy_(2 * torch.eye(2)[..., None, None])
        x = torch.randn(1, 2, 3, 3)
        torch.testing.assert_close(block(x), 2 * x + 1)


def test_shrunk_is_the_mean_over_blocks_and_enlarged_keeps_the_field_of_view() -> None:
    x = torch.tensor([[[[1.0, 3, 0, 0], [5, 7, 0, 8]]]])
    assert shrunk(x, [2, 2]).tolist() == [[[[4, 2]]]]
    assert shrunk(x, [1, 2]).tolist() == [[[[2, 0], [6, 4]]]]
    assert shrunk(x, [1, 1]) is x
    ramp = torch.tensor([[[[0.0, 4, 8]]]])
    assert enlarged(ramp, [1, 2])[0, 0, 0].tolist() == [0, 1, 3, 5, 7, 8]
