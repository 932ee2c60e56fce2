"""The block of voxels that holds a mask. Needs numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrseg.geometry import Box


def bounding_box(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box with all True voxels of a (K, J, I) array, None when there are none."""
    if not mask.any():
        return None
    plane: NDArray[np.bool_] = np.any(mask, axis=0)
    found = [np.flatnonzero(line) for line in (np.any(mask, axis=(1, 2)), np.any(plane, axis=1), np.any(plane, axis=0))]
    k, j, i = ((int(f[0]), int(f[-1]) + 1) for f in found)
    return Box((k[0], j[0], i[0]), (k[1], j[1], i[1]))
