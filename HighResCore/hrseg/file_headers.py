"""Headers of image files that ITK does not survive: what it must not see is found here."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np

from hrseg.errors import InputError

#: Millimetres that no image reaches.
_FAR = 1e12
#: The length of the longer one of NIfTI's headers.
_NIFTI_2 = 540
#: A line of a NRRD header that has more bytes overruns the room that ITK has for messages about it ...
_LONG = 500
#: ... unless it is a comment, a title, or a "key:=value" of any program's own.
_FREE = re.compile(rb"#|content:|[^:\n]*:=")
#: How the headers of NRRD and MetaImage say that the voxels are in another file.
_ELSEWHERE = re.compile(rb"^(data ?file\s*:|ElementDataFile\s*=(?!\s*LOCAL))", re.MULTILINE)
_NDIMS = re.compile(rb"^[ \t]*NDims[ \t]*[=:][ \t]*(.*?)\s*$", re.MULTILINE)
#: Bytes in which a text header ends.
_TEXT = 2**20
#: The most voxels that a byte of a file can hold: deflate makes 1032 bytes of one.
_DENSEST = 1100


@dataclass(frozen=True)
class _Layout:
    """Where a NIfTI header has its geometry: offsets, and bytes of its codes and of its real numbers."""

    code: int
    real: int
    spacing: int
    codes: int
    quaternion: int
    matrix: int


#: Of NIfTI 1 and 2, by what their headers begin with.
_NIFTI_LAYOUTS = {348: _Layout(2, 4, 80, 252, 256, 280), 540: _Layout(4, 8, 112, 344, 352, 400)}


def check_header(file: Path, path: Path) -> None:
    """Looks into a file before ITK does; errors speak of ``path``.

    Raises:
        InputError: a NIfTI geometry that is not finite (ITK would look for its axes for ever); a line in a NRRD header
            that is so long, or a number of dimensions in a MetaImage header that is so odd, that ITK would crash.
    """
    if is_nifti(file):
        _check_nifti_geometry(file, path)
    with file.open("rb") as stream:
        text = stream.read(_TEXT)
    if text.startswith(b"NRRD"):
        _check_nrrd_lines(text, path)
    if file.name.lower().endswith((".mha", ".mhd")):
        _check_dimensions(text, path)


def check_announced(file: Path, path: Path, voxels: int) -> None:
    """Raises InputError where a NRRD, MetaImage or BMP file is far too small for its voxels: ITK would make them up."""
    if voxels <= _DENSEST * file.stat().st_size or not file.name.lower().endswith((".nrrd", ".mha", ".bmp")):
        return
    with file.open("rb") as stream:
        if not _ELSEWHERE.search(stream.read(_TEXT)):
            raise InputError(
                f'The header of "{path}" announces {voxels} voxels, but the file is too small for them; '
                "copy or download it again."
            )


def is_nifti(path: Path) -> bool:
    """Whether a file is NIfTI by its name."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def uncompressed(path: Path) -> IO[bytes]:
    """The content of a NIfTI file."""
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")  # type: ignore[return-value]


def _check_nifti_geometry(file: Path, path: Path) -> None:
    with uncompressed(file) as stream:
        head = stream.read(_NIFTI_2)
    orders: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}
    for order, name in orders.items():
        layout = _NIFTI_LAYOUTS.get(int.from_bytes(head[:4], name))
        if layout is None or len(head) < layout.matrix + 12 * layout.real:
            continue
        codes = np.frombuffer(head, f"{order}i{layout.code}", 2, layout.codes)
        used = {layout.spacing: 3, layout.quaternion: 6 * (codes[0] > 0), layout.matrix: 12 * (codes[1] > 0)}
        for offset, count in used.items():
            values = np.frombuffer(head, f"{order}f{layout.real}", count, offset)
            if not (np.abs(values) < _FAR).all():
                shown = ", ".join(f"{value:.4g}" for value in values)
                raise InputError(f'The geometry in the header of "{path}" is not finite ({shown}); save it again.')


def _check_dimensions(text: bytes, path: Path) -> None:
    for value in _NDIMS.findall(text.split(b"ElementDataFile")[0]):
        if not re.fullmatch(rb"[1-9]", value):
            shown = value[:20].decode("ascii", errors="replace")
            raise InputError(f'The header of "{path}" announces "{shown}" dimensions; copy or download it again.')


def _check_nrrd_lines(text: bytes, path: Path) -> None:
    for line in re.split(rb"\r?\n\r?\n", text, maxsplit=1)[0].splitlines():
        if len(line) > _LONG and not _FREE.match(line):
            shown = line[:40].decode("ascii", errors="replace")
            raise InputError(
                f'The header of "{path}" has a line of {len(line)} bytes ("{shown} ..."), which is damaged; '
                "copy or download it again."
            )
