"""What is measured: the names of the scores, their units, and which direction is good."""

from __future__ import annotations

from dataclasses import dataclass

from hrseg.errors import InputError


@dataclass(frozen=True)
class Measure:
    """One score of a label in a case.

    Attributes:
        title: heading in tables.
        digits: decimals in tables.
        higher_is_better: False for errors and distances.
        signed: the sign tells the direction of an error; it is dropped before averaging and comparing.
    """

    title: str
    digits: int = 3
    higher_is_better: bool = True
    signed: bool = False

    def size(self, value: float | None) -> float | None:
        """What is averaged and compared: the value, without the sign of an error."""
        return abs(value) if self.signed and value is not None else value


#: By their key in ``metrics.json``, in the order of tables. The last five exist only where objects are counted.
MEASURES = {
    "dice": Measure("Dice"),
    "iou": Measure("IoU"),
    "recall": Measure("Recall"),
    "precision": Measure("Precision"),
    "surface_dice": Measure("Surface Dice (1 voxel)"),
    "hd95_mm": Measure("HD95 (mm)", 2, higher_is_better=False),
    "volume_error_ml": Measure("|Volume error| (ml)", 2, higher_is_better=False, signed=True),
    "volume_error_percent": Measure("|Volume error| (%)", 1, higher_is_better=False, signed=True),
    "object_f1": Measure("Object F1"),
    "object_recall": Measure("Object recall"),
    "object_precision": Measure("Object precision"),
    "instance_ap50": Measure("Instance AP50"),
    "instance_f1": Measure("Instance F1"),
}


def title(key: str, unit: str = "mm") -> str:
    """Heading of a measure, where lengths are in ``unit``: "mm", or "pixels" of pictures, which have no millimeters.

    A milliliter, 1000 cubic mm, is then 1000 pixels.
    """
    text = MEASURES[key].title
    return text if unit == "mm" else text.replace("mm", unit).replace("ml", f"1000 {unit}").replace("Volume", "Area")


def measure(key: str) -> Measure:
    """The measure of this key.

    Raises:
        InputError: there is none.
    """
    if key not in MEASURES:
        raise InputError(f'There is no metric "{key}"; choose one of {", ".join(MEASURES)}.')
    return MEASURES[key]
