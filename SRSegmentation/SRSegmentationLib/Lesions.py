"""The lesions that were found, as a table node: it is saved with the scene, and exported like any table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import vtk
from slicer.i18n import tr as _

import slicer

_UNIT = "HighResSegmentation.SizeUnit"
_PLACE = ("R (mm)", "A (mm)", "S (mm)")


@dataclass(frozen=True)
class Row:
    """One lesion: see :class:`hrseg.lesions.Lesion`.

    Attributes:
        name: of the lesion.
        size: cubic mm, square mm or pixels; see :func:`sizeUnit`.
        diameter: mm or pixels.
        probability: mean over its voxels.
        center: RAS mm of the volume's own frame.
    """

    name: str
    size: float
    diameter: float
    probability: float
    center: tuple[float, float, float]


def tableFromResult(lesions: Sequence[Mapping[str, Any]], volume: Any, node: Any = None) -> Any:
    """A table node with one row per lesion; ``node``, of an earlier run, is filled anew instead of a new one."""
    from HighResSegmentationLib.Frames import fileBeside, setSource

    name = _("{name} lesions").format(name=volume.GetName())
    if node is None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", slicer.mrmlScene.GenerateUniqueName(name))
        fileBeside(node, volume)
    unit = unitOf(volume)
    # Of a picture's own pixels, also where the mask is finer.
    width, height = volume.GetSpacing()[:2] if unit == "pixels" else (1.0, 1.0)
    columns: dict[str, list[Any]] = {
        "Lesion": [lesion["name"] for lesion in lesions],
        f"{'Volume' if unit == 'mm3' else 'Area'} ({unit})": [lesion["size"] / (width * height) for lesion in lesions],
        f"Longest diameter ({lengthUnit(unit)})": [lesion["diameter"] / width for lesion in lesions],
        "Mean probability": [lesion["probability"] for lesion in lesions],
    }
    columns |= {title: [lesion["center"][axis] for lesion in lesions] for axis, title in enumerate(_PLACE)}
    with slicer.util.NodeModify(node):
        node.RemoveAllColumns()
        for title, values in columns.items():
            node.AddColumn(_column(title, values))
        node.SetAttribute(_UNIT, unit)
        setSource(node, volume)
    return node


def rowsOf(node: Any) -> list[Row]:
    """The lesions in a table node; none where there is no node, or where it was changed beyond recognition."""
    if node is None or node.GetNumberOfColumns() < 4 + len(_PLACE):
        return []
    table = node.GetTable()
    rows = []
    for row in range(table.GetNumberOfRows()):
        name, *numbers = [table.GetValue(row, column) for column in range(4 + len(_PLACE))]
        size, diameter, probability, r, a, s = (number.ToDouble() for number in numbers)
        rows.append(Row(name.ToString(), size, diameter, probability, (r, a, s)))
    return rows


def sizeUnit(node: Any) -> str:
    """ "mm3", of 2D images "mm2"; "pixels" of pictures, which have no size in millimetres."""
    return (node.GetAttribute(_UNIT) if node else None) or "mm3"


def lengthUnit(unit: str) -> str:
    """In what diameters are given where sizes are in ``unit``."""
    return "pixels" if unit == "pixels" else "mm"


def unitOf(volume: Any) -> str:
    """See :func:`sizeUnit`: a single slice that was read from a picture file is a picture."""
    from hrseg.pictures import is_picture

    if volume.GetImageData().GetDimensions()[2] > 1:
        return "mm3"
    storage = volume.GetStorageNode()
    return "pixels" if storage is not None and is_picture(storage.GetFileName() or "") else "mm2"


def jumpToLesion(node: Any, row: int) -> None:
    """Centres the slice views on a lesion."""
    from HighResSegmentationLib.Frames import sourceOf
    from HighResSegmentationLib.Views import jumpTo

    jumpTo(rowsOf(node)[row].center, sourceOf(node))


def sizeText(size: float, unit: str) -> str:
    """A volume or area for people: "812 mm³", "12.3 mL", "45 mm²", "12.3 cm²", "1,234 pixels"."""
    if unit == "pixels":
        return f"{size:,.0f} pixels"
    if unit == "mm2":
        return f"{size:.3g} mm²" if abs(size) < 1000 else f"{size / 100:.1f} cm²"
    return f"{size:.3g} mm³" if abs(size) < 1000 else f"{size / 1000:.1f} mL"


def _column(title: str, values: Sequence[Any]) -> Any:
    array = vtk.vtkStringArray() if title == "Lesion" else vtk.vtkDoubleArray()
    array.SetName(title)
    for value in values:
        array.InsertNextValue(value)
    return array
