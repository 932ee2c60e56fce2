"""What a CT scanner makes of a torso: partial volume, blur, noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hrseg.geometry import Box, Grid
from hrseg.image import Image
from hrseg.phantom.torso import Torso, lattice, slabs

_AIR = -1000.0
#: Points per voxel along each axis over which its value is the mean.
_SAMPLES = 2
#: Distance in mm from the body's axis over which the noise falls off, as more of the beam gets through.
_NOISE_REACH = 90.0
#: Standard deviations from its centre at which a Gaussian is cut off.
_TRUNCATE = 3


def scan(torso: Torso, grid: Grid, noise_seed: int | None = None) -> Image:
    """A CT image of ``torso``: (1, K, J, I) int16 in HU.

    A voxel is the mean over its extent; then come the scanner's point spread and correlated noise, which grows as
    voxels shrink. ``noise_seed`` draws the noise; by default it follows from the torso's seed and case.
    """
    hu = np.empty(grid.shape, dtype=np.float32)
    # The finer lattice holds the cube of the samples as many points.
    for box in slabs(grid.shape, 500_000 // _SAMPLES**3):
        hu[box.slices] = _mean_hu(torso, grid, box)
    sigma = [torso.blur / s for s in grid.spacing]
    hu = _smooth(hu, sigma, "edge")
    hu += _noise(torso, grid, noise_seed)
    return Image(np.clip(np.rint(hu), -1024, 3071).astype(np.int16)[None], grid, f"torso {torso.seed}-{torso.case}")


def _mean_hu(torso: Torso, grid: Grid, box: Box) -> NDArray[np.float32]:
    """Mean HU over each voxel of ``box``, with the texture of soft tissue."""
    table = np.array([_AIR, *(part.hu for part in torso.parts)], dtype=np.float32)
    part = grid.crop(box)
    fine = table[torso.tissues(part.finer(_SAMPLES))]
    k, j, i = box.shape
    mean = fine.reshape(k, _SAMPLES, j, _SAMPLES, i, _SAMPLES).mean(axis=(1, 3, 5))
    texture = np.zeros((1, 1, 1))
    for wave in torso.texture:
        texture = texture + wave.at(*lattice(part))
    # Gas has no texture; a voxel that is partly gas has a part of it.
    return mean + texture.astype(np.float32) * np.clip((mean - _AIR) / -_AIR, 0, 1)


def _noise(torso: Torso, grid: Grid, seed: int | None) -> NDArray[np.float32]:
    """Correlated noise (K, J, I) in HU, strongest in the middle of the body."""
    rng = np.random.default_rng([torso.seed, torso.case, 1] if seed is None else seed)
    noise = rng.standard_normal(grid.shape, dtype=np.float32)
    sigma = [torso.grain / s for s in grid.spacing]
    noise = _smooth(noise, sigma, "wrap")
    # Quanta per voxel go with its volume, but protocols for thin slices make up for the most of it.
    level = torso.noise * np.clip(8 / grid.voxel_volume, 0.25, 4) ** 0.5
    x, y, _ = lattice(grid)
    profile = 0.6 + 0.4 * np.exp(-(x * x + y * y) / _NOISE_REACH**2)
    return (noise * (level / max(float(noise.std()), 1e-6)) * profile).astype(np.float32)


def _smooth(array: NDArray[np.float32], sigma: Sequence[float], border: Literal["edge", "wrap"]) -> NDArray[np.float32]:
    """``array`` (K, J, I) after a Gaussian of ``sigma`` voxels (K, J, I): bit by bit SciPy's, which Slicer may lack."""
    for axis, deviation in enumerate(sigma):
        reach, size = int(_TRUNCATE * deviation + 0.5), array.shape[axis]
        if not reach:
            continue
        weights = np.exp(-0.5 / deviation**2 * np.arange(-reach, reach + 1) ** 2)
        weights /= weights.sum()
        margins = [(reach, reach) if n == axis else (0, 0) for n in range(array.ndim)]
        padded = np.moveaxis(np.pad(array, margins, mode=border), axis, 0)
        # Pairs from the outermost inwards, in double precision: another order would round differently.
        total = padded[reach : reach + size].astype(np.float64) * weights[reach]
        for n in range(reach):
            opposite = 2 * reach - n
            total += (padded[n : n + size].astype(np.float64) + padded[opposite : opposite + size]) * weights[n]
        array = np.moveaxis(total.astype(np.float32), 0, axis)
    return array
