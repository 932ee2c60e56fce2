"""Which image of a folder belongs to which label map, by the usual ways to name them.

- ``imagesTr/``, ``labelsTr/`` (and ``imagesTs/``, ``labelsTs/`` for testing): nnU-Net, whose images may be
  ``NAME_0000``, ``NAME_0001`` ..., one file per channel, and the Medical Segmentation Decathlon;
- ``images/`` beside ``labels/``, ``masks/`` or ``segmentations/``, files of equal names, or with a suffix as below;
- any folders with ``NAME-labels``, ``NAME_label``, ``NAME_seg``, ``NAME_mask``, ``NAME_gt`` or ``NAME.seg.nrrd``
  beside ``NAME``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from hrseg.errors import InputError
from hrseg.image import IMAGE_SUFFIXES, file_stem

LABEL_FOLDERS = ("labels", "masks", "segmentations")
_LABEL_SUFFIX = re.compile(r"[-_.](labels?|seg|segmentation|masks?|gt)$", re.I)
_CHANNEL = re.compile(r"(.+)_(\d{4})$")


@dataclass(frozen=True)
class Pair:
    """An image and its label map.

    Attributes:
        name: the image's, with the folders that it lies in below that of the images.
        image, label: files.
        test: the data set itself keeps it for testing.
    """

    name: str
    image: Path
    label: Path
    test: bool = False


@dataclass
class Pairs:
    """What belongs together in a folder, by name, and the files that have no partner."""

    found: list[Pair] = field(default_factory=list)
    images_alone: list[Path] = field(default_factory=list)
    labels_alone: list[Path] = field(default_factory=list)


def find_pairs(folder: Path, label_folder: str | None = None, channel: int | None = None) -> Pairs:
    """The pairs of image and label map in a folder and those below it; hidden files are passed over.

    Args:
        folder: see above.
        label_folder: the folder of the label maps beside ``images``, if it has another name.
        channel: which of nnU-Net's channels to take; None where each image has one.

    Raises:
        InputError: no such folder, no pairs in it, two files where one must be, or a channel that is not there.
    """
    if not folder.is_dir():
        raise InputError(f'There is no folder "{folder}"; check the path.')
    pairs = Pairs()
    for images, labels, test in _places(folder, label_folder):
        _pair(pairs, images, labels, channel, test)
    if not pairs.found:
        raise InputError(
            f'The folder "{folder}" holds no image with a label map; put the images into its folder "images" and label '
            'maps of the same names into "labels", or call them NAME-labels beside NAME.'
        )
    return pairs


_Files = dict[str, Path]


def _places(folder: Path, label_folder: str | None) -> list[tuple[_Files, _Files, bool]]:
    """Images and label maps, by name, and whether they are for testing."""
    if label_folder is None and (folder / "labelsTr").is_dir():
        parts = [part for part in ("Tr", "Ts") if (folder / f"labels{part}").is_dir()]
        return [(_files(folder / f"images{part}"), _files(folder / f"labels{part}"), part == "Ts") for part in parts]
    if label_folder is not None or (folder / "images").is_dir():
        return [(_files(folder / "images"), _files(folder / _label_folder(folder, label_folder)), False)]
    return [(_files(folder, labels=False), _files(folder, labels=True), False)]


def _label_folder(folder: Path, wanted: str | None) -> str:
    names = [name for name in ((wanted,) if wanted else LABEL_FOLDERS) if (folder / name).is_dir()]
    if len(names) == 1:
        return names[0]
    if names:
        raise InputError(f'"{folder}" has {" and ".join(names)}; say by --label-folder which holds the label maps.')
    raise InputError(
        f'"{folder}" has no folder {wanted or " or ".join(LABEL_FOLDERS)}; say by --label-folder which holds the label '
        "maps."
    )


def _files(folder: Path, labels: bool | None = None) -> _Files:
    """The image files below a folder by name; of these the label maps alone, or all others."""
    files: _Files = {}
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if not place.name.lower().endswith(IMAGE_SUFFIXES) or any(part[0] == "." for part in place.parts):
            continue
        if labels is not None and _is_label(path) != labels:
            continue
        name = (place.parent / file_stem(place)).as_posix()
        if name in files:
            raise InputError(f'"{files[name]}" and "{path}" have one name; keep one of them here.')
        files[name] = path
    return files


def _is_label(path: Path) -> bool:
    return path.name.lower().endswith(".seg.nrrd") or bool(_LABEL_SUFFIX.search(file_stem(path)))


def _pair(pairs: Pairs, images: _Files, labels: _Files, channel: int | None, test: bool) -> None:
    channels: dict[str, dict[int, Path]] = {}
    for name, path in images.items():
        if match := _CHANNEL.match(name):
            channels.setdefault(match[1], {})[int(match[2])] = path
    owner: dict[str, Path] = {}
    used: set[Path] = set()
    for name, label in labels.items():
        names = (name, _LABEL_SUFFIX.sub("", name))
        case = next((known for known in names if known in images or known in channels), None)
        if case is None:
            pairs.labels_alone.append(label)
            continue
        if case in owner:
            raise InputError(f'The image "{case}" has the label maps "{owner[case]}" and "{label}"; keep one of them.')
        owner[case] = label
        image = images[case] if case in images else _choose(case, channels[case], channel)
        used |= {image} if case in images else set(channels[case].values())
        pairs.found.append(Pair(case, image, label, test))
    pairs.images_alone.extend(path for path in images.values() if path not in used)


def _choose(case: str, channels: dict[int, Path], wanted: int | None) -> Path:
    if wanted is None and len(channels) == 1:
        return next(iter(channels.values()))
    if wanted in channels:
        return channels[wanted]
    known = ", ".join(map(str, channels))
    if wanted is None:
        raise InputError(f'The image "{case}" has the channels {known}, a file each; say by --channel which to take.')
    raise InputError(f'The image "{case}" has no channel {wanted}; it has {known}.')
