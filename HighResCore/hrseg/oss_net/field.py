"""The segmentation of one image as a continuous field: encoded once, then asked wherever and however finely."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.nn import functional as F

from hrseg.errors import InputError, OutOfMemory
from hrseg.geometry import Box, Grid
from hrseg.image import LabelMap
from hrseg.memory import GIB
from hrseg.methods import settings
from hrseg.model_file import Model
from hrseg.oss_net.encoding import Encoding
from hrseg.oss_net.guess import PriorGuess
from hrseg.oss_net.hierarchy import Evaluate, Guess, Labels, Mask, Nodes, refine
from hrseg.oss_net.lattice_map import LatticeMap
from hrseg.oss_net.released import STRIDES, released
from hrseg.oss_net.settings import InferenceSettings
from hrseg.oss_net.surface import Surface, surface_of
from hrseg.runtime import Run

#: Side of a coarse cell in voxels of the working grid, and of one in small volumes.
_CELL, _SMALL_CELL = 8, 4
#: Axes of so many voxels are large.
_LARGE = 64
_MOST = 32
#: Side of a box that is evaluated densely, in voxels of the working grid.
_TILE = 32
#: Steps that progress has.
_STEPS = 1000


@dataclass(eq=False)
class Field:
    """The occupancy field of an image.

    Attributes:
        model: whose network made it.
        grid: working grid that the image was encoded on; beyond its field of view all is background.
        source: the image's own grid, where a label map lies if no other grid is given.
        encoding: of the image.
        points: that the last label map took.
    """

    model: Model
    grid: Grid
    source: Grid
    encoding: Encoding
    points: int = 0

    def __post_init__(self) -> None:
        header = self.model.header
        self._settings = settings(InferenceSettings, header.inference, header.name)

    def probability_at(self, points: ArrayLike) -> NDArray[np.float32]:
        """Probability of each label at points (..., 3) in RAS mm: (labels, ...). Raises InputError for other shapes."""
        places = np.asarray(points, dtype=np.float64)
        if places.shape[-1:] != (3,):
            raise InputError(f"The points have the shape {places.shape}; each must be three numbers, R, A, S in mm.")
        found = self._probability(self.grid.to_index(places.reshape(-1, 3)))[:, 1:].T
        return found.reshape(len(found), *places.shape[:-1])

    def label_map(self, grid: Grid | None = None, *, level: float | None = None, run: Run | None = None) -> LabelMap:
        """Labels on any grid: finer, coarser, turned, a part, a single slice.

        Args:
            grid: where; the image's own if left out.
            level: probability from which a place belongs to any label; None: where a label is the most probable class.
            run: for progress and cancel.

        Raises:
            InputError: a ``level`` that is not between 0 and 1.
            Cancelled, OutOfMemory: as ``run`` has it.
        """
        if level is not None and not 0 < level < 1:
            raise InputError(f"The decision level {level} must lie between 0 and 1; 0.5 is the usual one.")
        grid, run = grid or self.source, run or Run()
        kind = self._settings.evaluation
        mapping = LatticeMap.between(grid, self.grid)

        def evaluate(nodes: Nodes) -> tuple[Labels, Mask]:
            return self._decide(mapping, nodes, level, run)

        with run.stage("field", _STEPS) as advance:
            told = _Share(advance)
            if kind == "dense":
                labels, self.points = self._dense(grid, evaluate, told), grid.size
            elif kind == "released":
                labels, self.points = released(grid.shape, evaluate, self._released_prior(grid))
            else:
                strides = self._strides(mapping, grid)
                guess, detail = self._guess(mapping, strides), self._detail(mapping)
                labels, self.points = refine(grid.shape, strides, evaluate, guess, told, detail)
        names = {label.value: label.name for label in self.model.header.labels}
        return LabelMap(labels, grid, names)

    def probability(
        self, grid: Grid | None = None, *, labels: Sequence[int] | None = None, run: Run | None = None
    ) -> NDArray[np.float32]:
        """Probability of labels, by their values (all if left out), at each voxel of a grid, (labels, K, J, I)."""
        grid, run = grid or self.source, run or Run()
        mapping = LatticeMap.between(grid, self.grid)
        values = [label.value for label in self.model.header.labels] if labels is None else list(labels)
        result = np.empty((len(values), *grid.shape), dtype=np.float32)
        with run.stage("probability", grid.size) as advance:
            for tile, nodes in _tiles(grid, mapping):
                result[(..., *tile.slices)] = self._probability(mapping(nodes))[:, values].T.reshape(-1, *tile.shape)
                advance(tile.size)
        return result

    def surface(
        self,
        label: int,
        grid: Grid | None = None,
        *,
        level: float | None = None,
        label_map: LabelMap | None = None,
        run: Run | None = None,
    ) -> Surface:
        """The boundary of a label, with corners between voxels where the field has it.

        Args:
            label: value.
            grid: how fine, and which part; the image's own if left out.
            level: as :meth:`label_map` has it.
            label_map: what :meth:`label_map` gave for this grid and level, where it was asked already.
            run: for progress and cancel.

        Raises:
            InputError: a value that the model does not have.
        """
        values = [entry.value for entry in self.model.header.labels]
        if label not in values:
            raise InputError(f"There is no label {label}; this field has {', '.join(map(str, values))}.")
        grid, run = grid or self.source, run or Run()
        mapping = LatticeMap.between(grid, self.grid)

        def lead(index: NDArray) -> NDArray[np.float32]:
            run.check_cancelled()
            probability = self._probability(mapping(index))
            others = np.delete(probability, label, axis=1)
            if level is None:
                return probability[:, label] - others.max(axis=1)
            # The level decides against the background, which comes first, and the other labels are rivals still.
            ahead = probability[:, label] - others[:, 1:].max(axis=1, initial=0)
            return np.minimum(ahead, probability[:, 1:].sum(axis=1) - level)

        label_map = label_map or self.label_map(grid, level=level, run=run)
        with run.stage("surface"):
            return surface_of(label_map.array == label, lead, grid)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the field to a file; see :func:`hrseg.oss_net.field_file.save_field`, and ``load_field`` there."""
        from hrseg.oss_net.field_file import save_field

        save_field(path, self)

    @staticmethod
    def labels_of(probability: NDArray[np.float32]) -> Labels:
        """The most probable class per voxel (K, J, I), of what :meth:`probability` gave."""
        labels = np.empty(probability.shape[1:], dtype=np.uint8)
        for k in range(len(labels)):
            part = probability[:, k]
            best = part.argmax(axis=0)
            labels[k] = np.where(part.max(axis=0) > 1 - part.sum(axis=0), best + 1, 0)
        return labels

    def _decide(self, mapping: LatticeMap, nodes: Nodes, level: float | None, run: Run) -> tuple[Labels, Mask]:
        """Labels of voxels (P, 3), and whether they are sure."""
        labels, sure = np.empty(len(nodes), dtype=np.uint8), np.empty(len(nodes), dtype=bool)
        for first in range(0, len(nodes), self._settings.chunk):
            run.check_cancelled()
            part = slice(first, first + self._settings.chunk)
            labels[part], sure[part] = decide(self._probability(mapping(nodes[part])), level, self._settings.margin)
        return labels, sure

    def _probability(self, index: NDArray) -> NDArray[np.float32]:
        """Probabilities (P, classes) at fractional indices (P, 3) of the working grid."""
        image = self.encoding.image
        result = np.zeros((len(index), self.model.header.classes), dtype=np.float32)
        result[:, 0] = 1
        inside = LatticeMap.inside(index, self.grid.shape)
        for part in np.array_split(np.flatnonzero(inside), -(-len(index) // self._settings.chunk) or 1):
            if len(part):
                points = torch.from_numpy(index[part].astype(np.float32)).to(image.device)
                result[part] = F.softmax(self.encoding.logits(points).float(), dim=1).cpu().numpy()
        return result

    def _dense(self, grid: Grid, evaluate: Evaluate, told: _Share) -> Labels:
        labels = np.empty(grid.shape, dtype=np.uint8)
        done = 0
        for tile, nodes in _tiles(grid, LatticeMap.between(grid, self.grid)):
            labels[tile.slices] = evaluate(nodes)[0].reshape(tile.shape)
            done += tile.size
            told(done / grid.size)
        return labels

    def _strides(self, mapping: LatticeMap, grid: Grid) -> list[int]:
        if self._settings.strides:
            return list(self._settings.strides)
        cell = _CELL if max(self.grid.shape) >= _LARGE else _SMALL_CELL
        wanted = np.floor(np.log2(np.clip(cell / mapping.steps, 1, _MOST)) + 1e-6)
        return [1 if n == 1 else int(2**w) for n, w in zip(grid.shape, wanted, strict=True)]

    def _detail(self, mapping: LatticeMap) -> list[int]:
        """How closely is looked for what the prior has seen: half of its nodes' distance, in output voxels."""
        prior = self.encoding.prior
        seen = 1.0 if prior is None else max(1.0, min(prior.strides) / 2)
        return [int(2 ** np.floor(np.log2(max(1.0, seen / step)) + 1e-6)) for step in mapping.steps]

    def _guess(self, mapping: LatticeMap, strides: Sequence[int]) -> Guess | None:
        if self.encoding.prior is None:
            return None
        s = self._settings
        return PriorGuess(self.encoding.prior, mapping, self.grid.shape, strides, s.prior_threshold, s.found)

    def _released_prior(self, grid: Grid) -> Mask | None:
        """Where the encoder's probability, resized to a quarter of the grid as released, is above a half."""
        if self.encoding.prior is None:
            return None
        sides = [-(-n // STRIDES[0]) for n in grid.shape]
        foreground = torch.from_numpy(1 - self.encoding.prior.probability[:1])[None]
        return F.interpolate(foreground, sides, mode="trilinear", align_corners=True)[0, 0].numpy() > 0.5


def check_room(grid: Grid, each: int, room: int) -> None:
    """Raises OutOfMemory for a grid whose voxels, of ``each`` bytes, need more than ``room`` bytes."""
    need = grid.size * each
    if need > room:
        k, j, i = grid.shape
        raise OutOfMemory(
            f"{i} x {j} x {k} voxels need {need / GIB:.1f} GB of memory, but {max(0, room) / GIB:.1f} GB are free; "
            "choose a coarser resolution or a smaller region."
        )


def decide(probability: NDArray[np.float32], level: float | None, margin: float) -> tuple[Labels, Mask]:
    """Labels (P,) of class probabilities (P, classes), and whether they are sure.

    Sure are those whose probability is ahead of the second one's by ``margin``; with a ``level``, those whose
    foreground is away from it by half of ``margin``, and whose label is ahead of the other labels.
    """
    if level is None:
        labels = probability.argmax(axis=1).astype(np.uint8)
        return labels, _lead(probability) >= margin
    foreground = 1 - probability[:, 0]
    best = probability[:, 1:].argmax(axis=1) + 1
    labels = np.where(foreground >= level, best, 0).astype(np.uint8)
    sure = np.abs(foreground - level) >= margin / 2 * min(1, 2 * level, 2 * (1 - level))
    if probability.shape[1] > 2:
        sure &= (labels == 0) | (_lead(probability[:, 1:]) >= margin)
    return labels, sure


def _lead(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    two = np.partition(probability, -2, axis=1)[:, -2:]
    return two[:, 1] - two[:, 0]


def _tiles(grid: Grid, mapping: LatticeMap) -> Iterator[tuple[Box, Nodes]]:
    """The grid in boxes that lie within a few bricks each, and the voxels of each, (P, 3)."""
    sides = [int(np.clip(_TILE / step, 1, n)) for step, n in zip(mapping.steps, grid.shape, strict=True)]
    for start in product(*(range(0, n, side) for n, side in zip(grid.shape, sides, strict=True))):
        box = Box.whole(sides).shift(start).clip(grid.shape)
        yield box, np.indices(box.shape).reshape(3, -1).T + box.start


class _Share:
    """Turns the share of the work done into steps of a stage."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self._advance, self._told = advance, 0

    def __call__(self, share: float) -> None:
        steps = max(0, int(_STEPS * share) - self._told)
        self._told += steps
        self._advance(steps)
