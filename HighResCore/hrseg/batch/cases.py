"""Which images a batch is of, and what they are called."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import Any, Literal

from hrseg.data_list import SPLITS, raise_problems
from hrseg.errors import InputError
from hrseg.image import IMAGE_SUFFIXES, file_stem
from hrseg.json_file import read_json

_DICOM_SUFFIXES = (".dcm", ".ima")
_DICOM_MAGIC, _DICOM_PREAMBLE = b"DICM", 128
#: It tells of files in other folders.
_DICOM_INDEX = "DICOMDIR"
#: Characters that file systems allow, less those that names of results have besides.
_LONGEST_NAME = 200
_SEGMENTATION = ".seg.nrrd"


@dataclass(frozen=True)
class Case:
    """An image of a batch.

    Attributes:
        name: unique within the batch; the results are called so. It has the folders in front that tell apart images of
            one name, such as ``patient1/ct``.
        image: file, or folder with a DICOM series; an absolute path.
    """

    name: str
    image: Path


def kind_of(path: Path) -> Literal["image", "folder", "list", "data list"]:
    """What a path stands for: an image (also one that is not there), or several in a folder or list."""
    if path.is_dir():
        return "image" if _holds_dicom(path) else "folder"
    suffix = path.suffix.lower()
    return "list" if suffix == ".txt" else "data list" if suffix == ".json" else "image"


def find_cases(paths: Sequence[Path], left_out: Collection[Path] = (), split: str | None = None) -> list[Case]:
    """The images that the paths stand for, each once.

    They are called as they lie below the folder given, or below that of the list; where images lie elsewhere, below the
    folder that holds all.

    Args:
        paths: images; folders with a DICOM series; folders of images, searched with all that is in them; lists of paths
            (``.txt``, one a line); data lists (``.json``).
        left_out: folders that are not searched, such as those of the results.
        split: the part of data lists to take; None: all.

    Raises:
        InputError: a folder or list that cannot be read or holds no image, or a split without a data list.
    """
    hidden = {_absolute(path) for path in left_out}
    images: dict[Path, None] = {}
    folders = []
    for path in map(_absolute, paths):
        kind = kind_of(path)
        if kind == "folder":
            if path in hidden:
                raise InputError(f'"{path}" is the folder of the images and that of the results; choose another one.')
            found = list(_search(path, hidden))
            folders.append(path)
            if not found:
                raise InputError(f'The folder "{path}" holds no DICOM series and no images; check the path.')
        else:
            found = [path] if kind == "image" else _read_list(path) if kind == "list" else _read_rows(path, split)
            # More images in a list must not change what the others are called.
            near = path.parent
            folders.extend(near if image.is_relative_to(near) else image.parent for image in found)
        images.update(dict.fromkeys(found))
    if split and "data list" not in map(kind_of, paths):
        raise InputError(f'The split "{split}" is one of a data list (.json); give one, or leave the split out.')
    return _named(list(images), folders)


def _named(images: list[Path], folders: list[Path]) -> list[Case]:
    try:
        base = os.path.commonpath(folders)
    except ValueError:
        raise InputError(
            f'"{folders[0]}" and other images lie on different drives; give each drive by itself.'
        ) from None
    files = [image.relative_to(base) for image in images]
    stems = [(file.parent / file_stem(file)).as_posix() for file in files]
    count = Counter(stems)
    # Where a.nii and a.png lie side by side their endings tell them apart.
    names = [stem if count[stem] == 1 else file.as_posix() for stem, file in zip(stems, files, strict=True)]
    return [Case(name, image) for name, image in zip(names, images, strict=True)]


def _search(folder: Path, left_out: Collection[Path]) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        here = Path(root)
        if _holds_dicom(here):
            folders.clear()
            yield here
            continue
        folders[:] = sorted(name for name in folders if name[0] != "." and here / name not in left_out)
        yield from (here / name for name in sorted(names) if _is_image(name))


def _is_image(name: str) -> bool:
    lower = name.lower()
    return name[0] != "." and lower.endswith(IMAGE_SUFFIXES) and not lower.endswith(_SEGMENTATION)


def _holds_dicom(folder: Path) -> bool:
    try:
        return any(_is_dicom(path) for path in sorted(folder.iterdir()))
    except OSError as error:
        raise InputError(f'Cannot read the folder "{folder}": {error.strerror}.') from error


def _is_dicom(path: Path) -> bool:
    name = path.name.lower()
    if name[0] == "." or name.endswith(IMAGE_SUFFIXES) or path.name == _DICOM_INDEX or not path.is_file():
        return False
    if name.endswith(_DICOM_SUFFIXES):
        return True
    try:
        with path.open("rb") as file:
            file.seek(_DICOM_PREAMBLE)
            return file.read(len(_DICOM_MAGIC)) == _DICOM_MAGIC
    except OSError:
        return False


def _read_list(path: Path) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f'Cannot read the list "{path}": {error.strerror}; check the path.') from error
    except ValueError as error:
        raise InputError(f'The list "{path}" is not text with one path a line ({error}).') from error
    rows = [line.strip() for line in lines]
    images = [_absolute(path.parent / row) for row in rows if row and row[0] != "#"]
    if not images:
        raise InputError(f'The list "{path}" names no image; write one path a line.')
    return images


def _read_rows(path: Path, split: str | None) -> list[Path]:
    """The images of a data list; labels are not asked for, so that rows without truth count, too."""
    content = read_json(path, "data list")
    parts = [split] if split else [part for part in SPLITS if isinstance(content, dict) and part in content]
    rows = {part: content.get(part, []) if isinstance(content, dict) else [] for part in parts}
    problems: list[str] = []
    images = [image for part, row in rows.items() for image in _images_of(part, row, path.parent, problems)]
    raise_problems(str(path), problems)
    if not images:
        wanted = f'"{split}"' if split else " or ".join(f'"{part}"' for part in SPLITS)
        raise InputError(f'The data list "{path}" has no images in {wanted}.')
    return images


def _images_of(split: str, rows: Any, folder: Path, problems: list[str]) -> Iterator[Path]:
    if not isinstance(rows, list):
        problems.append(f'"{split}" must be a list of rows')
        return
    for number, row in enumerate(rows):
        image = row.get("image") if isinstance(row, dict) else row
        if isinstance(image, str) and image:
            yield _absolute(folder / image)
        else:
            problems.append(f'{split} row {number + 1}: must have the path "image", found {short(row)}')


def _absolute(path: Path) -> Path:
    if "\0" in str(path) or max(map(len, path.parts), default=0) > _LONGEST_NAME:
        raise InputError(f"{short(str(path))} cannot be the path of an image; mend it.")
    # Links stay as the user named them, but "..", which names of results cannot have, goes.
    return Path(os.path.abspath(path))
