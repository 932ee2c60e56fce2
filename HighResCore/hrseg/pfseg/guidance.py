"""Where the guidance crop is cut out of the high-resolution volume: where grey values vary most.

Arrays are (C, K, J, I); 2D images have one slice. A crop longer than the volume along an axis has the volume in its
middle there, as the network's padded input has, and what lies beyond counts as 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hrseg.errors import InputError
from hrseg.geometry import Box, Grid
from hrseg.image import Image
from hrseg.pfseg.volumes import around

#: Places per side of the crop that ``variance`` tries.
_PLACES = 8
#: Probes without a better place after which ``spiral`` ends.
_MISSES = 10


def choose(
    volume: NDArray[np.float32], sides: Sequence[int], mode: str, rng: np.random.RandomState | None = None
) -> Box:
    """The guidance crop.

    Args:
        volume: (C, K, J, I), normalised.
        sides: of the crop, (k, j, i).
        mode: ``variance``: the crop of largest variance of all at a stride of an eighth of its sides; among equals the
            one nearest to the centre, then the first in (k, j, i) order. ``spiral``: the published search outward from
            the centre. ``center``; ``random``: any place inside, drawn from ``rng`` (without one always the same).
    """
    shape = volume.shape[1:]
    inside = np.minimum(sides, shape).tolist()
    if mode == "variance":
        starts, variance = variances(volume, inside)
        start = _best(starts, variance, np.subtract(shape, inside) / 2)
    elif mode == "spiral":
        start = _spiral(volume, inside)
    elif mode == "random":
        rng = rng or np.random.RandomState(0)
        start = np.array([rng.randint(n - m + 1) for n, m in zip(shape, inside, strict=True)])
    else:
        start = np.subtract(shape, inside) // 2
    return _placed(start, sides, shape)


def box_at(center: Sequence[float], sides: Sequence[int], grid: Grid) -> tuple[Box, list[str]]:
    """The crop around a point, and notices where it could not be put there in the volume on ``grid``.

    Args:
        center: RAS mm.
        sides: of the crop, (k, j, i).
    """
    wanted = np.rint(grid.to_index(center) - (np.asarray(sides) - 1) / 2).astype(int)
    room = np.subtract(grid.shape, sides)
    box = _placed(np.clip(wanted, 0, np.maximum(0, room)), sides, grid.shape)
    moved = np.not_equal(box.start, wanted)
    notices = []
    if moved[room > 0].any():
        notices.append("The guidance crop was moved to stay inside the image.")
    if moved[room <= 0].any():
        notices.append("The guidance crop is as long as the image, or longer, along an axis; there it is centered.")
    return box, notices


def _placed(start: NDArray[np.intp], sides: Sequence[int], shape: Sequence[int]) -> Box:
    """The crop from ``start`` on; around the middle of the volume along axes on which it is longer."""
    longer = np.greater(sides, shape)
    return Box.whole(sides).shift(np.where(longer, around(shape, sides).start, start).tolist())


def check_inside(center: Sequence[float], image: Image) -> None:
    """Raises InputError for a point (RAS mm) outside the image."""
    index = image.grid.to_index(np.asarray(center, dtype=float))
    if not np.isfinite(index).all() or ((index < -0.5) | (index > np.asarray(image.grid.shape) - 0.5)).any():
        raise InputError(
            f'The guidance center {list(center)} (R, A, S in mm) lies outside the image "{image.name}"; '
            "choose a point inside."
        )


def variances(volume: NDArray[np.float32], sides: Sequence[int]) -> tuple[list[NDArray[np.intp]], NDArray[np.float64]]:
    """Population variance of every crop of ``volume`` (C, K, J, I) at a stride of an eighth of ``sides``, (k, j, i).

    Of colours it is the sum over the channels.

    Sums of whole blocks between the crops' edges are made in double precision, slice by slice, so that the work does
    not grow with the number of crops.

    Returns:
        starts: of the crops along k, j, i; the last one of each ends at the border.
        variance: (starts along k, along j, along i).
    """
    shape = volume.shape[1:]
    starts = [_starts(n, side) for n, side in zip(shape, sides, strict=True)]
    edges = [np.unique(np.concatenate([s, s + side])) for s, side in zip(starts, sides, strict=True)]
    count = float(np.prod(sides, dtype=np.int64))
    total = np.zeros([len(s) for s in starts])
    for channel in volume:
        values, squares = (_window_sums(sums, starts, sides, edges) for sums in _block_sums(channel, edges))
        total += np.maximum(0, squares / count - np.square(values / count))
    return starts, total


def _starts(length: int, side: int) -> NDArray[np.intp]:
    """From 0 to ``length - side``, both included."""
    last = length - side
    return np.unique(np.append(np.arange(0, last + 1, max(1, side // _PLACES)), last))


def _block_sums(channel: NDArray[np.float32], edges: Sequence[NDArray[np.intp]]) -> NDArray[np.float64]:
    """Sums of the values and of their squares, (2, blocks along k, j, i), between consecutive edges.

    The last block of an axis is what lies behind the last edge; it is empty, but takes a place.
    """
    blocks = np.zeros([2, *(len(e) for e in edges)])
    low = [e[:-1] for e in edges]
    for number, (first, end) in enumerate(itertools.pairwise(edges[0])):
        for k in range(first, end):
            plane = channel[k].astype(np.float64)
            for moment, values in enumerate((plane, np.square(plane))):
                rows = np.add.reduceat(values, low[1], axis=0)
                blocks[moment, number, :-1, :-1] += np.add.reduceat(rows, low[2], axis=1)
    return blocks


def _window_sums(
    blocks: NDArray[np.float64],
    starts: Sequence[NDArray[np.intp]],
    sides: Sequence[int],
    edges: Sequence[NDArray[np.intp]],
) -> NDArray[np.float64]:
    """Sums over the crops from sums over the blocks, axis by axis."""
    for axis, (start, side, edge) in enumerate(zip(starts, sides, edges, strict=True)):
        # Up to each edge: the empty last block moves to the front.
        before = np.cumsum(np.roll(blocks, 1, axis), axis)
        blocks = before.take(np.searchsorted(edge, start + side), axis) - before.take(
            np.searchsorted(edge, start), axis
        )
    return blocks


def _best(starts: Sequence[NDArray[np.intp]], variance: NDArray[np.float64], centre: NDArray) -> NDArray[np.intp]:
    """The start of largest variance; of equals, the nearest to ``centre``. In a constant image, ``centre`` itself."""
    top = float(variance.max())
    # What rounding may make of the variance of a constant image is no maximum.
    if top <= 1e-12:
        return np.floor(centre).astype(int)
    equal = np.argwhere(variance >= top * (1 - 1e-9))
    places = np.stack([s[column] for s, column in zip(starts, equal.T, strict=True)], axis=1)
    return places[np.argmin(np.square(places - centre).sum(axis=1))]


def _spiral(volume: NDArray[np.float32], inside: Sequence[int]) -> NDArray[np.intp]:
    """The search of Wang et al. 2021 on shells around the centre; probes outside are passed over."""
    shape = np.asarray(volume.shape[1:])
    sides = np.asarray(inside)
    best = (shape - sides) // 2
    centre = shape // 2
    most, misses = _variance_at(volume, best, sides), 0
    for radius in np.linspace(1 / 6, 1, 6) * np.linalg.norm(centre):
        for theta, phi in _directions():
            direction = np.array([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])
            start = (centre + radius * direction).astype(int) - sides // 2
            if (start < 0).any() or (start + sides > shape).any():
                continue
            value = _variance_at(volume, start, sides)
            best, most, misses = (start, value, 0) if value > most else (best, most, misses + 1)
            if misses >= _MISSES:
                return best
    return best


def _directions() -> list[tuple[float, float]]:
    """Polar angle (to the last axis) and azimuth of the probes of a shell: the equator, then both hemispheres."""
    turns = np.arange(8) * np.pi / 4
    around = [(np.pi / 2, phi) for phi in turns]
    above = [(theta, phi) for phi in turns for theta in (3 * np.pi / 4, np.pi / 4)]
    return [*around, *above, (np.pi, 0.0), (0.0, 0.0)]


def _variance_at(volume: NDArray[np.float32], start: NDArray, sides: NDArray) -> float:
    crop = volume[(slice(None), *(slice(a, a + n) for a, n in zip(start, sides, strict=True)))]
    return float(crop.var(axis=(1, 2, 3), dtype=np.float64).sum())
