"""Our structures in Slicer's terminologies."""

from __future__ import annotations

from typing import Any

import pytest
import vtk
from slicer_env import slicer

from HighResSegmentationLib.Terminologies import CONTEXT, loadTerminologies, terminology
from hrseg.structures import STRUCTURES


@pytest.fixture
def logic(scene: Any) -> Any:
    assert loadTerminologies()
    return slicer.modules.terminologies.logic()


def test_loaded_once(logic: Any) -> None:
    assert loadTerminologies()
    names = vtk.vtkStringArray()
    logic.GetLoadedTerminologyNames(names)
    assert [names.GetValue(n) for n in range(names.GetNumberOfValues())].count(CONTEXT) == 1


@pytest.mark.parametrize("key", sorted(STRUCTURES))
def test_structure_is_found_by_its_codes(key: str, logic: Any) -> None:
    codes = STRUCTURES[key].terminology
    ids = [part for code in (codes.category, codes.type, codes.modifier or ("", "")) for part in code[:2]]
    assert list(logic.FindTerminologyNames(*ids, [CONTEXT])) == [CONTEXT]


@pytest.mark.parametrize("key", sorted(STRUCTURES))
def test_names_have_our_colors(key: str, logic: Any) -> None:
    codes, entry = STRUCTURES[key].terminology, slicer.vtkSlicerTerminologyEntry()
    # Lesions share one type and differ in the region, the parts of the hippocampus in nothing but the name.
    same = [
        s for s in STRUCTURES.values() if (s.terminology.type, s.terminology.modifier) == (codes.type, codes.modifier)
    ]
    assert logic.FindTypeInTerminologyBy3dSlicerLabel(CONTEXT, same[0].name, entry)
    kind = entry.GetTypeModifierObject() if codes.modifier else entry.GetTypeObject()
    assert tuple(kind.GetRecommendedDisplayRGBValue()) == same[0].color
    assert kind.GetCodeValue() == (codes.modifier or codes.type)[1]


def test_structure_is_found_by_its_name(logic: Any) -> None:
    entry = slicer.vtkSlicerTerminologyEntry()
    assert logic.FindTypeInTerminologyBy3dSlicerLabel(CONTEXT, "left parotid gland", entry)
    assert entry.GetTypeObject().GetCodeMeaning() == "Parotid gland"
    assert entry.GetTypeModifierObject().GetCodeMeaning() == "Left"


def test_each_type_once() -> None:
    content = terminology(STRUCTURES.values())["SegmentationCodes"]["Category"]
    types = [(category["CodeValue"], kind["CodeValue"]) for category in content for kind in category["Type"]]
    assert len(types) == len(set(types))
    assert set(types) == {(s.terminology.category[1], s.terminology.type[1]) for s in STRUCTURES.values()}
