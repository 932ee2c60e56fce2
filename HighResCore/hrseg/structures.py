"""The anatomical structures that our models and phantoms segment: names, colours and codes.

Codes are those of Slicer's terminology files, from the General Anatomy list where it has the structure, else from the
DICOM master list. Colours are the recommended ones; where the lists recommend none, or the same one for both sides,
we chose our own (``Structure.own_color``).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from hrseg.errors import InputError
from hrseg.labels import DICOM_MASTER, Code, Label, Terminology

Color = tuple[int, int, int]

_ANATOMY: Code = ("SCT", "123037004", "Anatomical Structure")
_TISSUE: Code = ("SCT", "85756007", "Tissue")
_ALTERED: Code = ("SCT", "49755003", "Morphologically Altered Structure")
_RIGHT: Code = ("SCT", "24028007", "Right")
_LEFT: Code = ("SCT", "7771000", "Left")
_BOTH: Code = ("SCT", "51440002", "Right and left")
_PAROTID: Code = ("SCT", "45289007", "Parotid gland")
_KIDNEY: Code = ("SCT", "64033007", "Kidney")
_HIPPOCAMPUS: Code = ("SCT", "5366008", "Hippocampus")
_MASS: Code = ("SCT", "4147007", "Mass")
_MASS_COLOR: Color = (144, 238, 144)


@dataclass(frozen=True)
class Structure:
    """What a label is called, its colour (red, green, blue, 0 to 255), its codes, and whether we chose the colour."""

    name: str
    color: Color
    terminology: Terminology
    own_color: bool = False


def _anatomy(code: Code, modifier: Code | None = None) -> Terminology:
    return Terminology(_ANATOMY, code, modifier)


def _master(code: Code, modifier: Code | None = None, category: Code = _ANATOMY) -> Terminology:
    return Terminology(category, code, modifier, context=DICOM_MASTER)


def _mass(region: Code | None = None) -> Terminology:
    return Terminology(_ALTERED, _MASS, region=region)


#: Neither list has parts of the hippocampus, nor the skin as a region, nor cells: these entries carry the nearest
#: code that exists, and the name says the rest. White-matter lesions are coded as in multiple sclerosis, where they
#: are inflammations.
STRUCTURES: dict[str, Structure] = {
    "brainstem": Structure("brainstem", (85, 160, 230), _master(("SCT", "119238007", "Brain stem")), own_color=True),
    "spinal_cord": Structure("spinal cord", (244, 214, 49), _anatomy(("SCT", "2748008", "Spinal cord"))),
    "parotid_gland_right": Structure("right parotid gland", (60, 170, 110), _master(_PAROTID, _RIGHT), own_color=True),
    "parotid_gland_left": Structure("left parotid gland", (190, 90, 190), _master(_PAROTID, _LEFT), own_color=True),
    "mandible": Structure("mandible", (222, 198, 101), _anatomy(("SCT", "91609006", "Mandible"))),
    "liver": Structure("liver", (221, 130, 101), _anatomy(("SCT", "10200004", "Liver"))),
    "liver_lesion": Structure("liver lesion", _MASS_COLOR, _mass(("SCT", "10200004", "Liver"))),
    "kidneys": Structure("kidneys", (185, 102, 83), _master(_KIDNEY, _BOTH), own_color=True),
    "kidney_right": Structure("right kidney", (185, 102, 83), _anatomy(_KIDNEY, _RIGHT)),
    "kidney_left": Structure("left kidney", (225, 160, 60), _anatomy(_KIDNEY, _LEFT), own_color=True),
    "spine": Structure("spine", (241, 214, 145), _master(("SCT", "421060004", "Spine")), own_color=True),
    "vessels": Structure(
        "vessels", (0, 151, 206), _master(("SCT", "59820001", "Blood vessel"), category=_TISSUE), own_color=True
    ),
    "aorta": Structure("aorta", (224, 97, 76), _anatomy(("SCT", "15825003", "Aorta"))),
    "left_ventricle": Structure(
        "left ventricle of heart", (152, 55, 13), _anatomy(("SCT", "87878005", "Left Ventricle"))
    ),
    "hippocampus_anterior": Structure("anterior hippocampus", (230, 120, 50), _master(_HIPPOCAMPUS), own_color=True),
    "hippocampus_posterior": Structure("posterior hippocampus", (70, 130, 210), _master(_HIPPOCAMPUS), own_color=True),
    "white_matter_lesion": Structure(
        "white-matter lesion",
        (230, 80, 120),
        Terminology(
            _ALTERED,
            ("SCT", "23583003", "Inflammation"),
            region=("SCT", "389080008", "White Matter"),
            context=DICOM_MASTER,
        ),
        own_color=True,
    ),
    "breast_lesion": Structure("breast lesion", _MASS_COLOR, _mass(("SCT", "76752008", "Breast"))),
    "colon_polyp": Structure("colon polyp", _MASS_COLOR, _mass(("SCT", "71854001", "Colon"))),
    "skin_lesion": Structure("skin lesion", _MASS_COLOR, _mass()),
    "cell_nucleus": Structure("cell nucleus", (128, 174, 128), Terminology(_TISSUE, ("SCT", "85756007", "Tissue"))),
}


def structure(key: str) -> Structure:
    """The structure with this key of :data:`STRUCTURES`.

    Raises:
        InputError: there is none; the message names the nearest ones.
    """
    if key in STRUCTURES:
        return STRUCTURES[key]
    near = difflib.get_close_matches(key, STRUCTURES, n=3) or list(STRUCTURES)
    raise InputError(f'There is no structure "{" ".join(key.split())}"; use for example {", ".join(near)}.')


def label(value: int, key: str, name: str | None = None, sources: tuple[str, ...] = ()) -> Label:
    """The label of voxel value ``value`` for a structure, under its own name unless another one is given.

    Raises:
        InputError: no such structure.
    """
    entry = structure(key)
    return Label(value, name or entry.name, entry.color, entry.terminology, sources)
