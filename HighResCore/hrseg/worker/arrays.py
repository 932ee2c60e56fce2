"""Arrays on their way between client and worker: ``.npy`` files in the private folder. Needs numpy alone."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from hrseg.worker.folder import no_room
from hrseg.worker.messages import ProtocolError

#: The names that we give are shorter.
_LONGEST = 100
SUFFIX = ".npy"


def write_array(path: Path, array: NDArray) -> dict[str, Any]:
    """Writes an array, which may be any view; returns its entry ``{"file", "shape", "dtype"}`` for a message.

    Raises:
        OutputError: it cannot be written, as where the disk is full; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.part")
    header = {"descr": npy.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    try:
        with temporary.open("wb") as file:
            npy.write_array_header_1_0(file, header)
            # Plane by plane: a view that is not contiguous is never copied as a whole.
            for index in np.ndindex(*array.shape[:-2]):
                file.write(np.ascontiguousarray(array[index]).data)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise no_room(path.parent, error) from error
    return {"file": path.name, "shape": list(array.shape), "dtype": array.dtype.name}


def map_array(path: Path) -> NDArray:
    """The array in a file, read as it is used; it cannot be changed.

    Raises:
        ProtocolError: no such file, or not an array.
    """
    try:
        return npy.open_memmap(path, mode="r")
    except OSError as error:
        raise ProtocolError(f'There is no array in "{path}": {error.strerror or error}.') from error
    except Exception as error:
        # The header is Python source, which can be wrong in as many ways.
        raise ProtocolError(f'There is no array in "{path}": the file is damaged.') from error


def read_array(folder: Path, entry: dict[str, Any]) -> NDArray:
    """A copy in memory of the array of an entry.

    Raises:
        ProtocolError: as :func:`map_array`; the file is not in the folder, or is not what the entry says.
    """
    name = str(entry.get("file"))
    if Path(name).name != name or len(name) > _LONGEST or not name.isprintable():
        shown = " ".join(name.split())[:_LONGEST]
        raise ProtocolError(f'The array file "{shown}" is not in the private folder.')
    array = map_array(folder / name)
    if list(array.shape) != entry.get("shape") or array.dtype.name != entry.get("dtype"):
        raise ProtocolError(f'The array in "{name}" is {array.dtype} {array.shape}, not as announced: {short(entry)}.')
    return np.array(array)
