"""Surfaces as files that Slicer and programs for meshes and 3D printers open."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from hrseg.errors import InputError
from hrseg.image import LPS_TO_RAS, replacing
from hrseg.oss_net.surface import Surface

SUFFIXES = (".ply", ".stl")
#: So that Slicer need not guess.
_SPACE = "SPACE=LPS"


def write_surface(path: str | os.PathLike[str], surface: Surface) -> None:
    """Writes triangles in LPS mm: PLY, in which they share their corners, or STL.

    Raises:
        InputError: a name with another ending.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    check_surface_name(path)
    # Two axes change their signs, so that triangles still face outward.
    points = (surface.points @ LPS_TO_RAS[:3, :3]).astype("<f4")
    encode = _ply if path.suffix.lower() == ".ply" else _stl
    with replacing(path) as temporary:
        temporary.write_bytes(encode(points, surface.triangles))


def check_surface_name(path: Path) -> None:
    """Raises InputError unless :func:`write_surface` can write this type of file."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f'Cannot write "{path.name}": the name of a surface must end in {" or ".join(SUFFIXES)}.')


def _ply(points: np.ndarray, triangles: np.ndarray) -> bytes:
    header = [
        *("ply", "format binary_little_endian 1.0", f"comment {_SPACE}", f"element vertex {len(points)}"),
        *(f"property float {axis}" for axis in "xyz"),
        *(f"element face {len(triangles)}", "property list uchar int vertex_indices", "end_header", ""),
    ]
    faces = np.empty(len(triangles), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, triangles
    return "\n".join(header).encode() + points.tobytes() + faces.tobytes()


def _stl(points: np.ndarray, triangles: np.ndarray) -> bytes:
    facets = np.zeros(len(triangles), dtype=[("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    corners = facets["corners"] = points[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facets["normal"] = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return _SPACE.encode().ljust(80) + len(facets).to_bytes(4, "little") + facets.tobytes()
