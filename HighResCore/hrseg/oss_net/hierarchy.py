"""Label maps from a function of points, asked only where labels meet.

Coarse cells first; those whose corners disagree or are unsure are refined, level by level, down to single voxels (fact
sheet, C5, after the multi-resolution iso-surface extraction of Mescheder et al., CVPR 2019). Coarse cells are refined
one by one in bounded batches, so that beyond the label map itself memory does not grow with the resolution; where a
label crosses into a neighbour that nobody suspected, that one is refined, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hrseg.geometry import Shape

Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Nodes = NDArray[np.intp]
#: Labels (P,), and whether they are sure (P,), of voxels (P, 3).
Evaluate = Callable[[Nodes], tuple[Labels, Mask]]
#: Told the share of the work that is done, as far as it is known.
Advance = Callable[[float], None]

#: Voxels of the cells refined at once.
_BATCH = 2**18
#: Cells of a cube of this side follow each other, so that what lies near is asked together.
_NEAR = 4


class Guess(Protocol):
    """What is known without asking, of places (P, 3) in (k, j, i) voxels."""

    def labels(self, places: NDArray) -> Labels:
        """The most probable label of each place, (P,)."""

    def candidates(self, centres: NDArray) -> Mask:
        """Whether labels may meet in the coarse cells around these centres (P, 3), (P,)."""

    def present(self, centres: NDArray) -> dict[int, Mask]:
        """Per label, whether it must be looked for in these cells, (P,)."""


def refine(
    shape: Shape,
    strides: Sequence[int],
    evaluate: Evaluate,
    guess: Guess | None = None,
    advance: Advance | None = None,
    detail: Sequence[int] = (1, 1, 1),
) -> tuple[Labels, int]:
    """The label map (K, J, I) of ``shape``, and how many points were evaluated for it.

    Args:
        strides: sides of a coarse cell (k, j, i), powers of two.
        evaluate: asked at each voxel at most once per batch of cells.
        guess: without one, the corners of all coarse cells are evaluated.
        detail: how closely (k, j, i) a cell is looked at in which a label must be, though no corner has it.
    """
    return _Refinement(shape, strides, evaluate, guess, advance, detail).run()


class _Refinement:
    def __init__(
        self,
        shape: Shape,
        strides: Sequence[int],
        evaluate: Evaluate,
        guess: Guess | None,
        advance: Advance | None,
        detail: Sequence[int],
    ) -> None:
        self._shape, self._evaluate, self._guess, self._advance = shape, evaluate, guess, advance
        self._detail = np.asarray(detail)
        self._strides = np.minimum(strides, [_power_of_two(n - 1) for n in shape])
        self._cells = np.maximum(1, -(-(np.asarray(shape) - 1) // self._strides))
        self._labels = np.zeros(self._cells + 1, dtype=np.uint8)
        self._sure = np.ones(self._cells + 1, dtype=bool)
        self._known = np.zeros(self._cells + 1, dtype=bool)
        self._done = np.zeros(self._cells, dtype=bool)
        self._whole_done = np.zeros(self._cells, dtype=bool)
        #: Per label, cells that have a voxel of it; kept where the guess may ask.
        self._has: dict[int, Mask] = {}
        self.points = 0

    def run(self) -> tuple[Labels, int]:
        out = np.zeros(self._shape, dtype=np.uint8)
        todo, whole = self._candidates(), np.zeros(self._cells, dtype=bool)
        while True:
            if not todo.any():
                whole |= self._lost()
                todo = whole & ~self._done
                if not todo.any():
                    self._fill(out)
                    return out, self.points
            entered = self._refine_cells(np.argwhere(todo), whole, out)
            # A label came in through a face: what it does inside, the corners do not tell.
            whole |= entered
            todo = (entered | _disagree(self._labels)) & ~self._done

    def _candidates(self) -> Mask:
        """Coarse cells in which labels may meet, and what the corners of all cells seem to be."""
        if self._guess is None:
            return np.ones(self._cells, dtype=bool)
        places = np.argwhere(~self._known) * self._strides
        self._labels = self._guess.labels(np.minimum(places, self._top)).reshape(self._labels.shape)
        return self._guess.candidates(self._centres()).reshape(self._done.shape) | _disagree(self._labels)

    def _lost(self) -> Mask:
        """Cells where the guess has a label that was not found there; they must be looked at voxel by voxel."""
        lost = np.zeros(self._cells, dtype=bool)
        if self._guess is None:
            return lost
        for label, present in self._guess.present(self._centres()).items():
            found = over_cells(self._labels == label, np.logical_or)
            found |= self._has.get(label, lost)
            lost |= present.reshape(lost.shape) & ~found
        # A cell that was refined without finding the label is refined again, this time in whole, but only once.
        lost &= ~self._whole_done
        self._done &= ~lost
        return lost

    def _corners(self, cells: Nodes) -> tuple[NDArray, ...]:
        """Indices (B, 2, 2, 2) of the corners of cells (B, 3), which are evaluated where they were not yet."""
        corners = cells[:, None, None, None] + np.indices((2, 2, 2)).transpose(1, 2, 3, 0)
        index = tuple(np.moveaxis(corners, -1, 0))
        nodes = np.unique(corners[~self._known[index]], axis=0)
        if len(nodes):
            where = tuple(nodes.T)
            self._labels[where], self._sure[where] = self._ask(nodes * self._strides)
            self._known[where] = True
        return index

    def _ask(self, nodes: Nodes) -> tuple[Labels, Mask]:
        """Labels of voxels (P, 3), each asked once even where it stands several times or beyond the end."""
        number = np.ravel_multi_index(tuple(np.minimum(nodes, self._top).T), self._shape)
        once, inverse = np.unique(number, return_inverse=True)
        labels, sure = self._evaluate(np.stack(np.unravel_index(once, self._shape), axis=1))
        self.points += len(once)
        return labels[inverse], sure[inverse]

    def _fill(self, out: Labels) -> None:
        """Cells that were not refined get the label of their corners."""
        k, j, i = (
            np.minimum(np.arange(n) // s, c - 1)
            for n, s, c in zip(self._shape, self._strides, self._cells, strict=True)
        )
        for row in range(self._cells[0]):
            plane, done = (array[row][j][:, i] for array in (self._labels, self._done))
            low, high = np.searchsorted(k, [row, row + 1])
            np.copyto(out[low:high], plane, where=~done)

    def _refine_cells(self, cells: Nodes, whole: Mask, out: Labels) -> Mask:
        """Refines those of cells (B, 3) that need it, into ``out``; returns the cells that labels enter from them."""
        entered = np.zeros(self._cells, dtype=bool)
        cells = cells[np.lexsort(tuple((cells // _NEAR).T))]
        size = max(1, _BATCH // int(np.prod(self._strides + 1)))
        for first in range(0, len(cells), size):
            part = cells[first : first + size]
            corners = self._corners(part)
            every = whole[tuple(part.T)]
            labels, sure = self._labels[corners], self._sure[corners]
            active = every | _disagree(labels)[:, 0, 0, 0] | ~sure.all(axis=(1, 2, 3))
            if self._advance:
                self._advance(min(1.0, (first + size) / len(cells)))
            if not active.any():
                continue
            part, every = part[active], every[active]
            block = _Block(part * self._strides, self._strides, self._detail, self._ask)
            found = block.refined(labels[active], sure[active], every)
            self._write(part, found, out)
            self._done[tuple(part.T)] = True
            self._whole_done[tuple(part.T)] |= every
            _mark_entered(part, found, entered)
        return entered & ~self._done

    def _write(self, cells: Nodes, labels: Labels, out: Labels) -> None:
        start = cells * self._strides
        # The last cell of an axis has the last voxel, too.
        stop = np.where(cells == self._cells - 1, self._shape, start + self._strides)
        for block, low, high in zip(labels, start, stop, strict=True):
            k, j, i = high - low
            out[low[0] : high[0], low[1] : high[1], low[2] : high[2]] = block[:k, :j, :i]
        if self._guess is not None:
            for label in np.unique(labels):
                has = self._has.setdefault(int(label), np.zeros(self._cells, dtype=bool))
                has[tuple(cells.T)] = (labels == label).any(axis=(1, 2, 3))

    @property
    def _top(self) -> NDArray:
        return np.asarray(self._shape) - 1

    def _centres(self) -> NDArray:
        return (np.argwhere(~np.zeros(self._cells, dtype=bool)) + 0.5) * self._strides


class _Block:
    """Cells of equal size, from ``start`` (B, 3), refined to single voxels."""

    def __init__(self, start: Nodes, strides: Nodes, detail: Nodes, ask: Evaluate) -> None:
        self._start, self._strides, self._detail, self._ask = start, strides, detail, ask
        shape = (len(start), *(strides + 1))
        self._labels = np.zeros(shape, dtype=np.uint8)
        self._sure = np.ones(shape, dtype=bool)
        self._known = np.zeros(shape, dtype=bool)

    def refined(self, labels: Labels, sure: Mask, whole: Mask) -> Labels:
        """Labels (B, k + 1, j + 1, i + 1) from those of the corners (B, 2, 2, 2); ``whole`` (B,): with every detail."""
        step = self._strides
        view = _every(step)
        self._labels[view], self._sure[view], self._known[view] = labels, sure, True
        while step.max() > 1:
            view = _every(step)
            active = _disagree(self._labels[view]) | ~over_cells(self._sure[view], np.logical_and)
            if (step > self._detail).any():
                active |= whole[:, None, None, None]
            half = np.maximum(step // 2, 1)
            for axis in range(3):
                if step[axis] > half[axis]:
                    self._spread(axis, step, half)
                    active = active.repeat(2, axis=axis + 1)
                    step = np.where(np.arange(3) == axis, half, step)
            self._evaluate(over_nodes(active), half)
        # A boundary that has moved on into cells that seemed settled is followed.
        while True:
            before = int(self._known.sum())
            self._evaluate(over_nodes(_disagree(self._labels)), step)
            if int(self._known.sum()) == before:
                return self._labels

    def _spread(self, axis: int, step: Nodes, half: Nodes) -> None:
        """New nodes along an axis take over what the one before has."""
        for array in (self._labels, self._sure):
            view = np.moveaxis(array[_every(np.where(np.arange(3) == axis, half, step))], axis + 1, 0)
            view[1::2] = view[:-1:2]

    def _evaluate(self, needed: Mask, step: Nodes) -> None:
        view = _every(step)
        where = np.argwhere(needed & ~self._known[view])
        if len(where):
            block, offset = where[:, 0], where[:, 1:] * step
            index = (block, *offset.T)
            self._labels[index], self._sure[index] = self._ask(self._start[block] + offset)
            self._known[index] = True


def over_cells(nodes: NDArray, combine: np.ufunc) -> NDArray:
    """Per cell of the last three axes, its eight corners combined: (..., k + 1, j + 1, i + 1) to (..., k, j, i)."""
    for axis in (-3, -2, -1):
        view = np.moveaxis(nodes, axis, 0)
        nodes = np.moveaxis(combine(view[:-1], view[1:]), 0, axis)
    return nodes


def over_nodes(cells: Mask) -> Mask:
    """Whether a node is a corner of any of these cells: (..., k, j, i) to (..., k + 1, j + 1, i + 1)."""
    for axis in (-3, -2, -1):
        view = np.moveaxis(cells, axis, 0)
        nodes = np.zeros((len(view) + 1, *view.shape[1:]), dtype=bool)
        nodes[:-1] |= view
        nodes[1:] |= view
        cells = np.moveaxis(nodes, 0, axis)
    return cells


def _disagree(labels: Labels) -> Mask:
    return over_cells(labels, np.minimum) != over_cells(labels, np.maximum)


def _mark_entered(cells: Nodes, labels: Labels, entered: Mask) -> None:
    """Marks the neighbours of cells (B, 3) across those faces on which labels meet."""
    for axis in range(3):
        for end, move in ((0, -1), (-1, 1)):
            face = labels.take(end, axis=axis + 1).reshape(len(labels), -1)
            neighbours = cells[(face != face[:, :1]).any(axis=1)] + move * (np.arange(3) == axis)
            inside = (neighbours[:, axis] >= 0) & (neighbours[:, axis] < entered.shape[axis])
            entered[tuple(neighbours[inside].T)] = True


def _every(step: Nodes) -> tuple[slice, ...]:
    return (slice(None), *(slice(None, None, int(s)) for s in step))


def _power_of_two(limit: int) -> int:
    """The largest one up to ``limit``, at least 1."""
    return 1 << max(0, limit.bit_length() - 1)
