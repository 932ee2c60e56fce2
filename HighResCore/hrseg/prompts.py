"""Boxes that a person draws: oriented boxes in space, their voxels on a grid, and the files that hold them.

Files are Slicer's markups (``.mrk.json``, one or several ROIs) or a plain JSON list. Needs numpy alone.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrseg.errors import InputError
from hrseg.geometry import Box, Floats, Grid, as_shape
from hrseg.image import LPS_TO_RAS, replacing
from hrseg.json_file import read_json

#: Millimetres, or voxels, that no box reaches; so that arithmetic with those that do reach them cannot overflow.
_FAR = 1e9
#: Voxels whose coordinates are in memory at a time.
_AT_ONCE = 2**16
#: Turns LPS vectors into RAS ones, and back.
_FLIP = LPS_TO_RAS[:3, :3]
_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


@dataclass(frozen=True, eq=False)
class RegionBox:
    """A box in space.

    Args:
        center: RAS mm.
        size: full side lengths in mm along its own axes.
        axes: 3x3, its axes in RAS as columns of unit length.
        name: for messages and results.
        proposed: a model has proposed it, and nobody has edited it since.

    Raises:
        InputError: numbers that are not finite or immense, a side that is not positive, or axes that are not at right
            angles.
    """

    center: Floats
    size: Floats
    axes: Floats
    name: str = "box"
    proposed: bool = False

    def __post_init__(self) -> None:
        for key, shape in (("center", (3,)), ("size", (3,)), ("axes", (3, 3))):
            given = getattr(self, key)
            try:
                value = _numbers(given, shape)
            except (ValueError, TypeError, OverflowError) as error:
                shown = short(given.tolist() if isinstance(given, np.ndarray) else given)
                raise InputError(
                    f'The {key} of the box "{self.name}" is {shown}; it must be numbers in the shape {shape}.'
                ) from error
            object.__setattr__(self, key, value)
        if (self.size <= 0).any():
            raise InputError(
                f'The box "{self.name}" has the size {self.size.tolist()} mm; every side must be positive.'
            )
        if np.abs(self.axes.T @ self.axes - np.eye(3)).max() > 1e-3:
            raise InputError(f'The axes of the box "{self.name}" are not at right angles: {self.axes.tolist()}.')

    @classmethod
    def of_voxels(cls, box: Box, grid: Grid, name: str = "box") -> RegionBox:
        """The box in space that covers the voxels of ``box``, along the grid's axes (i, j, k)."""
        start, stop = np.asarray(box.start), np.asarray(box.stop)
        linear = grid.affine[:3, :3]
        spacing = np.linalg.norm(linear, axis=0)
        return cls(grid.to_world((start + stop - 1) / 2), (stop - start)[::-1] * spacing, linear / spacing, name)

    def hull(self, grid: Grid) -> Box:
        """The voxels that it touches, rounded outward; it may reach outside the grid."""
        corners = self.center + np.array(list(itertools.product(*[(-s / 2, s / 2) for s in self.size]))) @ self.axes.T
        index = grid.to_index(corners)
        # Against rounding: a face on the border between two voxels touches only the one inside.
        low = np.floor(index.min(axis=0) + 0.5 + 1e-3).astype(int)
        high = np.ceil(index.max(axis=0) - 0.5 - 1e-3).astype(int) + 1
        return Box(as_shape(low), as_shape(np.maximum(high, low + 1)))

    def inside(self, grid: Grid, box: Box) -> NDArray[np.bool_]:
        """Which voxel centres of ``box`` lie in it, (K, J, I)."""
        steps = self.axes.T @ grid.affine[:3, 2::-1]
        # A voxel's own coordinates (3) are sums of one part for its k, one for its j and one for its i.
        k, j, i = (step[:, None] * np.arange(n) for step, n in zip(steps.T, box.shape, strict=True))
        k += ((grid.to_world(box.start) - self.center) @ self.axes)[:, None]
        # Half a voxel of tolerance keeps the partly covered voxels of a box along the grid's axes.
        most = (self.size / 2 + np.abs(steps).max(axis=1) / 2 - 1e-3)[:, None, None]
        inside = np.empty(box.shape, dtype=bool)
        # Not all at once: the coordinates take many times as much memory as what is kept.
        rows = max(1, _AT_ONCE // max(1, box.shape[2]))
        for n, start in itertools.product(range(box.shape[0]), range(0, box.shape[1], rows)):
            part = slice(start, start + rows)
            own = k[:, n, None, None] + j[:, part, None] + i[:, None]
            inside[n, part] = (np.abs(own) <= most).all(axis=0)
        return inside

    def voxels(self, grid: Grid) -> tuple[Box, str | None]:
        """Its voxels inside the grid, and a notice where it was clipped.

        Raises:
            InputError: wholly outside, or thinner than two voxels along an axis that has more than one.
        """
        hull = self.hull(grid)
        inner = hull.clip(grid.shape)
        if not inner.size:
            raise InputError(
                f'The box "{self.name}" lies wholly outside the image; move it onto the image or delete it.'
            )
        thin = [axis for axis in range(3) if grid.shape[axis] > 1 and inner.shape[axis] < 2]
        if thin:
            mm = [f"{s:.3g}" for s in self.size]
            raise InputError(
                f'The box "{self.name}" ({" x ".join(mm)} mm) covers less than two voxels of the image along one axis; '
                "make it larger."
            )
        # Outside along the only slice of a 2D image is no clipping.
        clipped = any(hull.shape[a] > inner.shape[a] for a in range(3) if grid.shape[a] > 1)
        return inner, f'The box "{self.name}" reaches outside the image and was clipped.' if clipped else None


def read_boxes(path: str | os.PathLike[str], grid: Grid) -> list[RegionBox]:
    """The boxes in a markups file of Slicer, or in a plain JSON list.

    An entry of a plain list has ``center`` and ``size`` in RAS mm (and ``axes``, columns, if oriented), or ``start``
    and ``stop`` in voxels (i, j, k) of the image on ``grid``, the last one not included; and a ``name`` if wanted.

    Raises:
        InputError: no such file, not JSON, no box in it, or a box that is not one.
    """
    path = Path(path)
    content = read_json(path, "boxes file")
    try:
        if isinstance(content, dict):
            boxes = [_from_markup(m, n) for n, m in enumerate(content["markups"]) if m.get("type") == "ROI"]
        else:
            boxes = [_from_entry(entry, n, grid) for n, entry in enumerate(content)]
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise InputError(
            f'"{path}" is neither a markups file with ROIs nor a list of boxes ({error!r:.200}).'
        ) from error
    if not boxes:
        raise InputError(f'There is no box (ROI) in "{path}".')
    return boxes


def write_boxes(path: str | os.PathLike[str], boxes: Sequence[RegionBox]) -> None:
    """Writes boxes as ROIs of a markups file that Slicer opens.

    Raises:
        OutputError: the file cannot be written.
    """
    content = {"@schema": _SCHEMA, "markups": [_to_markup(box) for box in boxes]}
    with replacing(Path(path)) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _from_markup(markup: dict[str, Any], number: int) -> RegionBox:
    name = _name(markup, number)
    if markup.get("insideOut"):
        raise InputError(f'The box "{name}" is inside out, which cannot be segmented; switch that off.')
    flip = np.eye(3) if str(markup.get("coordinateSystem", "LPS")) in ("RAS", "0") else _FLIP
    axes = _numbers(markup.get("orientation", np.eye(3))).reshape(3, 3)
    return RegionBox(flip @ _numbers(markup["center"]), _numbers(markup["size"]), flip @ axes, name)


def _to_markup(box: RegionBox) -> dict[str, Any]:
    center = (_FLIP @ box.center).tolist()
    return {
        "type": "ROI",
        "name": box.name,
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "roiType": "Box",
        "center": center,
        "orientation": (_FLIP @ box.axes).ravel().tolist(),
        "size": box.size.tolist(),
        "insideOut": False,
        # Without a point at its centre Slicer reads a box of no size.
        "controlPoints": [{"id": "1", "position": center, "positionStatus": "defined"}],
    }


def _from_entry(entry: dict[str, Any], number: int, grid: Grid) -> RegionBox:
    name = _name(entry, number)
    if "start" in entry:
        start, stop = (_index(entry[key]) for key in ("start", "stop"))
        if any(a >= b for a, b in zip(start, stop, strict=True)):
            raise InputError(f'The box "{name}" from {start[::-1]} to {stop[::-1]} has no voxel.')
        return RegionBox.of_voxels(Box(as_shape(start), as_shape(stop)), grid, name)
    axes = _numbers(entry.get("axes", np.eye(3)))
    return RegionBox(_numbers(entry["center"]), _numbers(entry["size"]), axes, name)


def _name(entry: dict[str, Any], number: int) -> str:
    """In one line that is not too long for a message."""
    return " ".join(str(entry.get("name") or "").split())[:80] or f"box {number + 1}"


def _numbers(values: ArrayLike, shape: tuple[int, ...] | None = None) -> Floats:
    """Raises ValueError, TypeError or OverflowError for what are no such numbers."""
    numbers = np.asarray(values, dtype=float)
    if not (np.abs(numbers) < _FAR).all() or numbers.shape != (shape or numbers.shape):
        raise ValueError(f"{short(values)} are not numbers of a place")
    return numbers


def _index(values: ArrayLike) -> list[int]:
    """Voxels (i, j, k) of a file as (k, j, i)."""
    return _numbers(values, (3,))[::-1].astype(int).tolist()
