"""Draws a whole torso: the body wall and the organs of the background first, then what is labelled.

Coordinates are RAS mm about the middle of the upper abdomen; the patient lies on the back. Numbers follow the usual
proportions of an adult's axial CT, and CT numbers a late phase in which organs overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hrseg.phantom.draw import Draw, smooth_tube
from hrseg.phantom.labelled import kidneys, liver, spine
from hrseg.phantom.lesions import lesions
from hrseg.phantom.shapes import Ellipsoid, Solid, Tube
from hrseg.phantom.torso import Part, Shear, Torso
from hrseg.phantom.vessels import great_vessels, hepatic_vessels


@dataclass(frozen=True)
class _Wall:
    """The nested surfaces of the body wall."""

    skin: Ellipsoid
    fat: Ellipsoid
    muscle: Ellipsoid
    cavity: Solid


def random_torso(seed: int, case: int) -> Torso:
    """See :meth:`Torso.random`."""
    draw = Draw(seed, case)
    wall = _wall(draw)
    kidney_parts = kidneys(draw)
    liver_part, liver_solid = liver(draw, wall.cavity, [p.shapes[0].adds[0] for p in kidney_parts])  # type: ignore[union-attr]
    return Torso(
        seed=seed,
        case=case,
        warp=(_shear(draw), _shear(draw), _shear(draw)),
        parts=(
            *_trunk(draw, wall),
            *_ribs(draw, wall),
            *_chest(draw, wall),
            *_gut(draw, wall),
            *spine(draw),
            *kidney_parts,
            liver_part,
            *great_vessels(draw),
            *hepatic_vessels(draw, liver_solid),
            *lesions(draw, liver_solid, liver_part.hu),
        ),
        texture=draw.waves(10, (9, 45), (0.8, 2.2)),
        blur=draw.between(0.5, 0.8),
        noise=draw.between(12, 25),
        grain=draw.between(0.6, 0.9),
    )


def _shear(draw: Draw) -> Shear:
    k = 2 * np.pi / draw.rng.uniform(130, 260, 2) * draw.rng.choice([-1, 1], 2)
    return Shear(draw.between(1.5, 4.5), (float(k[0]), float(k[1])), draw.between(0, 2 * np.pi))


def _wall(draw: Draw) -> _Wall:
    x, y, _ = draw.radii(116, 89, 1, spread=0.01)
    square = draw.between(0.3, 0.5)
    fat, muscle = draw.between(9, 19), draw.between(10, 14)
    # Nearly a column: the trunk narrows a little away from the middle slice.
    skin = Ellipsoid(draw.point(0, 0, 0, 2), (x, y, draw.between(420, 520)), square)
    inner = skin.grown(-fat)
    main = Ellipsoid(
        (skin.center[0], skin.center[1] + draw.between(8, 11), skin.center[2]),
        (x - fat - muscle, y - fat - muscle - draw.between(7, 9), skin.radii[2]),
        square,
    )
    gutters = [draw.ellipsoid((side * 45, -20, 0), (37, 32, 420), 0.1, (0, 0, 0)) for side in (-1, 1)]
    upright = [Ellipsoid(g.center, g.radii, g.squareness) for g in gutters]
    return _Wall(skin, skin.grown(-draw.between(1.6, 2.4)), inner, Solid((main, *upright), draw.between(10, 16)))


def _trunk(draw: Draw, wall: _Wall) -> list[Part]:
    back = [draw.ellipsoid((s * 27, -62, 0), (25, 14, 420), 0.2) for s in (-1, 1)]
    seam = draw.between(0, 1)
    psoas = [draw.ellipsoid((s * 36, -32, -85), (15, 16, 75), 0.1, (0, s * 9, 0)) for s in (-1, 1)]
    table = Ellipsoid(draw.point(0, -108, 0, 2), draw.radii(122, 7, 600), draw.between(0.7, 0.9))
    foam = Solid((table.grown(-draw.between(1.5, 2)),), draw.between(1, 2))
    fascia = draw.solid(*(Ellipsoid(b.center, b.radii, b.squareness) for b in back))
    return [
        Part("table", 0, draw.between(-300, -200), (Solid((table,), draw.between(1, 2)),)),
        Part("table foam", 0, draw.between(-950, -900), (foam,)),
        Part("skin", 0, draw.between(5, 30), (Solid((wall.skin,), draw.between(1, 2)),)),
        Part("fat", 0, draw.between(-115, -95), (Solid((wall.fat,), draw.between(1, 2)),)),
        Part("outer wall", 0, draw.between(48, 62), (Solid((wall.muscle,), draw.between(1, 2)),)),
        Part("wall fat", 0, draw.between(-105, -85), (Solid((wall.muscle.grown(-3.5 - seam),), draw.between(1, 2)),)),
        Part("inner wall", 0, draw.between(48, 62), (Solid((wall.muscle.grown(-5 - seam),), draw.between(1, 2)),)),
        Part("visceral fat", 0, draw.between(-112, -92), (wall.cavity,)),
        Part("back muscle", 0, draw.between(48, 64), (fascia,)),
        Part("psoas", 0, draw.between(50, 66), tuple(draw.solid(p) for p in psoas)),
    ]


def _ribs(draw: Draw, wall: _Wall) -> list[Part]:
    """Bony arcs in the middle of the wall that descend from the spine to the front, with a marrow."""
    outer = wall.muscle.grown(-draw.between(5, 6))
    pitch, drop, phase = draw.between(23, 27), draw.between(42, 60), draw.between(-8, 8)
    cortex, marrow = [], []
    for side in (-1, 1):
        for level in range(9):
            # The higher the rib the further it reaches to the front; the lowest end at the flank.
            reach = np.deg2rad(np.clip(30 + 22 * level, 50, 150) + draw.between(-5, 5))
            angles = np.linspace(np.deg2rad(24), reach, 9)
            directions = np.stack([side * np.sin(angles) * outer.radii[0], -np.cos(angles) * outer.radii[1]], axis=1)
            norm = outer.norm(outer.center[0] + directions[:, 0], outer.center[1] + directions[:, 1], np.array(0.0))
            xy = np.add(outer.center[:2], directions / norm[:, None])
            z = -75 + phase + pitch * level - drop * (angles / np.pi - 0.25)
            radii = np.linspace(draw.between(4.2, 5), draw.between(4.2, 5), len(z))
            points = np.column_stack([xy, z]).tolist()
            cortex.append(smooth_tube(points, radii.tolist(), steps=1))
            marrow.append(smooth_tube(points, (radii * draw.between(0.5, 0.6)).tolist(), steps=1))
    return [
        Part("ribs", 0, draw.between(320, 480), tuple(cortex)),
        Part("rib marrow", 0, draw.between(110, 190), tuple(marrow)),
    ]


def _chest(draw: Draw, wall: _Wall) -> list[Part]:
    heart = draw.ellipsoid((-22, 22, 104), (48, 40, 40), 0.1, (0, 20, 20))
    middle = draw.ellipsoid((-2, 5, 110), (24, 90, 200), 0.1)
    domes = [draw.ellipsoid((50, 2, 4), (60, 66, 70), 0.15), draw.ellipsoid((-50, 2, 2), (56, 64, 64), 0.15)]
    lungs = []
    for side, dome in zip((1, -1), domes, strict=True):
        column = draw.ellipsoid((side * 54, 2, 115), (46, 68, 118), 0.4)
        inside = Solid(wall.cavity.adds, draw.between(8, 12), waves=draw.waves(1, (90, 120), (0.1, 0.3)))
        lungs.append(draw.solid(column, cuts=[dome, heart.grown(3), middle], within=inside))
    airways = [_bronchus(draw, side) for side in (-1, 1) for _ in range(9)]
    return [
        Part("heart", 0, draw.between(75, 130), (draw.solid(heart),)),
        Part("lungs", 0, draw.between(-880, -800), tuple(lungs)),
        Part("lung vessels", 0, draw.between(20, 60), tuple(airways)),
    ]


def _bronchus(draw: Draw, side: int) -> Tube:
    start = np.array(draw.point(side * 34, 0, 104, 5))
    end = np.array(draw.point(side * 60, 0, 84, 6)) + draw.rng.uniform([-22, -44, -10], [22, 44, 20])
    bend = (start + end) / 2 + draw.rng.uniform(-6, 6, 3)
    return smooth_tube([start, bend, end], [draw.between(2.2, 3), draw.between(1.5, 2), draw.between(0.7, 1.1)], 2)


def _gut(draw: Draw, wall: _Wall) -> list[Part]:
    spleen = draw.ellipsoid((-68, -16, 24), (25, 40, 42), 0.1, (0, -8, -22))
    stomach = [
        draw.ellipsoid((-46, 10, 34), (33, 36, 34), 0.1),
        draw.ellipsoid((-28, 38, 0), (28, 24, 30), 0.1, (0, -35, 0)),
    ]
    lumen = draw.solid(*(s.grown(-draw.between(3, 5)) for s in stomach))
    # A huge ball cuts the gas off flat at the fluid's level.
    size = draw.between(500, 700)
    level = Ellipsoid(
        (stomach[1].center[0], draw.between(34, 44) + size, draw.between(10, 20)), (size,) * 3, draw.between(0.01, 0.05)
    )
    gas = draw.solid(*lumen.adds, within=Solid((level,), draw.between(1, 2)))
    pancreas = draw.tube(
        [(26, 6, -26), (12, 12, -12), (-12, 16, -2), (-34, 4, 4), (-52, -10, 12)], [13, 11, 9, 10, 7], 3
    )
    return [
        Part("spleen", 0, draw.between(50, 75), (draw.solid(spleen, cuts=[stomach[0].grown(2)], within=wall.cavity),)),
        Part("stomach", 0, draw.between(45, 70), (draw.solid(*stomach, within=wall.cavity),)),
        Part("stomach contents", 0, draw.between(10, 50), (lumen,)),
        Part("stomach gas", 0, draw.between(-980, -900), (gas,)),
        Part("pancreas", 0, draw.between(45, 75), (pancreas,)),
        *_bowel(draw),
        Part("gallbladder", 0, draw.between(2, 14), (draw.solid(draw.ellipsoid((34, 42, -30), (12, 15, 22), 0.05)),)),
    ]


def _bowel(draw: Draw) -> list[Part]:
    frame = [(72, 8, -112), (74, 12, -62), (50, 52, -66), (0, 58, -58), (-50, 48, -40), (-76, 0, -30), (-78, -6, -112)]
    colon = draw.tube(frame, [15, 16, 14, 13, 13, 13, 12], 4)
    rows = [
        (12, -44),
        (36, -40),
        (8, -62),
        (30, -64),
        (50, -80),
        (4, -84),
        (26, -88),
        (8, -106),
        (34, -108),
        (52, -104),
    ]
    loops = [_loop(draw, y, z) for y, z in rows]
    hu = [draw.between(-20, 45), draw.between(0, 60)]
    contents = [_lumen(tube, draw.between(2, 3)) for tube in (colon, *loops)]
    bubbles = [_bubble(draw, tube) for tube in (colon, colon, colon, *loops[::3])]
    return [
        Part("mesentery", 0, draw.between(30, 90), tuple(_mesentery(draw) for _ in range(24))),
        Part("bowel wall", 0, draw.between(40, 75), (colon, *loops)),
        Part("colon contents", 0, hu[0], (contents[0],)),
        Part("bowel contents", 0, hu[1], tuple(contents[1:])),
        Part("bowel gas", 0, draw.between(-970, -880), tuple(bubbles)),
    ]


def _loop(draw: Draw, y: float, z: float) -> Tube:
    """A winding loop of small bowel from left to right; the uppermost leave room for the liver."""
    right = 56 if z < -50 else 4
    across = np.arange(-56, right, 15)
    sway = np.sin(across / draw.between(8, 14) + draw.between(0, 6)) * draw.between(4, 8)
    points = [(x, y + 0.5 * s, z + s) for x, s in zip(across.tolist(), sway.tolist(), strict=True)]
    return draw.tube(points, [draw.between(8, 11) for _ in points], 4)


def _mesentery(draw: Draw) -> Tube:
    """A thin vessel in the fat between the loops."""
    start, end = draw.point(0, 6, -30, 8), draw.point(0, 24, -80, 1)
    aim = np.add(end, draw.rng.uniform([-62, -24, -40], [62, 30, 35]))
    bend = np.add(start, aim) / 2 + draw.rng.uniform(-10, 10, 3)
    return smooth_tube([start, bend, aim], [draw.between(1.6, 2.4), draw.between(1.1, 1.6), draw.between(0.6, 0.9)], 3)


def _lumen(tube: Tube, wall: float) -> Tube:
    return Tube(tube.points, tuple(r - wall for r in tube.radii))


def _bubble(draw: Draw, tube: Tube) -> Tube:
    """Gas in a stretch of bowel, risen to the front."""
    start = int(draw.rng.integers(0, len(tube.points) - 5))
    points = [np.add(p, (0, 0.3 * r, 0)) for p, r in zip(tube.points, tube.radii, strict=True)][start : start + 5]
    return smooth_tube(points, [r * draw.between(0.4, 0.55) for r in tube.radii[start : start + 5]], steps=1)
