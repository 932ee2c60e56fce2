"""What the values of label maps are called: as the user says, as the data set says, or as the files let guess."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from hrseg.errors import InputError
from hrseg.image import read_label_map
from hrseg.json_file import read_json

Names = dict[int, str]
#: Files that are opened to see which values there are.
_FILES = 5
#: More values without names are numbered objects, or the shades of a mask, rather than labels.
_MOST = 20


def parse_names(text: str) -> Names:
    """``1=liver,3=spleen`` to values and names; ``liver,spleen`` counts from 1.

    Raises:
        InputError: an empty name, a value that is not a whole number from 1, or one that occurs twice.
    """
    names: Names = {}
    for number, part in enumerate(text.split(","), start=1):
        value, _, name = part.rpartition("=")
        key = int(value) if value.strip().isdecimal() else 0 if value.strip() else number
        if key < 1 or key in names or not name.strip():
            raise InputError(
                f'The labels "{text}" must be values from 1 and names, each once, such as "1=liver,2=liver lesion"; '
                f'"{part.strip()}" is not.'
            )
        names[key] = name.strip()
    return names


def described_names(description: Any) -> Names:
    """The names in a data set's ``dataset.json``, the background left out; none where it has none.

    Raises:
        InputError: regions of several values, which nnU-Net allows.
    """
    labels = description.get("labels") if isinstance(description, dict) else None
    names: Names = {}
    for key, entry in labels.items() if isinstance(labels, dict) else ():
        # {"1": "liver"} in the Decathlon, {"liver": 1} in nnU-Net.
        value, name = (key, entry) if key.isdecimal() else (entry, key)
        if not str(value).isdecimal():
            raise InputError(f'The label "{name}" of dataset.json is {value}, no single value; give names by --labels.')
        if int(value):
            names[int(value)] = str(name)
    return names


def read_description(folder: Path) -> dict[str, Any]:
    """What a data set's ``dataset.json`` says; empty without one. Raises InputError where it is not JSON."""
    path = folder / "dataset.json"
    content = read_json(path, "description") if path.exists() else {}
    return content if isinstance(content, dict) else {}


def proposed_names(files: Sequence[Path]) -> Names:
    """Names for the values in a few of the label maps: those of Slicer's segments, else ``label 1`` and so on.

    Raises:
        InputError: no label in these files, more values than labels would have, a value that is one segment here and
            another there, or a file that cannot be read.
    """
    names = _common_names(files)
    values = {value for file in few(files) for value in _values(file)}
    if not values:
        raise InputError(f'The label maps, such as "{files[0]}", hold nothing but 0; say by --labels what they hold.')
    if len(values - names.keys()) > _MOST:
        raise InputError(
            f'The label maps, such as "{files[0]}", hold {len(values)} values up to {max(values)}; name each by '
            "--labels, or, if they are masks or numbered objects, use --label-above 0 (127 for JPEG) and one name."
        )
    return {value: names.get(value, f"label {value}") for value in sorted(values | names.keys())}


def check_names(names: Names, files: Sequence[Path]) -> None:
    """Raises InputError where a few of the label maps hold a value without a name."""
    for file in few(files):
        if odd := [value for value in _values(file) if value not in names]:
            raise InputError(
                f'The label map "{file}" holds the value {", ".join(map(str, odd[:5]))}, but the names are those of '
                f"{', '.join(map(str, names))}; name it in --labels, or use --label-above if each file is a mask."
            )


def few(files: Sequence[Path]) -> list[Path]:
    """Some of the files, spread over all."""
    places = np.linspace(0, len(files) - 1, min(_FILES, len(files)))
    return [files[round(place)] for place in places]


def _common_names(files: Sequence[Path]) -> Names:
    """Names by value of the segments in all files."""
    first: dict[int, tuple[str, Path]] = {}
    for file in files:
        for value, name in _segment_names(file).items():
            known, where = first.setdefault(value, (name, file))
            if known != name:
                raise InputError(
                    f'The value {value} is "{known}" in "{where}" but "{name}" in "{file}"; export the segments with '
                    "the same values everywhere (in Slicer: with a color table of labels), or say by --labels what "
                    "the values mean."
                )
    return {value: name for value, (name, _) in first.items()}


def _values(file: Path) -> list[int]:
    return [int(value) for value in np.unique(read_label_map(file).array) if value]


def _segment_names(file: Path) -> Names:
    """Names by value in a ``.seg.nrrd``, which :func:`read_label_map` has found in order; else none."""
    if not file.name.lower().endswith(".seg.nrrd"):
        return {}
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    reader.ReadImageInformation()
    fields = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
    numbers = [key.removesuffix("_LabelValue") for key in fields if key.endswith("_LabelValue")]
    return {int(fields[f"{number}_LabelValue"]): fields.get(f"{number}_Name", number) for number in numbers}
