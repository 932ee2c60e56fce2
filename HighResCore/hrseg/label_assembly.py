"""From probabilities on a working grid, slab by slab, to a label map on the image's own grid.

Of the probabilities, only two slabs and one output slice exist at a time, whatever the size of the volume.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrseg.blocks import interpolated
from hrseg.preprocess import Prepared


class LabelAssembly:
    """Takes slabs of class probabilities in order and keeps the label of highest probability per output voxel.

    Args:
        prepared: where the working grid lies in the image.
        classes: number of classes, the background (0) included.
        keep_probability: also keep the probability of each label.
        axis: of the working grid (K, J, I), along which the slabs follow each other; a 2D image has its slabs along J.
    """

    def __init__(self, prepared: Prepared, classes: int, *, keep_probability: bool = False, axis: int = 0) -> None:
        shape = prepared.oriented.reoriented(prepared.change.inverse).shape
        self._labels = np.zeros(shape, dtype=np.uint8)
        self._probability = np.zeros((classes - 1, *shape), dtype=np.float32) if keep_probability else None
        self._label_slices = _working_view(self._labels, prepared, axis)
        self._probability_slices = (
            None if self._probability is None else _working_view(self._probability, prepared, axis)
        )
        self._positions = _positions(prepared.grid.shape[axis], prepared.subject.shape[axis])
        self._next = 0
        self._last: tuple[int, Tensor] | None = None

    def add(self, start: int, slab: Tensor) -> None:
        """The next slab: probabilities (classes, thickness, ...) of the working slices from ``start`` on.

        The dots stand for the two other axes in their order.
        """
        if self._last is not None:
            start, slab = self._last[0], torch.cat([self._last[1], slab], dim=1)
        end = start + slab.shape[1] - 1
        while self._next < len(self._positions) and self._positions[self._next] <= end:
            self._put(self._next, _slice_at(slab, self._positions[self._next] - start))
            self._next += 1
        self._last = (end, slab[:, -1:].clone())

    def labels(self) -> NDArray[np.uint8]:
        """The label map in the image's own orientation and full field of view, (K, J, I)."""
        return self._labels

    def probability(self) -> NDArray[np.float32] | None:
        """The labels' probabilities likewise, (labels, K, J, I), where they were kept; 0 outside the subject."""
        return self._probability

    def _put(self, number: int, values: Tensor) -> None:
        size = self._label_slices.shape[1:]
        values = interpolated(values[None], size)[0]
        self._label_slices[number] = _most_probable(values).numpy()
        if self._probability_slices is not None:
            self._probability_slices[:, number] = values[1:].numpy()


def assemble(
    slabs: Iterable[tuple[int, Tensor]],
    prepared: Prepared,
    classes: int,
    *,
    keep_probability: bool = False,
    axis: int = 0,
) -> LabelAssembly:
    """All slabs of a volume assembled; see :class:`LabelAssembly`."""
    assembly = LabelAssembly(prepared, classes, keep_probability=keep_probability, axis=axis)
    for start, slab in slabs:
        assembly.add(start, slab)
    return assembly


def _most_probable(values: Tensor) -> Tensor:
    """The class of highest value, uint8, of (classes, ...); the first of equals. ``argmax`` takes ten times as long."""
    best, labels = values[0], torch.zeros(values.shape[1:], dtype=torch.uint8)
    for number, value in enumerate(values[1:], start=1):
        labels.masked_fill_(value > best, number)
        best = torch.maximum(best, value)
    return labels


def _working_view(array: NDArray, prepared: Prepared, axis: int) -> NDArray:
    """The subject in ``array`` (..., K, J, I) as the model sees it, ``axis`` first of the three: a view to write to."""
    subject = prepared.change.apply(array)[(..., *prepared.subject.slices)]
    return np.moveaxis(subject, axis - 3, -3)


def _positions(working: int, output: int) -> NDArray[np.float64]:
    """Position of each output slice among the working slices; both cover the same field of view."""
    return np.clip((np.arange(output) + 0.5) * (working / output) - 0.5, 0, working - 1)


def _slice_at(slab: Tensor, position: float) -> Tensor:
    """Linear interpolation between two slices of (classes, thickness, ...)."""
    low = int(position)
    part = float(position - low)
    return slab[:, low] if part < 1e-6 else torch.lerp(slab[:, low], slab[:, low + 1], part)
