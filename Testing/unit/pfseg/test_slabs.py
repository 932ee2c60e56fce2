from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hrseg.blocks import ResBlock, Up, channels_last, pool
from hrseg.pfseg.network import Block, MultiKernelBlock
from hrseg.pfseg.slabs import (
    Keep,
    Rows,
    SlabBlock,
    _Norm,
    joined,
    pooled,
    rows_of,
    slabs_of,
    up_rows,
)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def whole(block: Block, rows: Rows, length: int, thickness: int, keep: Keep) -> Tensor:
    made = SlabBlock(block, rows, slabs_of(length, thickness), keep, lambda _: None)
    return made.map() if keep else torch.cat([part for _, part in made.output()], dim=2)


def test_slabs_cover_all_rows() -> None:
    assert slabs_of(10, 4) == [(0, 4), (4, 8), (8, 10)]
    assert slabs_of(4, 8) == [(0, 4)]


def test_rows_beyond_the_ends_are_zero() -> None:
    x = torch.arange(1.0, 4)[None, None, :, None]
    assert rows_of(x)(-2, 4).flatten().tolist() == [0, 0, 1, 2, 3, 0]
    assert rows_of(x)(1, 2).flatten().tolist() == [2]


@pytest.mark.parametrize("stride", [[2, 2, 2], [1, 2, 2]])
def test_rows_of_a_transposed_convolution(stride: list[int]) -> None:
    up, x = Up(3, 2, 3, stride), torch.randn(1, 2, 5, 4, 4)
    expected = up(x)
    length = expected.shape[2]
    rows = up_rows(up, rows_of(x), length)
    for start in range(length):
        for stop in range(start + 1, length + 1):
            torch.testing.assert_close(rows(start, stop), expected[:, :, start:stop])
    assert not rows(-2, 0).any()


@pytest.mark.parametrize("keep", list(Keep))
@pytest.mark.parametrize("thickness", [1, 3, 16])
@pytest.mark.parametrize("kind", [ResBlock, MultiKernelBlock])
@pytest.mark.parametrize("dimension", [2, 3])
def test_slabs_make_no_difference(dimension: int, kind: type[Block], thickness: int, keep: Keep) -> None:
    up, block = Up(dimension, 4, 6, [2] * dimension), kind(dimension, 10, 4)
    x, skip = torch.randn(1, 4, *[8] * dimension), torch.randn(1, 4, *[16] * dimension) + 3
    expected = block(torch.cat([up(x), skip], dim=1))
    rows = joined(up_rows(up, rows_of(channels_last(x)), 16), rows_of(channels_last(skip)))
    torch.testing.assert_close(whole(block, rows, 16, thickness, keep), expected, atol=5e-5, rtol=0)


@pytest.mark.parametrize("keep", list(Keep))
def test_statistics_hold_far_from_zero(keep: Keep) -> None:
    block, x = ResBlock(3, 1, 4), torch.randn(1, 1, 12, 8, 8) + torch.linspace(0, 300, 12)[:, None, None]
    with torch.enable_grad():
        expected = block.double()(x.double()).detach().float()
    found = whole(block.float(), rows_of(x), 12, 3, keep)
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)


class OnApple(Tensor):
    """As tensors on Apple's GPUs, which have no float64."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        result = super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]
        if isinstance(result, Tensor) and result.dtype == torch.float64:
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
            )
        return result

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("mps")


def test_statistics_without_float64() -> None:
    x = torch.randn(1, 3, 12, 8, 8) + torch.linspace(0, 300, 12)[:, None, None]
    norm = _Norm()
    for a, b in slabs_of(12, 5):
        norm.see(x[:, :, a:b].as_subclass(OnApple))
    torch.testing.assert_close(norm(x).as_subclass(Tensor), F.instance_norm(x.double()).float(), atol=1e-4, rtol=0)


def test_each_slab_of_each_sweep_is_told() -> None:
    told: list[int] = []
    block = SlabBlock(ResBlock(3, 1, 2), rows_of(torch.rand(1, 1, 8, 4, 4)), slabs_of(8, 4), Keep.NOTHING, told.append)
    list(block.output())
    assert told == [1] * 6


def test_the_input_stays_as_it_was() -> None:
    x = channels_last(torch.rand(1, 2, 8, 4, 4))
    before = x.clone()
    for keep in Keep:
        whole(ResBlock(3, 2, 2), rows_of(x), 8, 4, keep)
    assert torch.equal(x, before)


def test_pooling() -> None:
    x = torch.rand(1, 3, 8, 6, 4)
    pooling = pool(3, [2, 2, 1])
    assert torch.equal(pooled(pooling, x, [(0, 3), (3, 4)], 2), pooling(x))
