"""A short list of our models' structures for Slicer's terminology selector, with the colours that results have."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import vtk

import slicer
from hrseg.labels import Code
from hrseg.structures import STRUCTURES, Structure

CONTEXT = "Segmentation category and type - HighResSegmentation"


def loadTerminologies() -> bool:
    """Adds the list to Slicer's terminologies, once; returns whether it is there."""
    logic = slicer.modules.terminologies.logic()
    loaded = vtk.vtkStringArray()
    logic.GetLoadedTerminologyNames(loaded)
    if loaded.LookupValue(CONTEXT) >= 0:
        return True
    # Slicer reads terminologies from files only.
    with tempfile.TemporaryDirectory(prefix="hrseg-") as folder:
        file = Path(folder) / "HighResSegmentation.term.json"
        file.write_text(json.dumps(terminology(STRUCTURES.values())), encoding="utf-8")
        return bool(logic.LoadTerminologyFromFile(str(file)))


def terminology(structures: Any) -> dict[str, Any]:
    """A terminology in the form of Slicer's files: categories, their types, and the modifiers of these.

    Structures that share their codes and differ in the region or in the name alone are one entry, the first one's.
    """
    categories: dict[Code, dict[str, Any]] = {}
    for structure in structures:
        codes = structure.terminology
        category = categories.setdefault(codes.category, {**_code(codes.category), "showAnatomy": "true", "Type": []})
        kind = _found(category["Type"], codes.type)
        if kind is None:
            kind = _code(codes.type)
            category["Type"].append(kind)
        if codes.modifier is None:
            kind.setdefault("recommendedDisplayRGBValue", list(structure.color))
            kind.setdefault("3dSlicerLabel", structure.name)
        elif _found(kind.setdefault("Modifier", []), codes.modifier) is None:
            kind["Modifier"].append(_modifier(structure))
    return {
        "SegmentationCategoryTypeContextName": CONTEXT,
        "@schema": "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/segment-context-schema.json#",
        "SegmentationCodes": {"Category": list(categories.values())},
    }


def _modifier(structure: Structure) -> dict[str, Any]:
    code = _code(structure.terminology.modifier)
    return {**code, "recommendedDisplayRGBValue": list(structure.color), "3dSlicerLabel": structure.name}


def _code(code: Code | None) -> dict[str, Any]:
    scheme, value, meaning = code or ("", "", "")
    return {"CodingSchemeDesignator": scheme, "CodeValue": value, "CodeMeaning": meaning}


def _found(entries: list[dict[str, Any]], code: Code) -> dict[str, Any] | None:
    return next((entry for entry in entries if entry["CodeValue"] == code[1]), None)
