from __future__ import annotations

import functools
import importlib.util
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from hrseg.errors import InputError
from hrseg.labels import Code, Terminology
from hrseg.structures import STRUCTURES, Structure, label, structure

GRAY = (127, 127, 127)
MODELS = [
    ("brainstem", "spinal_cord", "parotid_gland_right", "parotid_gland_left", "mandible"),
    ("liver", "liver_lesion", "kidneys", "spine", "vessels"),
    ("liver", "liver_lesion", "kidney_right", "kidney_left", "spine", "aorta"),
    ("hippocampus_anterior", "hippocampus_posterior"),
]


def _code(entry: dict[str, Any]) -> Code:
    return entry["CodingSchemeDesignator"], entry["CodeValue"], entry["CodeMeaning"]


@functools.cache
def _published(name: str) -> dict[str, Any]:
    """A terminology file of Slicer, as the package trame-slicer ships it; found without importing the package."""
    spec = importlib.util.find_spec("trame_slicer")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "resources" / "terminologies" / f"{name}.term.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _entries() -> dict[tuple[str, Code, Code, Code | None], list[int] | None]:
    """Recommended colour, or None, of each (context, category, type, modifier) that Slicer lists."""
    found = {}
    for name in ("SlicerGeneralAnatomy", "DICOM-Master"):
        data = _published(f"SegmentationCategoryTypeModifier-{name}")
        for category in data["SegmentationCodes"]["Category"]:
            for kind in category["Type"]:
                key = data["SegmentationCategoryTypeContextName"], _code(category), _code(kind)
                found[(*key, None)] = kind.get("recommendedDisplayRGBValue")
                for modifier in kind.get("Modifier", []):
                    found[(*key, _code(modifier))] = modifier.get("recommendedDisplayRGBValue")
    return found


LISTED = _entries()
every_structure = pytest.mark.parametrize("entry", STRUCTURES.values(), ids=STRUCTURES.keys())


@every_structure
def test_combination_is_in_the_list_it_names(entry: Structure) -> None:
    codes = entry.terminology
    assert (codes.context, codes.category, codes.type, codes.modifier) in LISTED


@every_structure
def test_general_anatomy_list_comes_first(entry: Structure) -> None:
    codes = entry.terminology
    general = _published("SegmentationCategoryTypeModifier-SlicerGeneralAnatomy")["SegmentationCategoryTypeContextName"]
    if codes.context != general:
        assert (general, codes.category, codes.type, codes.modifier) not in LISTED


@every_structure
def test_region_is_in_the_anatomic_list(entry: Structure) -> None:
    data = _published("AnatomicRegionAndModifier-DICOM-Master")
    assert data["AnatomicContextName"] == entry.terminology.entry.split("~")[4]
    regions = {_code(region) for region in data["AnatomicCodes"]["AnatomicRegion"]}
    assert entry.terminology.region is None or entry.terminology.region in regions


@every_structure
def test_color_is_the_recommended_one_unless_stated(entry: Structure) -> None:
    codes = entry.terminology
    recommended = LISTED[(codes.context, codes.category, codes.type, codes.modifier)]
    assert entry.color != GRAY
    assert all(0 <= c <= 255 for c in entry.color)
    if not entry.own_color:
        assert list(entry.color) == recommended


@pytest.mark.parametrize("names", MODELS, ids=lambda names: names[0])
def test_colors_of_one_model_can_be_told_apart(names: tuple[str, ...]) -> None:
    for a, b in itertools.combinations(names, 2):
        assert sum(abs(x - y) for x, y in zip(structure(a).color, structure(b).color, strict=True)) >= 30, (a, b)


def test_names_are_unique() -> None:
    assert len({entry.name for entry in STRUCTURES.values()}) == len(STRUCTURES)


def test_sides() -> None:
    for key in ("parotid_gland", "kidney"):
        right, left = (structure(f"{key}_{side}").terminology for side in ("right", "left"))
        assert right.type == left.type
        assert right.modifier == ("SCT", "24028007", "Right")
        assert left.modifier == ("SCT", "7771000", "Left")


def test_label_by_hand() -> None:
    made = label(3, "parotid_gland_right", sources=("Parotid_R",))
    assert (made.value, made.name, made.sources) == (3, "right parotid gland", ("Parotid_R",))
    assert made.terminology is not None
    assert made.terminology.entry == (
        "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure"
        "~SCT^45289007^Parotid gland~SCT^24028007^Right~Anatomic codes - DICOM master list~^^~^^"
    )
    assert label(1, "liver", name="Leber").name == "Leber"


def test_entry_has_its_seven_fields_in_order() -> None:
    codes: list[Code] = [("S", str(n), f"meaning {n}") for n in range(5)]
    entry = Terminology(*codes, context="list").entry
    assert entry == (
        "list~S^0^meaning 0~S^1^meaning 1~S^2^meaning 2~Anatomic codes - DICOM master list~S^3^meaning 3~S^4^meaning 4"
    )


def test_unknown_structure_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r'"parotid_right"; use for example parotid_gland_right'):
        structure("parotid_right")
    with pytest.raises(InputError, match="brainstem"):
        label(1, "xyzzy")
