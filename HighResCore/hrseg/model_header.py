"""Reading the header of a model file with the standard library alone, as Slicer's own process does.

A model is one ``.safetensors`` file: 8 bytes (little-endian length N), N bytes of JSON that list the tensors, then the
tensors. Our own header is JSON text under the key ``hrseg`` of that JSON's ``__metadata__``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from hrseg.errors import ModelError

METADATA_KEY = "hrseg"
FORMAT_VERSION = 1
SUFFIX = ".safetensors"
_MAX_JSON = 100_000_000


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The header of a model file as plain dictionaries.

    Raises:
        ModelError: no such file, truncated, not a safetensors file, not one of ours, or of a newer format version.
    """
    _, metadata, _ = read_safetensors_json(path)
    text = metadata.get(METADATA_KEY)
    if not isinstance(text, str):
        raise ModelError(
            f'"{path}" is a safetensors file, but not a model of this extension (it has no "{METADATA_KEY}" header); '
            "train one with `hrseg train`, or choose another file."
        )
    try:
        header = json.loads(text)
    except ValueError as error:
        raise ModelError(
            f'The header of the model "{path}" is not valid JSON ({error}); get the file again.'
        ) from error
    if not isinstance(header, dict):
        raise ModelError(f'The header of the model "{path}" is not a JSON object; get the file again.')
    version = header.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise ModelError(f'The model "{path}" has the format version {version!r}, which is not a number; get it again.')
    if version > FORMAT_VERSION:
        raise ModelError(
            f'The model "{path}" has format version {version}, but this version of the extension reads '
            f"up to {FORMAT_VERSION}; update the extension."
        )
    return header


def read_safetensors_json(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, str], int]:
    """The tensor table (name to dtype, shape, offsets), the metadata, and where the tensors' bytes begin.

    Raises:
        ModelError: no such file, truncated, or not a safetensors file.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= length <= _MAX_JSON:
                raise ModelError(f'"{path}" is not a model file ({size} bytes, not in the safetensors format).')
            if 8 + length > size:
                raise ModelError(f'The model file "{path}" is truncated ({size} bytes); copy or download it again.')
            text = file.read(length)
    except OSError as error:
        raise ModelError(f'Cannot read the model "{path}": {error.strerror}; check the path.') from error
    try:
        table = json.loads(text)
        metadata = table.pop("__metadata__", {})
        end = max((int(entry["data_offsets"][1]) for entry in table.values()), default=0)
    except (ValueError, AttributeError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise ModelError(f'"{path}" is not a model file (its safetensors header is damaged).') from error
    if 8 + length + end > size:
        raise ModelError(
            f'The model file "{path}" is truncated: {8 + length + end} bytes expected, {size} found; '
            "copy or download it again."
        )
    return table, metadata if isinstance(metadata, dict) else {}, 8 + length
