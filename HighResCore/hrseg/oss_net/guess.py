"""What the encoder's prior says about the cells of an output grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from hrseg.geometry import Shape
from hrseg.oss_net.encoding import Prior
from hrseg.oss_net.hierarchy import Labels, Mask
from hrseg.oss_net.lattice_map import LatticeMap


class PriorGuess:
    """A :class:`hrseg.oss_net.hierarchy.Guess` from the encoder's probabilities.

    Args:
        prior: of the encoder.
        mapping: from the output grid to the working grid.
        shape: of the working grid; outside of it all is background.
        strides: of the coarse cells, in output voxels.
        threshold: places where no label has at least 1 minus this are candidates, and so are their neighbours.
        found: labels with at least this must be looked for.
    """

    def __init__(
        self,
        prior: Prior,
        mapping: LatticeMap,
        shape: Shape,
        strides: Sequence[int],
        threshold: float,
        found: float,
    ) -> None:
        self._mapping, self._shape, self._strides = mapping, shape, np.asarray(prior.strides)
        self._best = prior.probability.argmax(axis=0).astype(np.uint8)
        #: How far a cell reaches from its centre: in voxels of the working grid, and in nodes of the prior.
        self._reach = np.abs(mapping.matrix) @ np.asarray(strides) / 2
        nodes = self._reach / self._strides
        unsettled = (prior.probability.max(axis=0) < 1 - threshold) | (_spread(self._best, [1] * 3) != self._best)
        unsettled |= _spread(-self._best.astype(np.float32), [1] * 3) != -self._best.astype(np.float32)
        # The node nearest to a cell's centre is up to half a node away from it.
        inner = np.floor(nodes + 0.5).astype(int).tolist()
        self._candidates = _spread(unsettled, inner) > 0
        self._present = {
            label: _spread(values >= found, inner) > 0
            for label, values in enumerate(prior.probability[1:], 1)
            if values.max() >= found
        }

    def labels(self, places: NDArray) -> Labels:
        """See :meth:`Guess.labels`."""
        points, node = self._nodes(places)
        return np.where(self._mapping.inside(points, self._shape), self._best[node], 0).astype(np.uint8)

    def candidates(self, centres: NDArray) -> Mask:
        """See :meth:`Guess.candidates`: cells that reach into the volume, and may be unsettled there."""
        return self._within(centres, self._candidates)

    def present(self, centres: NDArray) -> dict[int, Mask]:
        """See :meth:`Guess.present`: cells in which the prior sees a label."""
        return {label: self._within(centres, where) for label, where in self._present.items()}

    def _within(self, centres: NDArray, where: NDArray[np.bool_]) -> Mask:
        points, node = self._nodes(centres)
        near = (points > -0.5 - self._reach) & (points < np.asarray(self._shape) - 0.5 + self._reach)
        return where[node] & near.all(axis=1)

    def _nodes(self, places: NDArray) -> tuple[NDArray, tuple[NDArray, ...]]:
        """Places in the working grid, and the indices of the prior's nodes nearest to them."""
        points = self._mapping(places)
        nodes = np.rint((points - (self._strides - 1) / 2) / self._strides).astype(np.intp)
        return points, tuple(np.clip(nodes, 0, np.asarray(self._best.shape) - 1).T)


def _spread(values: NDArray, reach: Sequence[int]) -> NDArray[np.float32]:
    """The largest value within ``reach`` nodes along each axis."""
    result = torch.from_numpy(values.astype(np.float32))[None, None]
    for axis, n in enumerate(reach):
        if n:
            size, edge = [1, 1, 1], [0, 0, 0]
            size[axis], edge[axis] = 2 * n + 1, n
            result = F.max_pool3d(result, size, 1, edge)
    return result[0, 0].numpy()
