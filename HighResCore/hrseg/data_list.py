"""Data lists in the form of the Medical Segmentation Decathlon (as MONAI reads it), checked as a whole.

``{"name": ..., "labels": {"0": "background", "1": "liver"}, "training": [{"image": ..., "label": ...}],
"validation": [...], "test": [...]}``; paths are absolute or relative to the list's folder. A case may name labels that
nobody drew in it: ``"not_annotated": ["larynx"]``. Test rows that are a path alone, as in the Decathlon, have no truth
and are left out.

``"label_above": NUMBER`` in a list with one label: its label files are masks, and voxels above the number are the label
(127 for masks saved as JPEG). With ``"label_above": 0`` the numbers in the label files are instances, such as nuclei.

A label map may have more voxels than its image over the same field of view. It then defines the grid on which results
are compared. Of pictures, which hold no place in space, the list must say so: ``"label_size": [512, 512]`` brings each
label map to so many columns and rows, over its image's field of view.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrseg.errors import InputError
from hrseg.image import Image, LabelMap, file_stem, read_image, read_label_map
from hrseg.json_file import read_json
from hrseg.labels import Label
from hrseg.resample import resample_labels
from hrseg.truth_grid import truth_grid

SPLITS = ("training", "validation", "test")
#: A grey value, the digits of a label value, and a side of a label map: more than any file holds.
_LARGEST, _DIGITS, _LONGEST = 1e9, 9, 2**14


@dataclass(frozen=True)
class Case:
    """One row of a data list.

    Attributes:
        name: unique within the list.
        image, label: files.
        not_annotated: names of labels that nobody drew here.
        label_above: as in its :class:`DataList`.
        label_size: columns and rows that the label map of a picture is brought to.
    """

    name: str
    image: Path
    label: Path
    not_annotated: tuple[str, ...] = ()
    label_above: float | None = None
    label_size: tuple[int, int] | None = None

    def annotated(self, labels: Sequence[Label]) -> tuple[bool, ...]:
        """Per label of a model, whether all that counts as it was drawn here."""
        missing = {name.lower() for name in self.not_annotated}
        return tuple(missing.isdisjoint(_sources(label)) for label in labels)


@dataclass(frozen=True)
class DataList:
    """A data set: what its label values mean (the background left out), and its cases by split.

    Attributes:
        label_above: what exceeds it in the label files is the only label; None if each value is a label.
    """

    name: str
    labels: dict[int, str]
    splits: dict[str, list[Case]]
    licence: str = ""
    citation: str = ""
    label_above: float | None = None

    def cases(self, split: str) -> list[Case]:
        """The cases of a split. Raises InputError when there are none."""
        if not self.splits.get(split):
            filled = [f"{name} ({len(cases)})" for name, cases in self.splits.items() if cases]
            raise InputError(
                f'The data list "{self.name}" has no cases with labels in "{split}"; '
                f"it has {', '.join(filled) or 'none at all'}."
            )
        return self.splits[split]

    def value_map(self, labels: Sequence[Label]) -> dict[int, int]:
        """From each value in the label files to a model's value, matched by name; 0 for what the model does not know.

        Raises:
            InputError: labels of the model that the list does not have.
        """
        wanted = {source: label.value for label in labels for source in _sources(label)}
        names = {value: name.lower() for value, name in self.labels.items()}
        unknown = sorted(wanted.keys() - names.values())
        if unknown:
            raise InputError(
                f'The data list "{self.name}" has no label "{", ".join(unknown)}"; '
                f"it has {', '.join(self.labels.values())}."
            )
        return {value: wanted.get(name, 0) for value, name in names.items()}


def read_data_list(path: str | os.PathLike[str]) -> DataList:
    """The data list in a JSON file. All bad rows are reported together; the images are not opened yet.

    Raises:
        InputError: no such file, not a data list, or rows that cannot be used.
    """
    path = Path(path)
    content = read_json(path, "data list")
    if not isinstance(content, dict) or not isinstance(content.get("labels"), dict):
        raise InputError(f'The data list "{path}" must be a JSON object with "labels" such as {{"1": "liver"}}.')
    problems: list[str] = []
    above = _read_label_above(content, problems)
    size = _read_label_size(content, problems)
    splits = {split: _read_split(content.get(split, []), split, path.parent, above, size, problems) for split in SPLITS}
    labels = _read_labels(content["labels"], problems)
    if above is not None and len(labels) != 1:
        problems.append(f'"label_above" needs exactly one label, found {", ".join(labels.values()) or "none"}')
    _check_unique(splits, problems)
    _check_not_annotated(splits, labels, problems)
    raise_problems(str(path), problems)
    text = {key: str(content.get(key, "")) for key in ("name", "licence", "license", "citation", "reference")}
    return DataList(
        text["name"] or path.stem,
        labels,
        splits,
        text["licence"] or text["license"],
        text["citation"] or text["reference"],
        above,
    )


def read_case(case: Case, value_map: dict[int, int]) -> tuple[Image, LabelMap]:
    """Image and true label map of a case, in a model's values; see :meth:`DataList.value_map`.

    The label map may be finer than the image; both have the same field of view.

    Raises:
        InputError: files that cannot be read, that do not lie on the same voxels, or values that are not in the list.
    """
    image, truth = read_image(case.image), read_label_map(case.label)
    grid = truth_grid(case.label, image.grid, truth.grid, sized=case.label_size is not None)
    if case.label_above is None:
        values = _mapped(truth.array, value_map)
    else:
        (value,) = value_map.values()
        values = np.where(truth.array > case.label_above, value, 0).astype(np.uint8)
    if case.label_size is None:
        return image, LabelMap(values, grid)
    sized = image.grid.resized((1, *case.label_size[::-1]))
    return image, LabelMap(resample_labels(values, grid, sized), sized)


def read_instances(case: Case) -> NDArray[np.uint16]:
    """The instance map (K, J, I) of a case: one number per instance, 0 is the background.

    Raises:
        InputError: the numbers in the list's label files are not instances ("label_above" is not 0), the file cannot
            be read, or its numbers are not 0 to 65535.
    """
    if case.label_above != 0:
        raise InputError(
            f'The case "{case.name}" has no instances: the "label_above" of its list is {case.label_above}. '
            "Set it to 0 if the numbers in the label files are instances."
        )
    array = read_label_map(case.label).array
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > np.iinfo(np.uint16).max:
        raise InputError(f'The instance map "{case.label}" has numbers from {low} to {high}; use 0 to 65535.')
    return array.astype(np.uint16)


def raise_problems(name: str, problems: Sequence[str]) -> None:
    """Raises one InputError that lists all problems of a data list, if there are any."""
    if problems:
        shown = [f"\n  - {problem}" for problem in problems[:50]]
        if len(problems) > len(shown):
            shown.append(f"\n  ... and {len(problems) - len(shown)} more")
        raise InputError(f'The data list "{name}" cannot be used; mend these rows:{"".join(shown)}')


def _read_label_above(content: dict[str, Any], problems: list[str]) -> float | None:
    above = content.get("label_above")
    if above is None or (type(above) in (int, float) and -_LARGEST <= above <= _LARGEST):
        return above
    problems.append(f'"label_above" must be a number such as 127, found {short(above)}')
    return None


def _read_label_size(content: dict[str, Any], problems: list[str]) -> tuple[int, int] | None:
    size = content.get("label_size")
    if size is None:
        return None
    if isinstance(size, list) and len(size) == 2 and all(type(n) is int and 0 < n <= _LONGEST for n in size):
        return size[0], size[1]
    problems.append(f'"label_size" must be columns and rows such as [512, 512], found {short(size)}')
    return None


def _read_split(
    rows: Any,
    split: str,
    folder: Path,
    label_above: float | None,
    label_size: tuple[int, int] | None,
    problems: list[str],
) -> list[Case]:
    if not isinstance(rows, list):
        problems.append(f'"{split}" must be a list of rows')
        return []
    cases = []
    for number, row in enumerate(rows):
        place = f"{split} row {number + 1}"
        if split == "test" and isinstance(row, str):
            continue
        if not isinstance(row, dict) or not isinstance(row.get("image"), str) or not isinstance(row.get("label"), str):
            problems.append(f'{place}: must have the paths "image" and "label", found {str(row)[:80]}')
            continue
        missing = row.get("not_annotated", [])
        if not isinstance(missing, list) or not all(isinstance(name, str) for name in missing):
            problems.append(f'{place}: "not_annotated" must be a list of label names, found {short(missing)}')
            continue
        image, label = folder / row["image"], folder / row["label"]
        if lost := [file for file in (image, label) if not _exists(file)]:
            problems.extend(f'{place}: there is no file "{file!s:.300}"' for file in lost)
            continue
        cases.append(
            Case(str(row.get("name") or file_stem(image)), image, label, tuple(missing), label_above, label_size)
        )
    return cases


def _read_labels(values: dict[str, Any], problems: list[str]) -> dict[int, str]:
    labels = {}
    for value, name in values.items():
        if not value.isdecimal() or len(value) > _DIGITS or not isinstance(name, str):
            problems.append(f'labels: "{value:.40}": {short(name)} must be a whole number and a name')
        elif int(value):
            labels[int(value)] = name
    names = Counter(name.lower() for name in labels.values())
    problems.extend(f'labels: {count} values have the name "{name}"' for name, count in names.items() if count > 1)
    return labels


def _exists(file: Path) -> bool:
    """Also of a name that no file can have."""
    try:
        return file.exists()
    except (OSError, ValueError):
        return False


def _check_unique(splits: dict[str, list[Case]], problems: list[str]) -> None:
    cases = [case for split in splits.values() for case in split]
    images = Counter(case.image.resolve() for case in cases)
    problems.extend(f'the image "{image}" stands in {count} rows' for image, count in images.items() if count > 1)
    names = Counter(case.name for case in cases if images[case.image.resolve()] == 1)
    problems.extend(
        f'{count} rows have the name "{name}"; give each row a "name" of its own'
        for name, count in names.items()
        if count > 1
    )


def _check_not_annotated(splits: dict[str, list[Case]], labels: dict[int, str], problems: list[str]) -> None:
    known = {name.lower() for name in labels.values()}
    problems.extend(
        f'case "{case.name}": not_annotated names "{name}", which is no label of the list'
        for cases in splits.values()
        for case in cases
        for name in case.not_annotated
        if name.lower() not in known
    )


def _mapped(array: NDArray, value_map: dict[int, int]) -> NDArray[np.uint8]:
    known = np.isin(array, [0, *value_map])
    if not known.all():
        odd = ", ".join(map(str, np.unique(array[~known])[:5]))
        raise InputError(f'its label map has values that are not among the "labels" of the list: {odd}')
    values = np.zeros(array.shape, dtype=np.uint8)
    for source, value in value_map.items():
        values[array == source] = value
    return values


def _sources(label: Label) -> list[str]:
    """Names in data lists that count as a label, in lower case."""
    return [name.lower() for name in label.sources or (label.name,)]
