"""Reading the header of a model file with the standard library alone, as Slicer's own process does.

A model is one ``.safetensors`` file: 8 bytes (little-endian length N), N bytes of JSON that list the tensors, then the
tensors. Our own header is JSON text under the key ``hrseg`` of that JSON's ``__metadata__``.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from reprlib import repr as short
from typing import Any

from hrseg.errors import ModelError

METADATA_KEY = "hrseg"
FORMAT_VERSION = 1
SUFFIX = ".safetensors"
#: Names are used as file names, too.
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,79}$"
_LENGTH_BYTES = 8
_MAX_JSON = 2**24


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The header of a model file as plain dictionaries, of which only ``name`` and ``format_version`` are checked.

    Raises:
        ModelError: no such file, truncated, not a safetensors file, not one of ours, or of a newer format version.
    """
    _, metadata = read_tensor_table(path)
    text = metadata.get(METADATA_KEY)
    if not isinstance(text, str):
        raise ModelError(
            f'"{path}" is a safetensors file, but not a model of this extension (it has no "{METADATA_KEY}" header); '
            "train one with `hrseg train`, or choose another file."
        )
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f'The header of the model "{path}" is not valid JSON ({error}); get the file again.'
        ) from error
    if not isinstance(header, dict):
        raise ModelError(f'The header of the model "{path}" is not a JSON object; get the file again.')
    _check_version(path, header.get("format_version"))
    name = header.get("name")
    if not isinstance(name, str) or not re.fullmatch(NAME_PATTERN, name):
        raise ModelError(
            f'The header of the model "{path}" has the name {short(name)}; it must be 1 to 80 lower-case letters, '
            "digits, dots, hyphens or underscores."
        )
    return header


def read_tensor_table(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a safetensors file says of its tensors (name to dtype, shape, data_offsets), and its metadata.

    Raises:
        ModelError: no such file, truncated, or not a safetensors file.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if size < _LENGTH_BYTES or not 2 <= length <= _MAX_JSON:
                raise ModelError(
                    f'"{path}" is not a model file ({size} bytes, not in the safetensors format); choose another file.'
                )
            text = file.read(length)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f'Cannot read the model "{path}": {reason}; check the path.') from error
    if len(text) < length:
        raise _truncated(path, _LENGTH_BYTES + length, size)
    try:
        table = json.loads(text)
        metadata = dict(table.pop("__metadata__", {}))
        end = max((int(entry["data_offsets"][1]) for entry in table.values()), default=0)
    except (ValueError, AttributeError, LookupError, TypeError, OverflowError, RecursionError) as error:
        raise ModelError(
            f'"{path}" is not a model file (its safetensors header is damaged); choose another file.'
        ) from error
    if _LENGTH_BYTES + length + end > size:
        raise _truncated(path, _LENGTH_BYTES + length + end, size)
    return table, metadata


def _check_version(path: str | os.PathLike[str], version: object) -> None:
    if type(version) is not int or version < 1:
        raise ModelError(
            f'The model "{path}" has the format version {short(version)}, which is not a whole number from 1 on; '
            "get the file again."
        )
    if version > FORMAT_VERSION:
        raise ModelError(
            f'The model "{path}" has format version {short(version)}, but this version of the extension reads '
            f"up to {FORMAT_VERSION}; update the extension."
        )


def _truncated(path: Path, expected: int, found: int) -> ModelError:
    return ModelError(
        f'The model file "{path}" is truncated: {expected} bytes expected, {found} found; copy or download it again.'
    )
