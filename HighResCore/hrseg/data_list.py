"""Data lists in the form of the Medical Segmentation Decathlon (as MONAI reads it), checked as a whole.

``{"name": ..., "labels": {"0": "background", "1": "liver"}, "training": [{"image": ..., "label": ...}],
"validation": [...], "test": [...]}``; paths are absolute or relative to the list's folder. A case may name labels that
nobody drew in it: ``"not_annotated": ["larynx"]``.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrseg.errors import InputError
from hrseg.image import read_label_map
from hrseg.labels import Label

SPLITS = ("training", "validation", "test")


@dataclass(frozen=True)
class Case:
    """One row of a data list.

    Attributes:
        name: unique within the list.
        image, label: files.
        not_annotated: names of labels that nobody drew here.
    """

    name: str
    image: Path
    label: Path
    not_annotated: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataList:
    """A data set: what its label values mean, and its cases by split."""

    name: str
    labels: dict[int, str]
    splits: dict[str, list[Case]]
    licence: str = ""
    citation: str = ""

    def cases(self, split: str) -> list[Case]:
        """The cases of a split. Raises InputError when there are none."""
        if not self.splits.get(split):
            filled = [f"{name} ({len(cases)})" for name, cases in self.splits.items() if cases]
            raise InputError(f'The data list "{self.name}" has no cases in "{split}"; it has {", ".join(filled)}.')
        return self.splits[split]

    def value_map(self, labels: Sequence[Label]) -> dict[int, int]:
        """From values in the label files to a model's values, matched by name; what is not listed is background.

        Raises:
            InputError: a model's label that the list does not have.
        """
        by_name = {name.lower(): value for value, name in self.labels.items()}
        result = {}
        for label in labels:
            for source in label.sources or (label.name,):
                if source.lower() not in by_name:
                    raise InputError(
                        f'The data list "{self.name}" has no label "{source}"; '
                        f"it has {', '.join(self.labels.values())}."
                    )
                result[by_name[source.lower()]] = label.value
        return result


def read_data_list(path: str | os.PathLike[str]) -> DataList:
    """The data list in a JSON file. All bad rows are reported together, before anything else happens.

    Raises:
        InputError: no such file, not a data list, or rows that cannot be used.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f'Cannot read the data list "{path}": {error.strerror}; check the path.') from error
    except ValueError as error:
        raise InputError(f'The data list "{path}" is not JSON ({error}).') from error
    if not isinstance(content, dict) or not isinstance(content.get("labels"), dict):
        raise InputError(f'The data list "{path}" must be a JSON object with "labels" such as {{"1": "liver"}}.')
    problems: list[str] = []
    splits = {split: _read_split(content.get(split, []), split, path.parent, problems) for split in SPLITS}
    labels = _read_labels(content["labels"], problems)
    _check_unique(splits, problems)
    _check_not_annotated(splits, labels, problems)
    raise_together(path, problems)
    text = {key: str(content.get(key, "")) for key in ("name", "licence", "license", "citation", "reference")}
    return DataList(
        text["name"] or path.stem,
        labels,
        splits,
        text["licence"] or text["license"],
        text["citation"] or text["reference"],
    )


def raise_together(path: os.PathLike[str] | str, problems: list[str]) -> None:
    """Raises one InputError that lists all problems, if there are any."""
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems[:50])
        more = f"\n  ... and {len(problems) - 50} more" if len(problems) > 50 else ""
        raise InputError(f'The data list "{path}" has {len(problems)} problems; mend these rows:\n{listed}{more}')


def read_labels_of(case: Case, value_map: dict[int, int]) -> tuple[Any, NDArray[np.uint8]]:
    """Grid and label values of a case in a model's values."""
    label_map = read_label_map(case.label)
    values = np.zeros(label_map.array.shape, dtype=np.uint8)
    for source, value in value_map.items():
        values[label_map.array == source] = value
    return label_map.grid, values


def annotated_labels(case: Case, labels: Sequence[Label]) -> list[bool]:
    """Per label of a model, whether all that counts as it was drawn in this case."""
    missing = {name.lower() for name in case.not_annotated}
    return [not missing & {name.lower() for name in (label.sources or (label.name,))} for label in labels]


def _read_split(rows: Any, split: str, folder: Path, problems: list[str]) -> list[Case]:
    if not isinstance(rows, list):
        problems.append(f'"{split}" must be a list of rows')
        return []
    cases = []
    for number, row in enumerate(rows):
        place = f"{split} row {number + 1}"
        if not isinstance(row, dict) or not isinstance(row.get("image"), str) or not isinstance(row.get("label"), str):
            problems.append(f'{place}: must have "image" and "label", found {str(row)[:80]}')
            continue
        files = {key: folder / row[key] for key in ("image", "label")}
        for key, file in files.items():
            if not file.exists():
                problems.append(f'{place}: there is no {key} "{file}"')
        missing = row.get("not_annotated", [])
        name = str(row.get("name") or _name(files["image"]))
        cases.append(Case(name, files["image"], files["label"], tuple(str(m) for m in missing)))
    return cases


def _read_labels(values: dict[str, Any], problems: list[str]) -> dict[int, str]:
    labels = {}
    for value, name in values.items():
        if not value.isdigit() or not isinstance(name, str):
            problems.append(f'labels: "{value}": {name!r} must be a whole number and a name')
        elif int(value):
            labels[int(value)] = name
    return labels


def _check_unique(splits: dict[str, list[Case]], problems: list[str]) -> None:
    for what, counts in (
        ("case name", Counter(case.name for cases in splits.values() for case in cases)),
        ("image", Counter(str(case.image.resolve()) for cases in splits.values() for case in cases)),
    ):
        problems.extend(f'the {what} "{value}" stands in {count} rows' for value, count in counts.items() if count > 1)


def _check_not_annotated(splits: dict[str, list[Case]], labels: dict[int, str], problems: list[str]) -> None:
    known = {name.lower() for name in labels.values()}
    for cases in splits.values():
        for case in cases:
            problems.extend(
                f'case "{case.name}": not_annotated names "{name}", which is no label of the list'
                for name in case.not_annotated
                if name.lower() not in known
            )


def _name(image: Path) -> str:
    return image.name.split(".")[0]
