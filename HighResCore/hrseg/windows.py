"""Overlapping windows over a volume, blended with Gaussian weights, slab by slab along the first axis.

Window places and weights are those of MONAI's sliding-window inference (the oracle of the tests); the volume-sized
accumulators of that function are not needed here: finished slabs leave as soon as no further window touches them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from operator import sub

import torch
from torch import Tensor
from torch.nn import functional as F

Predict = Callable[[Tensor], Tensor]
Advance = Callable[[int], None]
#: Slices that leave at once.
_SLAB = 8


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """Starts of windows along an axis of at least ``window`` voxels; the last one ends at the border."""
    step = max(1, int(window * (1 - overlap))) if window < length else window
    count = max(0, -(-(length - window) // step)) + 1
    return [min(n * step, length - window) for n in range(count)]


def window_problem(window: Sequence[int], multiple: Sequence[int], dimension: int) -> str | None:
    """What is wrong with a window for a network whose inputs have sides that are multiples of some, if anything."""
    if len(window) != dimension or any(w % m for w, m in zip(window, multiple, strict=False)):
        return f"the window {list(window)} must have {dimension} sides that are multiples of {list(multiple)}"
    return None


def gaussian_weight(window: Sequence[int], sigma: float = 0.125) -> Tensor:
    """Weights (*window) of a Gaussian of ``sigma`` window sides, never below a thousandth of the peak."""
    weight = torch.ones(1)
    for axis, side in enumerate(window):
        x = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
        bell = torch.exp(x**2 / (-2 * (side * sigma) ** 2))
        weight = bell if axis == 0 else weight.unsqueeze(-1) * bell
    return weight.clamp(min=max(float(weight[weight > 0].min()), 1e-3))


def window_count(shape: Sequence[int], window: Sequence[int], overlap: float) -> int:
    """Number of windows that :func:`blended_slabs` predicts for a volume of this spatial shape."""
    count = 1
    for length, side in zip(shape, window, strict=True):
        count *= len(window_starts(max(length, side), side, overlap))
    return count


@torch.no_grad()
def blended_slabs(
    volume: Tensor,
    window: Sequence[int],
    predict: Predict,
    *,
    overlap: float = 0.5,
    batch: int = 1,
    fill: float = 0.0,
    device: torch.device | None = None,
    advance: Advance | None = None,
    factors: Sequence[int] | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """Predictions blended over the volume, in consecutive slabs along the first spatial axis.

    Args:
        volume: (C, *shape), two or three spatial axes; axes shorter than the window are padded with ``fill``.
        window: sides of a window.
        predict: (N, C, *window) on ``device`` to (N, classes, *window), finer by ``factors``.
        overlap: share of a window's side that the next one covers again, 0 to below 1.
        batch: windows predicted at once.
        advance: told the number of windows done, after each batch.
        factors: how many times finer predictions are, per axis; 1 throughout if left out.

    Yields:
        (start, slab): the first slice's index and predictions (classes, thickness, ...) on the CPU, both finer by
        ``factors``.
    """
    finer = list(factors or [1] * len(window))
    shape = volume.shape[1:]
    padded = [max(n, w) for n, w in zip(shape, window, strict=True)]
    before = [(n - m) // 2 for n, m in zip(padded, shape, strict=True)]
    starts = [window_starts(n, w, overlap) for n, w in zip(padded, window, strict=True)]
    inner = tuple(slice(b * f, (b + n) * f) for b, n, f in zip(before[1:], shape[1:], finer[1:], strict=True))
    rows = list(product(*starts[1:]))
    weight = gaussian_weight([w * f for w, f in zip(window, finer, strict=True)])
    weights = torch.zeros(weight.shape[0], *(n * f for n, f in zip(padded[1:], finer[1:], strict=True)))
    total: Tensor | None = None

    def add(first: int, places: list[tuple[int, ...]]) -> Tensor:
        """Adds the predictions at some places to the sums. A function, so that they are gone before the next ones."""
        stack = torch.stack([_take(volume, (first, *place), before, window, fill) for place in places])
        predicted = predict(stack.to(device)).float().cpu()
        sums = torch.zeros(predicted.shape[1], *weights.shape) if total is None else total
        for place, values in zip(places, predicted, strict=True):
            sides = zip(place, window[1:], finer[1:], strict=True)
            block = (slice(None), *(slice(p * f, (p + w) * f) for p, w, f in sides))
            sums[(slice(None), *block)].addcmul_(values, weight)
            weights[block] += weight
        return sums

    for first, following in zip(starts[0], [*starts[0][1:], padded[0]], strict=True):
        for low in range(0, len(rows), batch):
            places = rows[low : low + batch]
            total = add(first, places)
            if advance:
                advance(len(places))
        assert total is not None
        done = (following - first) * finer[0]
        yield from _finished(total, weights, first * finer[0], done, before[0] * finer[0], shape[0] * finer[0], inner)
        _shift(total, 1, done)
        _shift(weights, 0, done)


def blend_windows(volume: Tensor, window: Sequence[int], predict: Predict, **options: object) -> Tensor:
    """Like :func:`blended_slabs`, in one tensor (classes, *shape)."""
    return torch.cat([slab for _, slab in blended_slabs(volume, window, predict, **options)], dim=1)  # type: ignore[arg-type]


def _finished(
    total: Tensor, weights: Tensor, first: int, done: int, before: int, length: int, inner: tuple[slice, ...]
) -> Iterator[tuple[int, Tensor]]:
    """The first ``done`` slices of the buffer, without the padding, a few at a time to save memory."""
    end = min(first + done, before + length)
    for low in range(max(first, before), end, _SLAB):
        rows = slice(low - first, min(low + _SLAB, end) - first)
        yield low - before, total[(slice(None), rows, *inner)] / weights[(rows, *inner)]


def _shift(buffer: Tensor, axis: int, count: int) -> None:
    """Drops the first ``count`` slices along an axis and appends zeros."""
    keep = buffer.shape[axis] - count
    for n in range(keep):
        buffer.select(axis, n).copy_(buffer.select(axis, n + count))
    buffer.narrow(axis, keep, count).zero_()


def _take(volume: Tensor, place: Sequence[int], before: Sequence[int], window: Sequence[int], fill: float) -> Tensor:
    """The window (C, *window) at a place that counts from ``before`` voxels outside the volume."""
    part = volume
    sides: list[int] = []
    for axis, (start, side) in enumerate(zip(map(sub, place, before), window, strict=True), start=1):
        low, high = max(start, 0), min(start + side, volume.shape[axis])
        part = part.narrow(axis, low, high - low)
        sides = [low - start, start + side - high, *sides]
    return F.pad(part, sides, value=fill) if any(sides) else part
