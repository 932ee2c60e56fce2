"""Resampling of arrays between grids: separable linear with antialiasing, nearest, and label maps by area.

Half-pixel throughout (``align_corners=False``): a voxel's value belongs to its centre and the field of view is kept.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hrseg.errors import InputError
from hrseg.geometry import Box, Floats, Grid, Shape

#: Source indices and weights, both (positions, taps), from positions, length of the source axis, and step.
Taps = Callable[[Floats, int, float], tuple[NDArray[np.intp], Floats]]
#: Values worked on at a time, so that the temporary arrays stay small and in the processor's cache.
_CHUNK = 2**20


def axis_map(source: Grid, target: Grid) -> tuple[Floats, Floats] | None:
    """``(start, step)`` such that target index n lies at source index start + step * n on each of k, j, i.

    None when the axes of the two grids are not parallel (within 1e-4 of a voxel over the grid's extent).
    """
    linear = np.linalg.solve(source.affine[:3, :3], target.affine[:3, :3])[::-1, ::-1]
    step = np.diag(linear)
    drift = np.abs(linear - np.diag(step)) * np.asarray(target.shape)
    if drift.max() > 1e-4 or (step <= 0).any():
        return None
    return source.to_index(target.affine[:3, 3]), step.copy()


def resample(array: NDArray, source: Grid, target: Grid, *, fill: float = 0.0) -> NDArray[np.float32]:
    """Linear interpolation of ``array`` (..., K, J, I) from one grid to another, antialiased where it shrinks.

    Grids with parallel axes (in any order and direction) are resampled axis by axis. For others the array is first
    shrunk along its own axes where the target is coarser, then interpolated point by point. Points outside the
    source's field of view get ``fill``; within half a voxel of its border the edge value holds.

    Raises:
        InputError: ``array`` is not on ``source``.
    """
    _check(array, source)
    array, source = _aligned(array, source, target)
    mapping = axis_map(source, target)
    if mapping is not None:
        return _separable(array, *mapping, target.shape, fill, _triangle_taps)
    coarse = _coarsened(source, target)
    if coarse.shape != source.shape:
        array = resample(array, source, coarse)
    return _resample_oblique(array, coarse, target, fill)


def resample_means(array: NDArray, source: Grid, target: Grid) -> NDArray[np.float32]:
    """Means of ``array`` (..., K, J, I) over the voxels of another grid; linear along axes where it is no coarser.

    :func:`resample` weights neighbouring voxels, too, against aliasing, which blurs borders and noise more.

    Raises:
        InputError: ``array`` is not on ``source``, or the axes of the grids are not parallel.
    """
    _check(array, source)
    mapping = axis_map(source, target)
    if mapping is None:
        raise InputError(f"Means need grids with parallel axes, not {source} and {target}.")
    return _separable(array, *mapping, target.shape, 0.0, _mean_taps)


#: By the names of :attr:`hrseg.model_file.Preprocessing.shrink`.
SHRINK = {"antialiased": resample, "means": resample_means}


def resample_axis(
    array: NDArray, axis: int, positions: Floats, step: float, fill: float, taps: Taps | None = None
) -> NDArray:
    """Values of ``array`` at fractional ``positions`` along one (negative) axis, weighted by ``taps``.

    The default weights are linear where the positions lie closer than voxels do, else a triangle of width ``step``.
    """
    length = array.shape[axis]
    inside = (positions >= -0.5 - 1e-6) & (positions <= length - 0.5 + 1e-6)
    whole = np.rint(positions).astype(int)
    if abs(step - 1) < 1e-6 and inside.all() and np.abs(positions - whole).max() < 1e-6:
        # Whole-voxel moves copy values bit by bit.
        return array if np.array_equal(whole, np.arange(length)) else np.take(array, whole, axis=axis)
    index, weight = (taps or _triangle_taps)(positions, length, step)
    moved = np.moveaxis(array, axis, 0)
    result = np.zeros([*array.shape[:axis], len(positions), *_after(array.shape, axis)], dtype=np.float32)
    target = np.moveaxis(result, axis, 0)
    rows = max(1, _CHUNK * len(positions) // max(1, result.size))
    for first in range(0, len(positions), rows):
        part = slice(first, first + rows)
        for tap in np.flatnonzero(weight[part].any(axis=0)):
            share = weight[part, tap].astype(np.float32).reshape(-1, *[1] * (array.ndim - 1))
            target[part] += moved[index[part, tap]] * share
    target[~inside] = fill
    return result


def resample_labels(array: NDArray, source: Grid, target: Grid) -> NDArray:
    """A label map (K, J, I) on another grid: nearest voxel when enlarging, the label of largest area when shrinking.

    Of labels with equal areas, as many voxels at borders have at a factor of 2, the one with more around the voxel
    wins, then the lower value. Outside the source's field of view the result is 0. The dtype is kept.
    """
    _check(array, source)
    array, source = _aligned(array, source, target)
    mapping = axis_map(source, target)
    if mapping is None:
        coarse = _coarsened(source, target)
        if coarse.shape != source.shape:
            array = resample_labels(array, source, coarse)
        return sample_nearest(array, coarse, target)
    if (mapping[1] <= 1.0 + 1e-6).all():
        return sample_nearest(array, source, target)
    best = np.zeros(target.shape, dtype=np.float32)
    result = np.zeros(target.shape, dtype=array.dtype)
    for value in np.unique(array):
        area, around = (
            _separable(array == value, *mapping, target.shape, float(value == 0), taps)
            for taps in (_area_taps, _triangle_taps)
        )
        share = area + 1e-3 * around
        wins = share > best + 1e-6
        result[wins], best[wins] = value, share[wins]
    return result


def sample_nearest(array: NDArray, source: Grid, target: Grid) -> NDArray:
    """The value of the nearest voxel of ``array`` (K, J, I) for each voxel of ``target``; 0 outside."""
    _check(array, source)
    array, source = _aligned(array, source, target)
    mapping = axis_map(source, target)
    result = np.zeros(target.shape, dtype=array.dtype)
    if mapping is not None:
        index, inside = [], []
        for axis in range(3):
            nearest = _nearest(mapping[0][axis] + mapping[1][axis] * np.arange(target.shape[axis]))
            inside.append((nearest >= 0) & (nearest < array.shape[axis]))
            index.append(nearest[inside[-1]])
        result[np.ix_(*inside)] = array[np.ix_(*index)]
        return result
    for k in range(target.shape[0]):
        nearest = _nearest(source.to_index(_slice_points(target, k)))
        ok = ((nearest >= 0) & (nearest < array.shape)).all(axis=-1)
        result[k][ok] = array[tuple(nearest[ok].T)]
    return result


def crop_or_pad(array: NDArray, box: Box, fill: float = 0) -> NDArray:
    """The block ``box`` of ``array`` (..., K, J, I); voxels outside the array get ``fill``. A view when inside."""
    inner = box.clip(array.shape[-3:])
    if inner == box:
        return array[(..., *box.slices)]
    result = np.full([*array.shape[:-3], *box.shape], fill, dtype=array.dtype)
    if inner.size:
        result[(..., *inner.shift(np.negative(box.start).tolist()).slices)] = array[(..., *inner.slices)]
    return result


def crop_or_mirror(array: NDArray, box: Box) -> NDArray:
    """The block ``box`` of ``array`` (..., K, J, I), which is mirrored at its borders. A view when inside."""
    for axis, (start, stop) in enumerate(zip(box.start, box.stop, strict=True), start=-3):
        length = array.shape[axis]
        if start >= 0 and stop <= length:
            block: list[slice] = [slice(None)] * array.ndim
            block[axis] = slice(start, stop)
            array = array[tuple(block)]
        else:
            places = np.arange(start, stop) % (2 * length)
            array = array.take(np.minimum(places, 2 * length - 1 - places), axis)
    return array


def _aligned(array: NDArray, source: Grid, target: Grid) -> tuple[NDArray, Grid]:
    """A view of ``array``, and its grid, turned by whole axes to run most nearly as the target does."""
    if axis_map(source, target) is not None:
        return array, source
    change = source.reorientation(target.orientation)
    return change.apply(array), source.reoriented(change)


def _coarsened(source: Grid, target: Grid) -> Grid:
    """The field of view of ``source`` in the coarser of the two spacings of each (aligned) axis."""
    return source.with_spacing(np.maximum(source.spacing, target.spacing))


def _separable(
    array: NDArray, start: Floats, step: Floats, shape: Shape, fill: float, taps: Taps
) -> NDArray[np.float32]:
    result = array
    # The axis that shrinks most goes first, so that the others have less to do.
    for axis in np.argsort(-step, kind="stable"):
        positions = start[axis] + step[axis] * np.arange(shape[axis])
        result = resample_axis(result, axis - 3, positions, step[axis], fill, taps)
    return result.astype(np.float32, copy=np.may_share_memory(result, array))


def _triangle_taps(positions: Floats, length: int, step: float) -> tuple[NDArray[np.intp], Floats]:
    """Linear interpolation, or a triangle of width ``step`` where that is more than 1, as antialiasing filters use."""
    width = max(1.0, step)
    first = np.floor(positions - width).astype(int) + 1
    index = first[:, None] + np.arange(int(np.ceil(2 * width)))
    weight = np.maximum(0.0, 1.0 - np.abs(index - positions[:, None]) / width)
    if width > 1:
        # A shrinking filter counts inside voxels only; an interpolating one repeats the edge.
        weight = np.where((index < 0) | (index >= length), 0.0, weight)
    return np.clip(index, 0, length - 1), _normalized(weight)


def _area_taps(positions: Floats, length: int, step: float) -> tuple[NDArray[np.intp], Floats]:
    """The part of each target voxel, ``step`` wide, that each source voxel covers."""
    low, high = positions[:, None] - step / 2, positions[:, None] + step / 2
    index = np.floor(low + 0.5).astype(int) + np.arange(int(np.ceil(step)) + 1)
    weight = np.maximum(0.0, np.minimum(high, index + 0.5) - np.maximum(low, index - 0.5))
    weight = np.where((index < 0) | (index >= length), 0.0, weight)
    return np.clip(index, 0, length - 1), _normalized(weight)


def _mean_taps(positions: Floats, length: int, step: float) -> tuple[NDArray[np.intp], Floats]:
    return (_area_taps if step > 1 else _triangle_taps)(positions, length, step)


def _normalized(weight: Floats) -> Floats:
    total = weight.sum(axis=1, keepdims=True)
    return weight / np.where(total > 0, total, 1.0)


def _resample_oblique(array: NDArray, source: Grid, target: Grid, fill: float) -> NDArray[np.float32]:
    lead = array.shape[:-3]
    result = np.empty([*lead, *target.shape], dtype=np.float32)
    limit = np.asarray(source.shape) - 0.5
    for k in range(target.shape[0]):
        points = source.to_index(_slice_points(target, k))
        outside = ((points < -0.5 - 1e-6) | (points > limit + 1e-6)).any(axis=-1)
        result[..., k, :, :] = _trilinear(array, points)
        result[..., k, :, :][..., outside] = fill
    return result


def _trilinear(array: NDArray, points: Floats) -> NDArray[np.float32]:
    """Values of ``array`` (..., K, J, I) at fractional (k, j, i) ``points`` (*N, 3); the edge repeats outside."""
    top = np.asarray(array.shape[-3:]) - 1
    clipped = np.clip(points, 0, top)
    low = np.minimum(np.floor(clipped).astype(int), np.maximum(top - 1, 0))
    part = (clipped - low).astype(np.float32)
    result = np.zeros([*array.shape[:-3], *points.shape[:-1]], dtype=np.float32)
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(np.array(corner, dtype=bool), part, 1 - part), axis=-1)
        index = np.minimum(low + corner, top)
        result += array[(..., index[..., 0], index[..., 1], index[..., 2])] * weight
    return result


def _slice_points(grid: Grid, k: int) -> Floats:
    """RAS points of slice k, (J, I, 3)."""
    index = np.stack(np.meshgrid(k, np.arange(grid.shape[1]), np.arange(grid.shape[2]), indexing="ij"), axis=-1)[0]
    return grid.to_world(index)


def _nearest(positions: Floats) -> NDArray[np.intp]:
    # Half-way points go up, always: numpy's rounding to even would give uneven copies at integer factors.
    return np.floor(positions + 0.5 + 1e-6).astype(int)


def _after(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[axis + 1 :] if axis != -1 else ()


def _check(array: NDArray, grid: Grid) -> None:
    have: Shape = array.shape[-3:]
    if have != grid.shape:
        raise InputError(f"The array has the shape {have} but its grid has {grid.shape} (K, J, I).")
