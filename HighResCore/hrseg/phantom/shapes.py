"""Implicit shapes: functions of RAS points in mm that are negative inside and positive outside.

The values are distances in mm near a round surface and smaller than the distance elsewhere, which is enough to blend,
cut and dent. Coordinates come as three arrays that broadcast against each other, so that a lattice costs no more
than it must. All shapes are plain frozen data and can be written to JSON.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hrseg.geometry import Floats, Vector


@dataclass(frozen=True)
class Wave:
    """A plane wave ``amplitude * sin(vector . p + phase)``; ``vector`` in radians per mm."""

    vector: Vector
    phase: float
    amplitude: float

    def at(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Its value at points (RAS mm) whose coordinates are ``x``, ``y`` and ``z``, arrays that broadcast."""
        kx, ky, kz = self.vector
        return self.amplitude * np.sin(kx * x + ky * y + (kz * z + self.phase))


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid, or something between it and a rounded box.

    Attributes:
        center: RAS mm.
        radii: half axes along its own three directions, mm.
        squareness: weight of the 4-norm against the 2-norm: 0 is an ellipsoid, 1 has flattened faces.
        angles: its directions, as rotations about R, then A, then S in degrees; None is no rotation.
    """

    center: Vector
    radii: Vector
    squareness: float
    angles: Vector | None = None

    @cached_property
    def rotation(self) -> Floats:
        """3x3 matrix whose columns are its own directions."""
        result = np.eye(3)
        for axis, angle in enumerate(np.deg2rad(self.angles or (0.0, 0.0, 0.0))):
            a, b = [n for n in range(3) if n != axis]
            turn = np.eye(3)
            turn[[a, b], [a, b]] = np.cos(angle)
            turn[b, a], turn[a, b] = np.sin(angle), -np.sin(angle)
            result = turn @ result
        return result

    def norm(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """0 at the centre, 1 on the surface, growing linearly along every ray; points as in :meth:`Wave.at`."""
        offsets = [c - m for c, m in zip((x, y, z), self.center, strict=True)]
        if self.angles is not None:
            offsets = [sum(d * r for d, r in zip(offsets, column, strict=True)) for column in self.rotation.T]
        squares = [(d * (1 / r)) ** 2 for d, r in zip(offsets, self.radii, strict=True)]
        round_ = np.sqrt(squares[0] + squares[1] + squares[2])
        flat = np.sqrt(np.sqrt(squares[0] ** 2 + squares[1] ** 2 + squares[2] ** 2))
        return round_ + self.squareness * (flat - round_)

    def distance(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """In mm, negative inside; points as in :meth:`Wave.at`."""
        return (self.norm(x, y, z) - 1) * min(self.radii)

    def bounds(self, level: float = 0.0) -> Floats:
        """Low and high corner, (2, 3) in mm, of the region where the distance is below ``level``."""
        half = np.abs(self.rotation) @ np.multiply(self.radii, 1 + level / min(self.radii))
        return np.stack([self.center - half, self.center + half])

    def grown(self, margin: float) -> Ellipsoid:
        """With every half axis longer by ``margin`` mm."""
        a, b, c = (r + margin for r in self.radii)
        return replace(self, radii=(a, b, c))


@dataclass(frozen=True)
class Solid:
    """Ellipsoids melted together, limited to another solid, with bites taken out and a wavy surface.

    Attributes:
        adds: what it is made of.
        blend: width in mm over which parts melt into each other.
        cuts: what is taken away.
        within: where it must stay.
        waves: dents of the surface, amplitudes in mm.
    """

    adds: tuple[Ellipsoid, ...]
    blend: float
    cuts: tuple[Ellipsoid, ...] = ()
    within: Solid | None = None
    waves: tuple[Wave, ...] = ()

    def distance(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """In mm, negative inside; points as in :meth:`Wave.at`."""
        result = reduce(self._smooth_min, (part.distance(x, y, z) for part in self.adds))
        for wave in self.waves:
            result = result + wave.at(x, y, z)
        outside = [-cut.distance(x, y, z) for cut in self.cuts]
        if self.within is not None:
            outside.append(self.within.distance(x, y, z))
        for limit in outside:
            result = -self._smooth_min(-result, -limit)
        return result

    def bounds(self) -> Floats:
        """Low and high corner, (2, 3) in mm, that nothing of it exceeds."""
        # A smooth minimum lies at most a quarter of the blend below the sharp one.
        level = self.blend / 4 * (len(self.adds) - 1) + sum(abs(wave.amplitude) for wave in self.waves)
        return _union(part.bounds(level) for part in self.adds)

    @property
    def pieces(self) -> tuple[Solid, ...]:
        """What to evaluate one by one."""
        return (self,)

    def _smooth_min(self, a: Floats, b: Floats) -> Floats:
        """Quadratic smooth minimum (Quilez)."""
        near = np.maximum(self.blend - np.abs(a - b), 0)
        return np.minimum(a, b) - near * near / (4 * self.blend)


@dataclass(frozen=True)
class Capsule:
    """A rod with round ends whose radius changes linearly, mm."""

    start: Vector
    end: Vector
    start_radius: float
    end_radius: float

    def distance(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """In mm, negative inside; points as in :meth:`Wave.at`."""
        axis = np.subtract(self.end, self.start)
        offsets = [c - s for c, s in zip((x, y, z), self.start, strict=True)]
        along = sum(d * a for d, a in zip(offsets, axis / (axis @ axis), strict=True))
        t = np.clip(along, 0, 1)
        square = sum((d - t * a) ** 2 for d, a in zip(offsets, axis, strict=True))
        return np.sqrt(square) - (self.start_radius + t * (self.end_radius - self.start_radius))

    def bounds(self) -> Floats:
        """Low and high corner, (2, 3) in mm."""
        ends = zip((self.start, self.end), (self.start_radius, self.end_radius), strict=True)
        return _union(np.stack([np.subtract(p, r), np.add(p, r)]) for p, r in ends)


@dataclass(frozen=True)
class Tube:
    """A chain of capsules through ``points`` (RAS mm) with a radius in mm at each."""

    points: tuple[Vector, ...]
    radii: tuple[float, ...]

    @property
    def pieces(self) -> tuple[Capsule, ...]:
        """What to evaluate one by one."""
        ends = list(zip(self.points, self.radii, strict=True))
        return tuple(Capsule(p, q, r, s) for (p, r), (q, s) in pairwise(ends))


Piece = Solid | Capsule


def components(points: NDArray) -> tuple[Floats, Floats, Floats]:
    """The three coordinate arrays of points (..., 3)."""
    return points[..., 0], points[..., 1], points[..., 2]


def _union(boxes: Iterable[Floats]) -> Floats:
    corners = np.stack(list(boxes))
    return np.stack([corners[:, 0].min(axis=0), corners[:, 1].max(axis=0)])
