"""The boundary of a label as triangles whose corners lie on it, not on voxels.

Surface nets (Gibson, MICCAI 1998): one vertex in each cell of eight neighbouring voxels on both sides of the boundary,
at the mean of the places where the cell's edges are crossed; then moved onto the field's own boundary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrseg.bounding_box import bounding_box
from hrseg.geometry import Box, Floats, Grid

#: By how much a label is ahead of all others, (P,), at fractional (k, j, i) indices (P, 3); below 0 behind.
Lead = Callable[[Floats], NDArray[np.float32]]
_CORNERS = np.array(list(np.ndindex(2, 2, 2)))
#: The pairs of a cell's corners that are one step apart.
_EDGES = np.array([(a, b) for a in range(8) for b in range(a + 1, 8) if abs(_CORNERS[a] - _CORNERS[b]).sum() == 1])
#: Voxels between which the slope is taken, and that a vertex may move at once.
_SLOPE_STEP, _MOST = 0.25, 0.5
_MOVES = 3
#: Slices that are searched at once.
_SLAB = 8
#: Bytes per voxel of a label map that :func:`surface_of` needs with its mask: measured, of a block as large as that.
SURFACE = 10


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles.

    Attributes:
        points: (V, 3) RAS mm.
        triangles: int64 (T, 3), counter-clockwise as seen from outside.
    """

    points: Floats
    triangles: NDArray[np.int64]


def surface_of(mask: NDArray[np.bool_], lead: Lead, grid: Grid) -> Surface:
    """The closed boundary of ``mask`` (K, J, I) on ``grid``, where ``lead`` is 0.

    Args:
        lead: positive inside of the mask, negative outside; asked near the boundary alone.
    """
    inside = bounding_box(mask)
    if inside is None:
        return Surface(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    # Two voxels more, so that what ends at the border of the grid is closed there.
    box = inside.expand(2)
    padded = np.zeros(box.shape, dtype=bool)
    inner = box.clip(grid.shape)
    padded[inner.shift([-n for n in box.start]).slices] = mask[inner.slices]
    cells = _where(_crossed, padded)
    index = cells + _crossings(_node_values(padded, cells, box, grid, lead)) + np.asarray(box.start)
    within = np.asarray(grid.shape) - 1.0
    for _ in range(_MOVES):
        index = _towards_boundary(index, lead, within)
    triangles = _triangles(padded, cells)
    # Indices (k, j, i) turn round in a right-handed frame (i, j, k), and once more where the grid is left-handed.
    if np.linalg.det(grid.affine[:3, :3]) < 0:
        triangles = triangles[:, ::-1].copy()
    return Surface(grid.to_world(index), triangles)


def _where(found: Callable[[NDArray[np.bool_]], NDArray[np.bool_]], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Indices (P, 3) of what is found in ``mask`` between neighbours, slab by slab to save memory."""
    parts = []
    for start in range(0, len(mask), _SLAB):
        # The last slice, which slabs share, is the next one's.
        part = np.argwhere(found(mask[start : start + _SLAB + 1])[:_SLAB])
        part[:, 0] += start
        parts.append(part)
    return np.concatenate(parts)


def _crossed(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells with corners on both sides."""
    some, every = mask, mask
    for axis in range(3):
        low, high = (slice(None),) * axis + (slice(None, -1),), (slice(None),) * axis + (slice(1, None),)
        some, every = some[low] | some[high], every[low] & every[high]
    return some & ~every


def _node_values(mask: NDArray[np.bool_], cells: NDArray, box: Box, grid: Grid, lead: Lead) -> NDArray[np.float32]:
    """Values (C, 8) at the corners of cells, each voxel asked once; -1 outside the grid."""
    number = np.ravel_multi_index(tuple(cells.T), mask.shape)
    steps = np.ravel_multi_index(tuple(_CORNERS.T), mask.shape)
    asked = np.zeros(mask.size, dtype=bool)
    for step in steps:
        asked[number + step] = True
    once = np.flatnonzero(asked)
    index = np.stack(np.unravel_index(once, mask.shape), axis=1) + np.asarray(box.start)
    known = ((index >= 0) & (index < grid.shape)).all(axis=1)
    values = np.full(len(once), -1, dtype=np.float32)
    values[known] = lead(index[known].astype(np.float64))
    # The mask decides; where both sides are equally probable, values could contradict it.
    side = mask.ravel()[once]
    values = np.where(side, np.maximum(values, 1e-4), np.minimum(values, -1e-4))
    found = np.empty((len(cells), len(steps)), dtype=np.float32)
    for corner, step in enumerate(steps):
        found[:, corner] = values[np.searchsorted(once, number + step)]
    return found


def _crossings(values: NDArray[np.float32]) -> Floats:
    """Mean place (C, 3) within each cell where its edges are crossed."""
    total, count = np.zeros((len(values), 3)), np.zeros((len(values), 1))
    for a, b in _EDGES:
        crossed = (values[:, a] > 0) != (values[:, b] > 0)
        part = values[crossed, a] / (values[crossed, a] - values[crossed, b])
        total[crossed] += _CORNERS[a] + part[:, None] * (_CORNERS[b] - _CORNERS[a])
        count[crossed] += 1
    return total / count


def _towards_boundary(index: Floats, lead: Lead, within: Floats) -> Floats:
    """Vertices moved along the slope to where the field crosses zero; those beyond the outermost voxels stay."""
    free = ((index >= 0) & (index <= within)).all(axis=1)
    here = index[free]
    value = lead(here)
    slope = np.empty_like(here)
    for axis in range(3):
        step = np.zeros(3)
        # A single slice has no slope across it.
        step[axis] = _SLOPE_STEP * (within[axis] > 0)
        slope[:, axis] = (lead(here + step) - lead(here - step)) / (2 * _SLOPE_STEP)
    move = -value[:, None] * slope / np.maximum((slope**2).sum(axis=1, keepdims=True), 1e-6)
    length = np.linalg.norm(move, axis=1, keepdims=True)
    move *= np.minimum(1, _MOST / np.maximum(length, 1e-9))
    result = index.copy()
    result[free] = np.clip(here + move, 0, within)
    return result


def _triangles(mask: NDArray[np.bool_], cells: NDArray) -> NDArray[np.int64]:
    """Two triangles around each edge of the lattice that is crossed, between the vertices of its four cells."""
    number = np.ravel_multi_index(tuple(cells.T), mask.shape)
    found = []
    for axis in range(3):
        b, c = (axis + 1) % 3, (axis + 2) % 3
        low = (slice(None),) * axis + (slice(None, -1),)
        high = (slice(None),) * axis + (slice(1, None),)
        nodes = _where(lambda slab, low=low, high=high: slab[low] != slab[high], mask)  # type: ignore[misc]
        step_b, step_c = np.eye(3, dtype=int)[[b, c]]
        around = [nodes, nodes - step_b, nodes - step_b - step_c, nodes - step_c]
        corner = [np.searchsorted(number, np.ravel_multi_index(tuple(place.T), mask.shape)) for place in around]
        quad = np.stack(corner, axis=1)
        # Seen from where the edge leaves the label; axes (k, j, i) are left-handed in the frame of (i, j, k).
        backwards = mask[tuple(nodes.T)]
        quad[backwards] = quad[backwards, ::-1]
        found += [quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]]
    return np.concatenate(found).astype(np.int64)
