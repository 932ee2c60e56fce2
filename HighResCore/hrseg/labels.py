"""What a label value means: name, colour and terminology, in the form that Slicer stores with a segment."""

from __future__ import annotations

from dataclasses import dataclass

Code = tuple[str, str, str]
#: Slicer's two lists of categories and types; an entry is found only under the name of the list that holds it.
GENERAL_ANATOMY = "Segmentation category and type - 3D Slicer General Anatomy list"
DICOM_MASTER = "Segmentation category and type - DICOM master list"
_REGION_CONTEXT = "Anatomic codes - DICOM master list"


@dataclass(frozen=True)
class Terminology:
    """Codes of a structure, each (scheme, value, meaning) as in Slicer's terminology files."""

    category: Code
    type: Code
    modifier: Code | None = None
    region: Code | None = None
    region_modifier: Code | None = None
    context: str = GENERAL_ANATOMY

    @property
    def entry(self) -> str:
        """Slicer's one-line form: seven fields separated by ``~``, the parts of a code by ``^``."""
        codes = [self.category, self.type, self.modifier]
        region = [self.region, self.region_modifier]
        return "~".join([self.context, *map(_join, codes), _REGION_CONTEXT, *map(_join, region)])


@dataclass(frozen=True)
class Label:
    """One structure of a label map.

    Attributes:
        value: voxel value, 1 or more (0 is the background).
        name: what users read.
        color: red, green, blue, 0 to 255.
        terminology: codes from Slicer's lists.
        sources: names in data lists that count as this label when training and evaluating; its own name if empty.
    """

    value: int
    name: str
    color: tuple[int, int, int]
    terminology: Terminology | None = None
    sources: tuple[str, ...] = ()


def _join(code: Code | None) -> str:
    return "^".join(code or ("", "", ""))
