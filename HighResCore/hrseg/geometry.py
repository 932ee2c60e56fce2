"""Where voxels lie: grids, boxes and changes of orientation.

Arrays are (K, J, I), and so is everything here that has one number per axis (shape, spacing, box, index). The one
exception is ``Grid.affine``, which maps (i, j, k, 1) to RAS millimetres as Slicer and NIfTI do. A voxel's centre has
integer indices, so an axis of N voxels spans -0.5 to N - 0.5: every rule below keeps that field of view.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from reprlib import repr as short

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrseg.errors import InputError

Shape = tuple[int, int, int]
Vector = tuple[float, float, float]
Floats = NDArray[np.float64]

#: Millimetres that no image reaches, and that no voxels lie closer than: arithmetic with others cannot overflow.
_FAR, _NEAR = 1e12, 1e-12
#: Direction letters of the two ends of the R, A and S axes, positive end first.
_AXIS_LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))


@dataclass(frozen=True)
class Box:
    """A block of voxels, from ``start`` (inclusive) to ``stop`` (exclusive), in (k, j, i).

    It may reach outside the image; :meth:`clip` says what is left of it inside.
    """

    start: Shape
    stop: Shape

    @classmethod
    def whole(cls, shape: Sequence[int]) -> Box:
        """The box of all voxels of an array of this (K, J, I) shape."""
        return cls((0, 0, 0), as_shape(shape))

    @property
    def shape(self) -> Shape:
        """Number of voxels per axis, never negative."""
        return as_shape([max(0, b - a) for a, b in zip(self.start, self.stop, strict=True)])

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index into a (K, J, I) array, in which the box must lie.

        Raises:
            InputError: a negative start, which would wrap around.
        """
        if min(self.start) < 0:
            raise InputError(f"The box {self.start} to {self.stop} starts outside the image; clip or pad it first.")
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))  # type: ignore[return-value]

    def intersection(self, other: Box) -> Box:
        """The part common to both; its ``size`` is 0 when they are apart."""
        start = np.maximum(self.start, other.start)
        return Box(as_shape(start), as_shape(np.maximum(start, np.minimum(self.stop, other.stop))))

    def union(self, other: Box) -> Box:
        """The smallest box that holds both."""
        return Box(as_shape(np.minimum(self.start, other.start)), as_shape(np.maximum(self.stop, other.stop)))

    def clip(self, shape: Sequence[int]) -> Box:
        """The part inside an array of this (K, J, I) shape."""
        return self.intersection(Box.whole(shape))

    def expand(self, margin: int | Sequence[int]) -> Box:
        """Grown by ``margin`` voxels on both sides of each axis (one number, or one per axis)."""
        grow = np.broadcast_to(np.asarray(margin, dtype=int), (3,))
        return Box(as_shape(np.subtract(self.start, grow)), as_shape(np.add(self.stop, grow)))

    def shift(self, offset: Sequence[int]) -> Box:
        """Moved by ``offset`` voxels per axis."""
        return Box(as_shape(np.add(self.start, offset)), as_shape(np.add(self.stop, offset)))


@dataclass(frozen=True)
class Reorientation:
    """A change of orientation by axis permutation and flips; no voxel value is touched.

    ``axes[n]`` is the old array axis that becomes new axis n; ``flips[n]`` says whether new axis n runs backwards.
    """

    axes: Shape
    flips: tuple[bool, bool, bool]

    def apply(self, array: NDArray) -> NDArray:
        """A view of ``array`` (..., K, J, I) in the new orientation."""
        lead = array.ndim - 3
        moved = array.transpose(*range(lead), *(lead + a for a in self.axes))
        k, j, i = (slice(None, None, -1 if f else 1) for f in self.flips)
        return moved[..., k, j, i]

    @property
    def inverse(self) -> Reorientation:
        """The change that undoes this one."""
        axes = tuple(int(a) for a in np.argsort(self.axes))
        return Reorientation(axes, tuple(self.flips[a] for a in axes))  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular lattice of voxels in space.

    Args:
        shape: number of voxels (K, J, I).
        affine: 4x4 matrix from (i, j, k, 1) to RAS millimetres; it may be oblique, left-handed or anisotropic.

    Raises:
        InputError: an axis without voxels, or a matrix that is not invertible.
    """

    shape: Shape
    affine: Floats

    def __post_init__(self) -> None:
        try:
            affine = np.array(self.affine, dtype=np.float64)
        except (ValueError, TypeError, OverflowError):
            # Rows of different lengths, as a file may have them.
            affine = np.empty(0)
        affine.flags.writeable = False
        object.__setattr__(self, "shape", as_shape(self.shape))
        object.__setattr__(self, "affine", affine)
        if min(self.shape) < 1:
            raise InputError(f"The image has the shape {self.shape} (K, J, I): every axis needs at least one voxel.")
        if not _is_invertible(affine):
            shown = affine.tolist() if affine.shape == (4, 4) else short(self.affine)
            raise InputError(
                f"The image's geometry {shown} is not an invertible 4x4 matrix; "
                "check the spacing and the directions in its header."
            )

    @classmethod
    def from_spacing(cls, shape: Sequence[int], spacing: ArrayLike = 1.0, origin: Sequence[float] = (0, 0, 0)) -> Grid:
        """An axis-aligned grid: i, j, k run to R, A, S. ``spacing`` in mm as (k, j, i); ``origin`` in RAS mm."""
        affine = np.eye(4)
        affine[:3, :3] = np.diag(np.broadcast_to(np.asarray(spacing, dtype=float), (3,))[::-1])
        affine[:3, 3] = origin
        return cls(as_shape(shape), affine)

    @property
    def spacing(self) -> Vector:
        """Distance between neighbouring voxel centres in mm, (k, j, i)."""
        return _vector(np.linalg.norm(self.affine[:3, :3], axis=0)[::-1])

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel in cubic millimetres."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def orientation(self) -> str:
        """Nearest anatomical directions of i, j and k, such as ``"LPS"`` (towards left, posterior, superior)."""
        return "".join(_AXIS_LETTERS[axis][0 if sign > 0 else 1] for axis, sign in self._nearest_axes())

    def _nearest_axes(self) -> list[tuple[int, int]]:
        """For i, j, k: the world axis (0 R, 1 A, 2 S) each follows best, all three different, and its sign."""
        directions = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        strength = np.abs(directions)
        chosen: dict[int, int] = {}
        for flat in np.argsort(-strength, axis=None, kind="stable"):
            world, column = divmod(int(flat), 3)
            if column not in chosen and world not in chosen.values():
                chosen[column] = world
        return [(chosen[c], 1 if directions[chosen[c], c] > 0 else -1) for c in range(3)]

    def to_world(self, index: ArrayLike) -> Floats:
        """RAS mm of (k, j, i) indices, shape (..., 3); indices may be fractional."""
        points = np.asarray(index, dtype=np.float64)
        return points[..., ::-1] @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, points: ArrayLike) -> Floats:
        """Fractional (k, j, i) indices of RAS mm points, shape (..., 3)."""
        inverse = np.linalg.inv(self.affine)
        return (np.asarray(points, dtype=np.float64) @ inverse[:3, :3].T + inverse[:3, 3])[..., ::-1]

    def crop(self, box: Box) -> Grid:
        """The grid of the voxels in ``box``, which may reach outside (then the grid is padded there)."""
        return self._moved(box.shape, np.ones(3), np.asarray(box.start, dtype=float))

    def resized(self, shape: Sequence[int]) -> Grid:
        """The same field of view in another number of voxels (K, J, I). Raises InputError for an axis without any."""
        target = as_shape(shape)
        if min(target) < 1:
            raise InputError(f"Cannot resize to the shape {target}: every axis needs at least one voxel.")
        step = np.divide(self.shape, target)
        return self._moved(target, step, step / 2 - 0.5)

    def with_spacing(self, spacing: ArrayLike) -> Grid:
        """The same field of view at about this spacing in mm, one number or (k, j, i), in whole voxels; a single slice
        stays one, however thick it is.

        Raises:
            InputError: a spacing that is not positive.
        """
        wanted = np.broadcast_to(np.asarray(spacing, dtype=float), (3,))
        if not (np.isfinite(wanted).all() and (wanted > _NEAR).all()):
            raise InputError(f"The spacing {short(np.asarray(spacing).tolist())} must be positive millimeters.")
        wanted = np.where(np.equal(self.shape, 1), self.spacing, wanted)
        return self.resized(np.maximum(1, np.rint(np.multiply(self.shape, self.spacing) / wanted)).astype(int).tolist())

    def finer(self, factor: int | Sequence[int]) -> Grid:
        """Each voxel split into ``factor`` whole parts per axis, one number or (k, j, i); else raises InputError."""
        factors = np.broadcast_to(np.asarray(factor), (3,))
        if (factors < 1).any() or (factors != np.rint(factors)).any():
            raise InputError(f"The factor {np.asarray(factor).tolist()} must be a whole number of 1 or more.")
        return self.resized(np.multiply(self.shape, factors).tolist())

    def reorientation(self, orientation: str) -> Reorientation:
        """How arrays on this grid become arrays whose i, j, k run nearest to the named directions."""
        wanted = _parse_orientation(orientation)
        have = self._nearest_axes()
        columns, flips = [], []
        for axis, sign in wanted:
            column = next(c for c, (a, _) in enumerate(have) if a == axis)
            columns.append(column)
            flips.append(have[column][1] != sign)
        # Columns count i, j, k; array axes count the other way round.
        return Reorientation(
            as_shape([2 - c for c in columns[::-1]]),
            tuple(flips[::-1]),  # type: ignore[arg-type]
        )

    def reoriented(self, change: Reorientation) -> Grid:
        """The grid of an array after ``change.apply``: every voxel stays where it is in space."""
        columns = [2 - a for a in change.axes[::-1]]
        flips = change.flips[::-1]
        shape = as_shape([self.shape[a] for a in change.axes])
        affine = self.affine[:, [*columns, 3]].copy()
        for column, flip in enumerate(flips):
            if flip:
                affine[:, 3] += affine[:, column] * (shape[2 - column] - 1)
                affine[:, column] *= -1
        return Grid(shape, affine)

    def matches(self, other: Grid, tolerance: float = 1e-3) -> bool:
        """Whether both have the same voxels, corners being at most ``tolerance`` voxels apart."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in self.shape])).reshape(3, -1).T
        return bool(np.abs(other.to_index(self.to_world(corners)) - corners).max() <= tolerance)

    def _moved(self, shape: Sequence[int], step: Floats, start: Floats) -> Grid:
        """New voxel n lies at old index ``start + step * n``, all in (k, j, i)."""
        affine = self.affine.copy()
        affine[:3, :3] *= step[::-1]
        affine[:3, 3] = self.to_world(start)
        return Grid(as_shape(shape), affine)


def _is_invertible(affine: Floats) -> bool:
    """Judged by the angles between the axes: the voxels may be nanometres or metres."""
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or not np.allclose(affine[3], (0, 0, 0, 1)):
        return False
    if np.abs(affine).max() > _FAR:
        return False
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(lengths.min() > _NEAR and abs(np.linalg.det(affine[:3, :3] / lengths)) > 1e-6)


def _parse_orientation(code: str) -> list[tuple[int, int]]:
    """World axis and sign of each letter: "LPS" is [(0, -1), (1, -1), (2, 1)]."""
    letters = code.upper()
    table = {letter: (axis, 1 - 2 * end) for axis, ends in enumerate(_AXIS_LETTERS) for end, letter in enumerate(ends)}
    axes = [table[c] for c in letters if c in table]
    if len(letters) != 3 or sorted(a for a, _ in axes) != [0, 1, 2]:
        raise InputError(f'The orientation "{code}" must name each of R/L, A/P and S/I once, for example "RAS".')
    return axes


def as_shape(values: ArrayLike) -> Shape:
    """Three whole numbers, (k, j, i), as a tuple. Raises InputError for more or fewer."""
    numbers = np.asarray(values).ravel().tolist()
    if len(numbers) != 3:
        raise InputError(f"The shape {short(numbers)} of the grid must be three numbers (K, J, I).")
    k, j, i = (int(v) for v in numbers)
    return k, j, i


def _vector(values: ArrayLike) -> Vector:
    k, j, i = (float(v) for v in np.asarray(values).tolist())
    return k, j, i
