"""Random draws in proportions of the body: every number of a phantom comes from here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from hrseg.geometry import Floats, Vector
from hrseg.phantom.shapes import Ellipsoid, Solid, Tube, Wave


class Draw:
    """A random stream with the size of one body.

    Positions and sizes are given for a trunk of 232 x 178 mm and scaled to this body's own size.
    """

    def __init__(self, seed: int, case: int) -> None:
        self.rng = np.random.default_rng(np.random.SeedSequence([seed, case]))
        self.scale = self.rng.uniform([0.95, 0.94, 0.94], [1.04, 1.06, 1.06])

    def between(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return float(self.rng.uniform(low, high))

    def point(self, x: float, y: float, z: float, jitter: float = 3.0) -> Vector:
        """A place, RAS mm, up to ``jitter`` mm off along each axis."""
        return vector(np.multiply((x, y, z), self.scale) + self.rng.uniform(-jitter, jitter, 3))

    def radii(self, x: float, y: float, z: float, spread: float = 0.07) -> Vector:
        """Half axes in mm, each up to this fraction off."""
        return vector(np.multiply((x, y, z), self.scale) * self.rng.uniform(1 - spread, 1 + spread, 3))

    def ellipsoid(
        self, center: Sequence[float], radii: Sequence[float], square: float = 0.1, tilt: Sequence[float] = (0, 0, 0)
    ) -> Ellipsoid:
        """About this ellipsoid; ``square`` and ``tilt`` (degrees) vary by 0.08 and 6 degrees."""
        return Ellipsoid(
            self.point(*center),
            self.radii(*radii),
            self.between(max(0.0, square - 0.08), square + 0.08),
            vector(np.add(tilt, self.rng.uniform(-6, 6, 3))),
        )

    def solid(self, *adds: Ellipsoid, cuts: Sequence[Ellipsoid] = (), within: Solid | None = None) -> Solid:
        """An organ: ellipsoids melted together, with a surface that is wavy by about a millimetre."""
        return Solid(adds, self.between(5, 10), tuple(cuts), within, self.waves(3, (25, 70), (0.3, 0.9)))

    def tube(self, points: Sequence[Sequence[float]], radii: Sequence[float], jitter: float = 2.0) -> Tube:
        """A smooth tube near these points, with these radii give or take 8 percent."""
        places = [self.point(x, y, z, jitter) for x, y, z in points]
        return smooth_tube(places, [r * self.between(0.92, 1.08) for r in radii])

    def waves(self, count: int, length: tuple[float, float], amplitude: tuple[float, float]) -> tuple[Wave, ...]:
        """Plane waves in random directions; wavelengths in mm."""
        return tuple(
            Wave(
                vector(self.direction() * (2 * np.pi / self.between(*length))),
                self.between(0, 2 * np.pi),
                self.between(*amplitude),
            )
            for _ in range(count)
        )

    def direction(self) -> Floats:
        """A unit vector, uniform over the sphere."""
        normal = self.rng.normal(size=3)
        return normal / np.linalg.norm(normal)


def smooth_tube(points: Sequence[ArrayLike], radii: Sequence[float], steps: int = 4) -> Tube:
    """A tube along the Catmull-Rom spline through ``points``."""
    path = np.column_stack([np.asarray(points), radii])
    padded = np.vstack([2 * path[0] - path[1], path, 2 * path[-1] - path[-2]])
    t = np.arange(steps)[:, None] / steps
    spans = [
        b + t * (c - a) / 2 + t**2 * (2 * a - 5 * b + 4 * c - d) / 2 + t**3 * (3 * b - a - 3 * c + d) / 2
        for a, b, c, d in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True)
    ]
    dense = np.vstack([*spans, path[-1:]])
    return Tube(tuple(vector(p) for p in dense[:, :3]), tuple(float(r) for r in dense[:, 3]))


def vector(values: Sequence[float] | Floats) -> Vector:
    """Three plain floats, which JSON can hold."""
    x, y, z = (float(v) for v in values)
    return x, y, z
