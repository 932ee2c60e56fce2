"""The labelled organs: spine, kidneys and liver."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hrseg.phantom.draw import Draw, smooth_tube, vector
from hrseg.phantom.shapes import Ellipsoid, Solid, Tube
from hrseg.phantom.torso import Part


def spine(draw: Draw) -> list[Part]:
    """Vertebrae with arches and processes, and the discs between; the canal behind has no label."""
    axis = np.array(draw.point(0, -36, 0, 1.5))
    width, depth, _ = draw.radii(9.5, 8, 1)
    behind = axis - (0, draw.between(22.5, 24), 0)
    canal = Ellipsoid(vector(behind), (width, depth, draw.between(900, 1000)), draw.between(0.02, 0.1))
    discs = smooth_tube([np.add(axis, (0, 0, z)) for z in (-140, 0, 140)], [draw.between(15, 17) for _ in range(3)])
    pitch, phase = draw.between(28, 32), draw.between(-12, 12)
    cortex: list[Solid | Tube] = []
    marrow: list[Solid | Tube] = []
    for level in range(-4, 5):
        middle = np.add(axis, (0, 0, phase + pitch * level))
        body = _vertebral_body(draw, middle, pitch)
        cortex += [Solid((body,), draw.between(1, 2), (canal,)), *_posterior(draw, middle, canal)]
        marrow.append(Solid((body.grown(-draw.between(1.6, 2.4)),), draw.between(1, 2), (canal.grown(2),)))
    return [
        Part("spinal canal", 0, draw.between(20, 40), (Solid((canal,), draw.between(1, 2)),)),
        Part("discs", 4, draw.between(70, 100), (discs,)),
        Part("vertebrae", 4, draw.between(300, 450), tuple(cortex)),
        Part("vertebral marrow", 4, draw.between(130, 210), tuple(marrow)),
    ]


def _vertebral_body(draw: Draw, middle: np.ndarray, pitch: float) -> Ellipsoid:
    x, y, _ = draw.radii(21, 16, 1, 0.05)
    center = middle + draw.rng.uniform(-0.8, 0.8, 3)
    tilt = draw.rng.uniform(-3, 3, 3)
    return Ellipsoid(vector(center), (x, y, pitch * draw.between(0.42, 0.45)), draw.between(0.55, 0.75), vector(tilt))


def _posterior(draw: Draw, middle: np.ndarray, canal: Ellipsoid) -> list[Solid | Tube]:
    """The arch around the canal, the spinous and the two transverse processes."""
    center = np.array([canal.center[0], canal.center[1], middle[2]])
    ring = Ellipsoid(vector(center), draw.radii(15, 13, 9), draw.between(0.2, 0.4), vector(draw.rng.uniform(-3, 3, 3)))
    tip = np.add(center, (draw.between(-1.5, 1.5), -draw.between(18, 21), -draw.between(5, 10)))
    spinous = smooth_tube([center - (0, 11, 0), tip], [draw.between(3.4, 4.2), draw.between(2.4, 3.2)], 1)
    processes: list[Solid | Tube] = [Solid((ring,), draw.between(1, 2), (canal,)), spinous]
    for side in (-1, 1):
        root = np.add(center, (side * 13, 3, 0))
        end = np.add(center, (side * draw.between(30, 36), -draw.between(2, 7), draw.between(-2, 4)))
        processes.append(smooth_tube([root, end], [draw.between(4, 5), draw.between(2.4, 3.2)], 1))
    return processes


def kidneys(draw: Draw) -> list[Part]:
    """Two beans whose hilum opens towards the middle, the right one lower."""
    parts = []
    for side, height in ((1, -38), (-1, -26)):
        body = draw.ellipsoid((side * 58, -32, height), (24, 22, 48), 0.1, (-8, side * 12, side * 25))
        sinus = draw.ellipsoid((side * 45, -26, height), (16, 8, 17), 0.1, (0, side * 12, side * 25))
        name = "right kidney" if side > 0 else "left kidney"
        parts.append(Part(name, 3, draw.between(85, 170), (draw.solid(body, cuts=[sinus]),)))
    return parts


def liver(draw: Draw, cavity: Solid, kidney_bodies: Sequence[Ellipsoid]) -> tuple[Part, Solid]:
    """A large right lobe under the dome, a thin left one to the front, hollow towards kidney, spine and stomach."""
    lobes = [
        draw.ellipsoid((48, 4, 8), (50, 59, 61), 0.25, (0, 0, 0)),
        draw.ellipsoid((-4, 38, 28), (56, 28, 32), 0.1, (0, 8, -8)),
        draw.ellipsoid((14, 14, 26), (26, 30, 28), 0.1),
    ]
    cuts = [
        draw.ellipsoid((-2, -14, -42), (46, 42, 50), 0.1),
        draw.ellipsoid((-4, -36, 0), (34, 34, 240), 0.1, (0, 0, 0)),
        draw.ellipsoid((34, 42, -30), (14, 17, 24), 0.05),
        *(body.grown(draw.between(4, 7)) for body in kidney_bodies),
    ]
    # A layer of wall and fat stays between the liver and the ribs.
    inside = Solid(tuple(part.grown(-draw.between(2, 3)) for part in cavity.adds), draw.between(10, 16))
    solid = draw.solid(*lobes, cuts=cuts, within=inside)
    return Part("liver", 1, draw.between(55, 75), (solid,)), solid
