"""Resampling of arrays between grids: separable linear with antialiasing, nearest, and label maps by area.

Half-pixel throughout (``align_corners=False``): a voxel's value belongs to its centre and the field of view is kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrseg.errors import InputError
from hrseg.geometry import Box, Floats, Grid, Shape


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

    Grids with parallel axes are resampled axis by axis; others by trilinear interpolation point by point, without
    antialiasing. Points outside the source's field of view get ``fill``; within half a voxel of its border the edge
    value holds.

    Raises:
        InputError: ``array`` is not on ``source``.
    """
    _check(array, source)
    mapping = axis_map(source, target)
    if mapping is None:
        return _resample_oblique(array, source, target, fill)
    result = array
    # The axis that shrinks most goes first, so that the others have less to do.
    for axis in np.argsort(-mapping[1]):
        start, step = mapping[0][axis], mapping[1][axis]
        result = resample_axis(result, axis - 3, start + step * np.arange(target.shape[axis]), step, fill)
    return result.astype(np.float32, copy=False)


def resample_axis(array: NDArray, axis: int, positions: Floats, step: float, fill: float) -> NDArray:
    """Values of ``array`` at fractional ``positions`` along one (negative) axis, under a triangle of width ``step``."""
    length = array.shape[axis]
    inside = (positions >= -0.5 - 1e-6) & (positions <= length - 0.5 + 1e-6)
    if step == 1 and inside.all() and np.allclose(positions, np.rint(positions), atol=1e-6):
        # Whole-voxel moves copy values bit by bit.
        return np.take(array, np.rint(positions).astype(int), axis=axis)
    index, weight = _triangle_taps(positions, length, max(1.0, step))
    column = [1] * array.ndim
    column[axis] = len(positions)
    result = np.zeros([*array.shape[:axis], len(positions), *_after(array.shape, axis)], dtype=np.float32)
    for tap in range(index.shape[1]):
        if weight[:, tap].any():
            result += np.take(array, index[:, tap], axis=axis) * weight[:, tap].astype(np.float32).reshape(column)
    if not inside.all():
        result[(..., ~inside, *[slice(None)] * (-axis - 1))] = fill
    return result


def resample_labels(array: NDArray, source: Grid, target: Grid) -> NDArray:
    """A label map (K, J, I) on another grid: nearest voxel when enlarging, the label of largest area when shrinking.

    Outside the source's field of view the result is 0. The dtype is kept.
    """
    _check(array, source)
    mapping = axis_map(source, target)
    if mapping is None or (mapping[1] <= 1.0 + 1e-6).all():
        return sample_nearest(array, source, target)
    best = np.zeros(target.shape, dtype=np.float32)
    result = np.zeros(target.shape, dtype=array.dtype)
    for value in np.unique(array):
        share = resample((array == value).astype(np.float32), source, target, fill=float(value == 0))
        wins = share > best
        result[wins], best[wins] = value, share[wins]
    return result


def sample_nearest(array: NDArray, source: Grid, target: Grid) -> NDArray:
    """The value of the nearest voxel of ``array`` (K, J, I) for each voxel of ``target``; 0 outside."""
    _check(array, source)
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


def _triangle_taps(positions: Floats, length: int, width: float) -> tuple[NDArray[np.intp], Floats]:
    """Source indices and normalised triangle weights, both (positions, taps); outside indices repeat the edge."""
    first = np.floor(positions - width).astype(int) + 1
    offsets = np.arange(int(np.ceil(2 * width)))
    index = first[:, None] + offsets
    weight = np.maximum(0.0, 1.0 - np.abs(index - positions[:, None]) / width)
    if width > 1:
        # A shrinking filter counts inside voxels only; an interpolating one repeats the edge.
        weight = np.where((index < 0) | (index >= length), 0.0, weight)
    total = weight.sum(axis=1, keepdims=True)
    return np.clip(index, 0, length - 1), weight / np.where(total > 0, total, 1.0)


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
