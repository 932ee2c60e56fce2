"""Changed copies of an image, to see whether a result follows the image, and how much of it lasts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hrseg.geometry import Box, Floats, Grid, Reorientation, Shape, as_shape
from hrseg.image import Image, LabelMap
from hrseg.resample import resample, resample_labels, sample_nearest

#: Array axes and flips of the copies whose voxels are in another order; of pictures only those that keep the slice.
_ORDERS: dict[str, tuple[Shape, tuple[bool, bool, bool]]] = {
    "flipped along i": ((0, 1, 2), (False, False, True)),
    "flipped along j": ((0, 1, 2), (False, True, False)),
    "flipped along k": ((0, 1, 2), (True, False, False)),
    "axes j, i, k": ((0, 2, 1), (False, False, False)),
    "axes j, i, k, flipped along i": ((0, 2, 1), (False, False, True)),
    "axes j, k, i": ((2, 0, 1), (False, False, False)),
    "axes k, j, i, all flipped": ((2, 1, 0), (True, True, True)),
}
#: Degrees.
_TURN = 15.0
_SPACINGS = (1.5, 1 / 1.5)
_NOISE = (0.05, 0.1)
_SHIFTS = (-0.1, 0.1)
_CONTRASTS = (0.9, 1.1)


@dataclass(frozen=True, eq=False)
class Copy:
    """A changed copy of an image.

    Attributes:
        name: what was changed.
        image: the copy.
        world: 4x4, what it did to space: from RAS mm of the original to RAS mm of the copy.
        same_voxels: whether its voxels are the original's, in another order or place.
    """

    name: str
    image: Image
    world: Floats = field(default_factory=lambda: np.eye(4))
    same_voxels: bool = False

    def back(self, label_map: LabelMap, grid: Grid) -> NDArray:
        """A label map of the copy on a grid of the original; 0 where the copy shows nothing of it."""
        return resample_labels(label_map.array, self._there(label_map.grid), grid)

    def shown(self, grid: Grid) -> NDArray[np.bool_]:
        """Which voxels of a grid of the original the copy shows."""
        mask: NDArray[np.bool_] = sample_nearest(
            np.ones(self.image.grid.shape, np.bool_), self._there(self.image.grid), grid
        )
        return mask

    def forth(self, labels: NDArray, grid: Grid, fine: Grid) -> LabelMap:
        """A label map of the original, on ``grid``, on a grid of the copy."""
        return LabelMap(resample_labels(labels, grid, self._there(fine)), fine)

    def finer(self, image: Grid, fine: Grid) -> Grid:
        """The copy's grid, as much finer as ``fine`` is than the grid of the original image."""
        change = image.reorientation(self._there(self.image.grid).orientation)
        ratio = np.divide(fine.reoriented(change).shape, image.reoriented(change).shape)
        own = self.image.grid
        return own.resized(np.maximum(1, np.rint(np.multiply(own.shape, ratio))).astype(int).tolist())

    def _there(self, grid: Grid) -> Grid:
        return Grid(grid.shape, np.linalg.inv(self.world) @ grid.affine)


def copies(image: Image, greys: Sequence[tuple[float, float]], seed: int = 0) -> Iterator[Copy]:
    """All copies of an image, one after the other.

    Args:
        image: 2D or 3D; of 2D images only what changes their plane.
        greys: per channel the (offset, scale) of its grey values, as :attr:`hrseg.preprocess.Prepared.greys` has them.
        seed: of the noise.
    """
    yield from _reordered(image)
    yield from _turned(image)
    for factor in _SPACINGS:
        factors = (1.0 if image.is_2d else factor, factor, factor)
        name = f"{'coarser' if factor > 1 else 'finer'} by {max(factor, 1 / factor):.1f}"
        yield Copy(name, _on(image, image.grid.with_spacing(np.multiply(image.grid.spacing, factors))))
    yield from _cropped(image)
    rng = np.random.default_rng(seed)
    offset, scale = (np.array(column).reshape(-1, 1, 1, 1) for column in zip(*greys, strict=True))
    values = image.array.astype(np.float64)
    for share in _NOISE:
        noise = rng.normal(size=values.shape)
        yield Copy(f"noise of {share:.0%}", _with(image, values + share * scale * noise))
    for share in _SHIFTS:
        yield Copy(f"grey values {share:+.0%}", _with(image, values + share * scale))
    for factor in _CONTRASTS:
        yield Copy(f"contrast times {factor:g}", _with(image, offset + factor * (values - offset)))


def _reordered(image: Image) -> Iterator[Copy]:
    for name, (axes, flips) in _ORDERS.items():
        if not image.is_2d or (axes[0] == 0 and not flips[0]):
            yield Copy(name, image.reoriented(Reorientation(axes, flips)), same_voxels=True)


def _turned(image: Image) -> Iterator[Copy]:
    """Turned about the middle: in space alone, as a patient who lies askew, and with new voxels."""
    grid = image.grid
    middle = grid.to_world((np.array(grid.shape) - 1) / 2)
    world = _rotation(grid.affine[:3, 2] if image.is_2d else np.ones(3), middle)
    turned = Grid(grid.shape, world @ grid.affine)
    yield Copy(f"turned by {_TURN:g} degrees in space", replace(image, grid=turned), world, same_voxels=True)
    corners = turned.to_index(grid.to_world(np.array(list(np.ndindex(2, 2, 2))) * grid.shape - 0.5))
    start, stop = np.floor(corners.min(axis=0) + 0.5 + 1e-6), np.ceil(corners.max(axis=0) + 0.5 - 1e-6)
    if image.is_2d:
        start[0], stop[0] = 0, 1
    yield Copy(
        f"new voxels, turned by {_TURN:g} degrees", _on(image, turned.crop(Box(as_shape(start), as_shape(stop))))
    )


def _cropped(image: Image) -> Iterator[Copy]:
    shape = np.array(image.grid.shape)
    margin = np.where(shape > 1, shape // 10, 0)
    half = shape.copy()
    half[2 if image.is_2d else 0] //= 2
    for name, box in {
        "middle 80 % of each axis": Box(as_shape(margin), as_shape(shape - margin)),
        f"first half along {'i' if image.is_2d else 'k'}": Box((0, 0, 0), as_shape(half)),
    }.items():
        yield Copy(name, image.crop(box))


def _on(image: Image, grid: Grid) -> Image:
    """The image on other voxels; outside of it everything has its lowest grey value."""
    return _with(image, resample(image.array, image.grid, grid, fill=float(image.array.min())), grid)


def _with(image: Image, values: NDArray, grid: Grid | None = None) -> Image:
    """Other grey values, in the image's own type of numbers, as a file would hold them."""
    dtype = image.array.dtype
    if dtype.kind != "f":
        values = np.clip(np.rint(values), np.iinfo(dtype).min, np.iinfo(dtype).max)
    return replace(image, array=values.astype(dtype), grid=grid or image.grid)


def _rotation(axis: Floats, middle: Floats) -> Floats:
    """4x4: by :data:`_TURN` about an axis through ``middle`` (Rodrigues)."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(_TURN)
    world = np.eye(4)
    world[:3, :3] = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    world[:3, 3] = middle - world[:3, :3] @ middle
    return world
