from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hrseg.errors import InputError, OutputError
from hrseg.oss_net.surface import Surface
from hrseg.oss_net.surface_file import write_surface

#: Two triangles of a square in the plane S = 3, seen from above, in RAS mm.
SQUARE = Surface(np.array([[0, 0, 3], [2, 0, 3], [2, 2, 3], [0, 2, 3]], dtype=float), np.array([[0, 1, 2], [0, 2, 3]]))


def test_corners_are_shared_in_ply(tmp_path: Path) -> None:
    write_surface(tmp_path / "a.ply", SQUARE)
    header, _, content = (tmp_path / "a.ply").read_bytes().partition(b"end_header\n")
    assert header.decode().splitlines() == [
        *("ply", "format binary_little_endian 1.0", "comment SPACE=LPS", "element vertex 4"),
        *("property float x", "property float y", "property float z"),
        *("element face 2", "property list uchar int vertex_indices"),
    ]
    points = np.frombuffer(content, "<f4", 12).reshape(4, 3)
    np.testing.assert_array_equal(points, [[0, 0, 3], [-2, 0, 3], [-2, -2, 3], [0, -2, 3]])
    assert content[48:] == b"".join(b"\3" + np.array(t, "<i4").tobytes() for t in SQUARE.triangles)


def test_triangles_in_stl_face_outward(tmp_path: Path) -> None:
    write_surface(tmp_path / "a.STL", SQUARE)
    content = (tmp_path / "a.STL").read_bytes()
    assert content[:80].strip() == b"SPACE=LPS"
    assert int.from_bytes(content[80:84], "little") == 2
    assert len(content) == 84 + 2 * 50
    first = np.frombuffer(content, "<f4", 12, 84).reshape(4, 3)
    np.testing.assert_array_equal(first, [[0, 0, 1], [0, 0, 3], [-2, 0, 3], [-2, -2, 3]])


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'Cannot write "a.obj": the name of a surface must end in .ply or .stl'):
        write_surface(tmp_path / "a.obj", SQUARE)
    with pytest.raises(OutputError, match="there is no folder"):
        write_surface(tmp_path / "none" / "a.ply", SQUARE)
