"""The private temporary folder through which arrays go, and how it disappears. Standard library only."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hrseg.errors import OutputError
from hrseg.worker.processes import is_alive

PREFIX = "hrseg-"
_OWNER = "owner"


def make_folder(parent: str | os.PathLike[str] | None = None) -> Path:
    """A new folder that only this user can read; folders whose owner has died are removed first.

    Args:
        parent: where; the system's folder for temporary files if left out.

    Raises:
        OutputError: it cannot be made.
    """
    parent = Path(parent or tempfile.gettempdir())
    for folder in parent.glob(f"{PREFIX}*"):
        if _is_stale(folder):
            remove_folder(folder)
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    except OSError as error:
        raise no_room(parent, error) from error
    try:
        (folder / _OWNER).write_text(_signature(os.getpid()))
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise no_room(parent, error) from error
    return folder


def is_private(folder: Path) -> bool:
    """Whether :func:`make_folder` made it: others must not be emptied."""
    return folder.name.startswith(PREFIX) and not folder.is_symlink() and (folder / _OWNER).is_file()


def remove_folder(folder: Path) -> None:
    """Removes a private folder as far as the system allows; what is left is stale for the next client."""
    if is_private(folder):
        clear_folder(folder)
        # The owner's name goes last, so that an attempt that fails can be repeated.
        if set(os.listdir(folder)) == {_OWNER}:
            shutil.rmtree(folder, ignore_errors=True)


def clear_folder(folder: Path, *keep: str) -> None:
    """Removes all files but those named. On Windows, those stay too that the worker has open."""
    for path in folder.glob("*"):
        if path.name not in (_OWNER, *keep):
            with suppress(OSError):
                path.unlink()


def no_room(place: Path, error: OSError) -> OutputError:
    """What to say when something cannot be written to the temporary folder."""
    return OutputError(
        f'Cannot write to the temporary folder "{place}": {error.strerror or error}; free some space there, or set the '
        "variable TMPDIR to a folder that has more."
    )


def _signature(owner: int) -> str:
    # Temporary folders may be shared by computers or containers, which number processes on their own.
    return f"{owner} {platform.node()}"


def _is_stale(folder: Path) -> bool:
    try:
        mine = not hasattr(os, "getuid") or folder.lstat().st_uid == os.getuid()
        text = (folder / _OWNER).read_text()
        owner = int(text.split()[0])
    except (OSError, ValueError, IndexError):
        return False
    return mine and text == _signature(owner) and not is_alive(owner)
