"""Aorta, vena cava and the branching trees of the portal and hepatic veins."""

from __future__ import annotations

import numpy as np

from hrseg.geometry import Floats
from hrseg.phantom.draw import Draw, smooth_tube
from hrseg.phantom.shapes import Solid, Tube, components
from hrseg.phantom.torso import Part

_LABEL = 5
#: Branches end at this radius in mm, or closer than this to the liver's surface in mm.
_MIN_RADIUS = 0.9
_MARGIN = 3.0


def great_vessels(draw: Draw) -> list[Part]:
    """The aorta in front of the spine and the vena cava on its right."""
    aorta = draw.tube([(-9, -14, z) for z in (-130, -65, 0, 65, 130)], [9, 10, 11, 12, 12])
    cava = draw.tube([(20, -14, -130), (20, -12, -60), (20, -8, 0), (19, -2, 40), (12, 6, 78)], [10, 10, 11, 12, 13])
    return [
        Part("aorta", _LABEL, draw.between(95, 160), (aorta,)),
        Part("vena cava", _LABEL, draw.between(80, 130), (cava,)),
    ]


def hepatic_vessels(draw: Draw, liver: Solid) -> list[Part]:
    """The portal vein, which rises to the hilum and branches, and three hepatic veins, which meet near the dome."""
    hilum = np.array(draw.point(22, 16, 2))
    trunk = smooth_tube([draw.point(2, 8, -26), draw.point(12, 12, -12), hilum], [draw.between(6, 7) for _ in range(3)])
    portal = [trunk]
    for direction in ([0.9, -0.2, 0.25], [-0.5, 0.6, 0.5], [0.7, 0.5, -0.4]):
        portal += _branches(draw, liver, hilum, np.array(direction), draw.between(4.2, 5.4))
    hepatic: list[Tube] = []
    for direction in ([0.9, -0.2, -0.3], [0.5, 0.7, -0.45], [-0.3, 0.85, -0.2]):
        start = np.array(draw.point(19, 2, 47, 2))
        hepatic += _branches(draw, liver, start, np.array(direction), draw.between(4, 5))
    return [
        Part("portal vein", _LABEL, draw.between(80, 150), tuple(portal)),
        Part("hepatic veins", _LABEL, draw.between(80, 150), tuple(hepatic)),
    ]


def _branches(draw: Draw, liver: Solid, start: Floats, direction: Floats, radius: float) -> list[Tube]:
    """A tapered branch and, from its end, two thinner ones (Murray's law), and so on."""
    length = radius * draw.between(4.5, 7)
    child = radius * draw.between(0.72, 0.82)
    end = _free_end(draw, liver, start, direction, length)
    if end is None:
        return []
    bend = (start + end) / 2 + draw.direction() * length * 0.08
    tubes = [smooth_tube([start, bend, end], [radius, (radius + child) / 2, child], steps=2)]
    if child > _MIN_RADIUS:
        heading = (end - start) / np.linalg.norm(end - start)
        side = np.cross(heading, draw.direction())
        side /= np.linalg.norm(side)
        for sign, size in ((1, child), (-1, child * draw.between(0.75, 0.95))):
            tubes += _branches(draw, liver, end, heading + sign * side * draw.between(0.4, 0.8), size)
    return tubes


def _free_end(draw: Draw, liver: Solid, start: Floats, direction: Floats, length: float) -> Floats | None:
    """Where a branch about this way ends inside the liver, shorter and turned if need be; None when it cannot."""
    attempt = np.arange(12)[:, None]
    turns = np.stack([draw.direction() for _ in attempt])
    ways = direction / np.linalg.norm(direction) + turns * (0.1 + 0.08 * attempt)
    steps = ways / np.linalg.norm(ways, axis=1, keepdims=True) * length * (1 - 0.04 * attempt)
    samples = start + np.linspace(0.5, 1, 3)[:, None, None] * steps
    free = (liver.distance(*components(samples)) < -_MARGIN).all(axis=0)
    return start + steps[free.argmax()] if free.any() else None
