"""Model files written with the standard library alone: the models of self-tests, whose weights are set by hand."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hrseg.model_header import METADATA_KEY

#: Shape and numbers of a tensor.
Tensor = tuple[Sequence[int], Sequence[float]]


def writeModel(path: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Path:
    """Writes a ``.safetensors`` file of float32 tensors with a header, and returns its path.

    Raises:
        OSError: the file cannot be written.
    """
    table: dict[str, Any] = {"__metadata__": {METADATA_KEY: json.dumps(header)}}
    data = b""
    for name, (shape, numbers) in tensors.items():
        packed = struct.pack(f"<{len(numbers)}f", *numbers)
        table[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path
