"""From probabilities on a working grid, slab by slab, to a label map on the image's own grid.

Only two working slices and one output slice of probabilities exist at a time, whatever the size of the volume.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from hrseg.preprocess import Prepared


class LabelAssembly:
    """Takes slabs of class probabilities in order and keeps the label of highest probability per output voxel.

    Args:
        prepared: where the working grid lies in the image.
        classes: number of classes, the background (0) included.
        keep_probability: also keep the probability of each label, float32 (classes - 1, K, J, I).
    """

    def __init__(self, prepared: Prepared, classes: int, *, keep_probability: bool = False) -> None:
        self._prepared = prepared
        self._size = prepared.subject.shape
        self._labels = np.zeros(self._size, dtype=np.uint8)
        self._probability = np.zeros([classes - 1, *self._size], dtype=np.float32) if keep_probability else None
        step = prepared.grid.shape[0] / self._size[0]
        top = prepared.grid.shape[0] - 1
        #: Position of each output slice among the working slices.
        self._positions = np.clip((np.arange(self._size[0]) + 0.5) * step - 0.5, 0, top)
        self._next = 0
        self._last: tuple[int, Tensor] | None = None

    def add(self, start: int, slab: Tensor) -> None:
        """The next slab: probabilities (classes, thickness, J, I) of the working slices from ``start`` on."""
        if self._last is not None:
            start, slab = self._last[0], torch.cat([self._last[1], slab], dim=1)
        end = start + slab.shape[1] - 1
        while self._next < self._size[0] and self._positions[self._next] <= end:
            self._put(self._next, _slice_at(slab, self._positions[self._next] - start))
            self._next += 1
        self._last = (end, slab[:, -1:].clone())

    def labels(self) -> NDArray[np.uint8]:
        """The label map in the image's own orientation and full field of view, (K, J, I)."""
        return self._restore(self._labels[None])[0]

    def probability(self) -> NDArray[np.float32] | None:
        """The labels' probabilities likewise, (labels, K, J, I), where they were kept."""
        return None if self._probability is None else self._restore(self._probability)

    def _put(self, k: int, values: Tensor) -> None:
        if values.shape[1:] != self._size[1:]:
            values = F.interpolate(values[None], self._size[1:], mode="bilinear", align_corners=False)[0]
        self._labels[k] = values.argmax(dim=0).to(torch.uint8).numpy()
        if self._probability is not None:
            self._probability[:, k] = values[1:].numpy()

    def _restore(self, array: NDArray) -> NDArray:
        prepared = self._prepared
        full = np.zeros([array.shape[0], *prepared.oriented.shape], dtype=array.dtype)
        full[(..., *prepared.subject.slices)] = array
        return np.ascontiguousarray(prepared.change.inverse.apply(full))


def assemble(
    slabs: Iterator[tuple[int, Tensor]], prepared: Prepared, classes: int, *, keep_probability: bool = False
) -> LabelAssembly:
    """All slabs of a volume assembled."""
    assembly = LabelAssembly(prepared, classes, keep_probability=keep_probability)
    for start, slab in slabs:
        assembly.add(start, slab)
    return assembly


def _slice_at(slab: Tensor, position: float) -> Tensor:
    """Linear interpolation between two slices of (classes, thickness, J, I)."""
    low = int(position)
    part = float(position - low)
    return slab[:, low] if part < 1e-6 else torch.lerp(slab[:, low], slab[:, low + 1], part)
