"""Lesions of 3 to 60 mm inside the liver."""

from __future__ import annotations

import numpy as np

from hrseg.geometry import Floats
from hrseg.phantom.draw import Draw, vector
from hrseg.phantom.shapes import Ellipsoid, Solid, components
from hrseg.phantom.torso import Part

_LABEL = 2
_DIAMETERS = (3.0, 60.0)
#: At most this many lesions are larger than this diameter in mm.
_LARGE, _MAX_LARGE = 35.0, 2
#: Lesions of more than this radius in mm have a necrotic core.
_NECROTIC = 8.0


def lesions(draw: Draw, liver: Solid, liver_hu: float) -> list[Part]:
    """4 to 10 lesions, largest first; diameters are log-uniform and those of balls of equal volume.

    Most are a little darker than the liver, few a little brighter; large ones have a necrotic core, so that no single
    window of HU holds all of one.
    """
    parts: list[Part] = []
    cores: list[Part] = []
    placed: list[tuple[Floats, float]] = []
    for diameter in _diameters(draw):
        placed.append(_place(draw, liver, placed, diameter / 2))
    for number, (center, radius) in enumerate(sorted(placed, key=lambda place: -place[1]), start=1):
        body = _body(draw, center, radius)
        # Low contrast is common: the cube makes small differences the likely ones.
        darker = 15 + 45 * draw.between(0, 1) ** 3
        hu = liver_hu + (draw.between(12, 28) if draw.between(0, 1) < 0.15 else -darker)
        parts.append(Part(f"lesion {number}", _LABEL, hu, (body,)))
        if radius > _NECROTIC:
            core = _body(draw, center + draw.direction() * 0.1 * radius, radius * draw.between(0.5, 0.7))
            cores.append(Part(f"core of lesion {number}", _LABEL, draw.between(5, 25), (core,)))
    return [*parts, *cores]


def _diameters(draw: Draw) -> Floats:
    """Log-uniform, largest first, with the surplus of large ones drawn again."""
    low, high = np.log(_DIAMETERS)
    count = int(draw.rng.integers(4, 11))
    result = np.exp(draw.rng.uniform(low, high, count))
    while (large := result > _LARGE).sum() > _MAX_LARGE:
        result[np.flatnonzero(large)[_MAX_LARGE:]] = np.exp(draw.rng.uniform(low, high))
    return np.sort(result)[::-1]


def _place(draw: Draw, liver: Solid, placed: list[tuple[Floats, float]], radius: float) -> tuple[Floats, float]:
    """Centre and radius of a lesion inside the liver and apart from the others; made smaller if nothing else helps."""
    low, high = liver.bounds()
    directions = np.array([draw.direction() for _ in range(48)])
    while True:
        centers = draw.rng.uniform(low, high, (300, 3))
        centers = centers[liver.distance(*components(centers)) < 0]
        for center, size in placed:
            centers = centers[np.linalg.norm(centers - center, axis=1) > 1.2 * (size + radius) + 2]
        surface = centers[:, None] + directions * (1.25 * radius + 1)
        fits = (liver.distance(*components(surface)) < 0).all(axis=1)
        if fits.any():
            return centers[fits.argmax()], radius
        radius *= 0.97


def _body(draw: Draw, center: Floats, radius: float) -> Solid:
    stretch = draw.rng.uniform(0.85, 1.15, 3)
    radii = radius * stretch / np.cbrt(stretch.prod())
    angles = draw.rng.uniform(-90, 90, 3)
    shape = Ellipsoid(vector(center), vector(radii), draw.between(0.01, 0.04), vector(angles))
    # Lobules about as large as the radius.
    waves = draw.waves(3, (1.4 * radius, 2.4 * radius), (0.03 * radius, 0.07 * radius))
    return Solid((shape,), 0.1 * radius, waves=waves)
