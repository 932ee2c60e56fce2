"""From the voxels of an output grid to places in the working grid of a field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrseg.geometry import Floats, Grid, Shape

#: Voxels by which rounding may move a point.
_SLACK = 1e-4


@dataclass(frozen=True, eq=False)
class LatticeMap:
    """An affine map of (k, j, i) indices.

    Attributes:
        matrix: 3x3.
        start: where index (0, 0, 0) goes.
    """

    matrix: Floats
    start: Floats

    @classmethod
    def between(cls, output: Grid, working: Grid) -> LatticeMap:
        """The same points in space, as indices of either grid."""
        matrix = np.linalg.solve(working.affine[:3, :3], output.affine[:3, :3])[::-1, ::-1]
        return cls(matrix.astype(np.float64), working.to_index(output.affine[:3, 3]))

    def __call__(self, index: NDArray) -> Floats:
        """Indices (P, 3) of the output grid as fractional ones of the working grid."""
        return index @ self.matrix.T + self.start

    @property
    def steps(self) -> Floats:
        """Length of a step along each axis of the output grid, in voxels of the working grid along its nearest axis."""
        return np.abs(self.matrix).max(axis=0)

    @staticmethod
    def inside(points: Floats, shape: Shape) -> NDArray[np.bool_]:
        """Which points (P, 3) lie in the field of view of a working grid of this shape."""
        limit = np.asarray(shape) - 0.5 + _SLACK
        within: NDArray[np.bool_] = (points >= -0.5 - _SLACK) & (points <= limit)
        return np.all(within, axis=1)
