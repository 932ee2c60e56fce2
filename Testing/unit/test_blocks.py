from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrseg.blocks import (
    CHANNELS_LAST,
    Convolution,
    ResBlock,
    ResidualUNet,
    Up,
    begin_with_background,
    channels_last,
    convolution,
    convolve,
    guard_thin_maps,
    instance_norm,
    is_channels_last,
    placed,
    pointwise,
    pool,
)


def image(dimension: int, channels: int, side: int = 8) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(2, channels, *[side] * dimension)


def with_and_without_gradients(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The two results, ``x`` being checked to stay as it is."""
    before = x.clone()
    first = network(x).detach()
    with torch.no_grad():
        second = network(x)
    assert torch.equal(x, before)
    return first, second


# ---- convolutions ----


def torchs_own(kernel: int) -> nn.Conv3d:
    """A convolution as other libraries make them, guarded as in training."""
    network = nn.Conv3d(16, 16, kernel, padding=kernel // 2)
    guard_thin_maps(network)
    return network


@pytest.mark.parametrize(
    ("make", "depth"),
    [
        *((lambda: convolution(3, 16, 16, 3), depth) for depth in (1, 2, 3)),
        *((lambda: torchs_own(3), depth) for depth in (1, 2, 3)),
        *((lambda: torchs_own(5), depth) for depth in (1, 2, 3, 4, 5)),
    ],
)
def test_the_gradient_in_half_precision_holds_no_memory_that_nobody_wrote(
    make: Callable[[], Convolution], depth: int
) -> None:
    torch.manual_seed(0)
    network, x = make(), torch.randn(2, 16, depth, 3, 2)
    network(x).square().sum().backward()
    expected = network.weight.grad
    assert expected is not None
    network.weight.grad = None
    for _ in range(5):
        with torch.autocast("cpu", torch.bfloat16):
            found = network(x)
        # What is freed here is what the backward pass is given.
        for size in torch.logspace(2, 6, 60).int().tolist():
            torch.full((size,), math.nan)
        found.float().square().sum().backward()
    assert network.weight.grad is not None
    torch.testing.assert_close(network.weight.grad / 5, expected, rtol=0.05, atol=0.01 * float(expected.abs().max()))


# ---- instance norm ----


@pytest.mark.parametrize("shape", [(2, 3, 5, 6, 7), (2, 3, 9, 4), (1, 1, 2, 1)])
def test_instance_norm_as_torch(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape) * 3 + 100
    expected = F.instance_norm(x)
    torch.testing.assert_close(instance_norm(x), expected)
    with torch.no_grad():
        torch.testing.assert_close(instance_norm(x.clone()), expected, rtol=1e-4, atol=1e-4)


def test_instance_norm_is_in_place_without_gradients() -> None:
    x = image(2, 3)
    with torch.no_grad():
        assert instance_norm(x).data_ptr() == x.data_ptr()


def test_instance_norm_of_one_voxel_and_of_a_constant() -> None:
    for x in (torch.full((2, 3, 1, 1, 1), 7.0), torch.full((1, 2, 4, 4), 7.0)):
        assert instance_norm(x).abs().max() < 1e-3
        with torch.no_grad():
            assert instance_norm(x.clone()).abs().max() < 1e-3


@pytest.mark.parametrize("dimension", [2, 3])
def test_channels_last_stays_and_changes_nothing(dimension: int) -> None:
    torch.manual_seed(0)
    x, network = image(dimension, 3), ResBlock(dimension, 3, 4)
    expected = network(x)
    expected.square().sum().backward()
    gradient = network.conv1.weight.grad
    assert gradient is not None
    gradient = gradient.clone()
    network.zero_grad()
    found = network(x.contiguous(memory_format=CHANNELS_LAST[dimension + 2]))
    found.square().sum().backward()
    assert is_channels_last(found)
    assert not is_channels_last(expected)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(network.conv1.weight.grad, gradient, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("bias", [True, False])
def test_pointwise_as_torch(bias: bool) -> None:
    x, conv = image(3, 3), convolution(3, 3, 5, 1, bias=bias)
    torch.testing.assert_close(pointwise(conv, x), conv(x))
    torch.testing.assert_close(pointwise(conv, x.contiguous(memory_format=torch.channels_last_3d)), conv(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("dimension", [2, 3])
def test_convolve_as_torch(dimension: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    side, dilation = [9] * dimension, [1, 2, 3][:dimension]
    x, weight, bias = (torch.randn(*s, dtype=dtype) for s in ((1, 3, *side), (4, 3, *[3] * dimension), (4,)))
    expected = (F.conv2d if dimension == 2 else F.conv3d)(x, weight, bias, padding=dilation, dilation=dilation)
    torch.testing.assert_close(convolve(x, weight, bias, dilation, dilation), expected)


def test_gradients_of_convolve() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, 3, 6, 6, 6, requires_grad=True), torch.randn(4, 3, 3, 3, 3, requires_grad=True)
    found = torch.autograd.grad(convolve(x, weight, None, [1, 1, 1]).square().sum(), (x, weight))
    expected = torch.autograd.grad(F.conv3d(x, weight, padding=1).square().sum(), (x, weight))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dimension", [2, 3])
def test_placed_on_a_processor(dimension: int) -> None:
    torch.manual_seed(0)
    network, x = ResidualUNet(dimension, 2, 3, [4, 6], [[2] * dimension]).eval(), image(dimension, 2)
    with torch.no_grad():
        expected = network(x)
        weights = {name: value.clone() for name, value in network.state_dict().items()}
        assert placed(network, torch.device("cpu")) is network
        torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4)
    assert is_channels_last(network.encoder[1].conv1.weight)  # type: ignore[union-attr, arg-type]
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(("dtype", "off"), [(torch.float32, 1e-4), (torch.bfloat16, 0.05)])
def test_instance_norm_in_channels_last_order(dtype: torch.dtype, off: float, batch: int) -> None:
    torch.manual_seed(0)
    x = (torch.randn(batch, 3, 4, 6, 8) * 3 + 5).to(dtype)
    expected = F.instance_norm(x.float())
    with torch.no_grad():
        for found in (instance_norm(x.clone()), instance_norm(channels_last(x.clone()))):
            assert found.dtype == dtype
            torch.testing.assert_close(found.float(), expected, rtol=0, atol=off)


def test_instance_norm_in_half_precision() -> None:
    x = torch.randn(1, 2, 16, 16) * 2000
    with torch.no_grad():
        found = instance_norm(x.half())
    # The variance, four millions, is more than half precision can hold.
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), F.instance_norm(x), rtol=1e-2, atol=1e-2)


# ---- blocks ----


@pytest.mark.parametrize("dimension", [2, 3])
def test_residual_block(dimension: int) -> None:
    block, x = ResBlock(dimension, 2, 5), image(dimension, 2)
    first, second = with_and_without_gradients(block, x)
    assert first.shape == (2, 5, *[8] * dimension)
    torch.testing.assert_close(second, first, rtol=1e-5, atol=1e-5)


def test_residual_block_step_by_step() -> None:
    block, x = ResBlock(3, 2, 5), image(3, 2)
    inner = F.leaky_relu(F.instance_norm(block.conv1(x)), 0.01)
    expected = F.leaky_relu(F.instance_norm(block.conv2(inner)) + F.instance_norm(block.shortcut(x)), 0.01)
    torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=1e-5)


def test_gradients_of_the_residual_block() -> None:
    torch.manual_seed(0)
    block = ResBlock(2, 1, 2).double()
    assert torch.autograd.gradcheck(block, torch.randn(1, 1, 3, 4, dtype=torch.float64, requires_grad=True))
    block(torch.randn(1, 1, 3, 4, dtype=torch.float64)).square().sum().backward()
    # What precedes an instance norm has no influence by its bias.
    assert all(p.grad is not None and (p.ndim == 1 or p.grad.any()) for p in block.parameters())


@pytest.mark.parametrize("stride", [(2, 2, 2), (1, 2, 2), (1, 1, 1), (2, 1)])
def test_up_undoes_the_size_of_pooling(stride: Sequence[int]) -> None:
    dimension = len(stride)
    x = image(dimension, 3)
    small = pool(dimension, stride)(x)
    assert small.shape[2:] == tuple(8 // s for s in stride)
    assert Up(dimension, 3, 4, stride)(small).shape == (2, 4, *x.shape[2:])


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_convolution_keeps_the_size(kernel: int) -> None:
    assert convolution(3, 1, 2, kernel)(image(3, 1, 6)).shape == (2, 2, 6, 6, 6)
    assert convolution(2, 1, 2, kernel, bias=False)(image(2, 1, 6)).shape == (2, 2, 6, 6)


# ---- U-Net ----


@pytest.mark.parametrize(
    ("dimension", "strides"),
    [(2, [[2, 2], [2, 2]]), (3, [[2, 2, 2], [2, 2, 2]]), (3, [[1, 2, 2], [2, 2, 2]]), (2, [[2, 1], [1, 1]])],
)
def test_unet(dimension: int, strides: list[list[int]]) -> None:
    network = ResidualUNet(dimension, 2, 4, [3, 4, 5], strides)
    first, second = with_and_without_gradients(network, image(dimension, 2))
    assert first.shape == (2, 4, *[8] * dimension)
    torch.testing.assert_close(second, first, rtol=1e-4, atol=1e-5)


def test_unet_with_a_single_voxel_at_the_bottom() -> None:
    network = ResidualUNet(3, 1, 2, [2, 3, 4], [[2, 2, 2]] * 2)
    first, second = with_and_without_gradients(network, image(3, 1, 4))
    assert first.isfinite().all()
    torch.testing.assert_close(second, first, rtol=1e-4, atol=1e-5)
    network(image(3, 1, 4)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_size_is_that_of_the_published_refiner() -> None:
    # PFSeg's boundary refiner: the same blocks and widths, image and mask in, one mask out.
    with torch.device("meta"):
        network = ResidualUNet(3, 2, 1, [32, 32, 64, 128, 256], [[2] * 3] * 4)
    assert sum(p.numel() for p in network.parameters()) == 8_302_113


def test_a_network_begins_with_background() -> None:
    for classes in (2, 6):
        head = convolution(3, 4, classes, 1)
        begin_with_background(head)
        chances = head(torch.zeros(1, 4, 1, 1, 1)).softmax(dim=1).flatten()
        assert chances[0].item() == pytest.approx(0.98)
        assert chances[1:].tolist() == pytest.approx([0.02 / (classes - 1)] * (classes - 1))
