"""What a model of PFSeg or SASR-Net can do, read from its header alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from hrseg.geometry import Grid

METHODS = ("pfseg", "sasr")
_TITLES = {
    "pfseg": _("PFSeg: the whole image at once, with a guidance crop in full resolution"),
    "sasr": _("SASR-Net: lesions of all sizes, by networks that learned to restore resolution"),
}


@dataclass(frozen=True)
class ModelFacts:
    """Of one model.

    Attributes:
        method: "pfseg" or "sasr".
        factors: how many times finer a fine result is, (k, j, i) in the model's orientation.
        orientation: directions of its i, j, k; "" for any.
        superResolves: it can make the super-resolved image.
        usesCrop: it looks at a guidance crop.
    """

    method: str
    factors: tuple[int, int, int]
    orientation: str = ""
    superResolves: bool = False
    usesCrop: bool = False

    @classmethod
    def of(cls, header: Mapping[str, Any]) -> ModelFacts:
        """From a header; what it leaves out has the core's defaults (a test compares)."""
        method, network = str(header["method"]), header.get("network") or {}
        given = network.get("factor" if method == "pfseg" else "factors") or [2] * int(header["dimension"])
        k, j, i = [1] * (3 - len(given)) + [int(f) for f in given]
        return cls(
            method=method,
            factors=(k, j, i),
            orientation=str((header.get("preprocessing") or {}).get("orientation") or ""),
            superResolves=bool(network.get("super_resolution" if method == "pfseg" else "sr", True)),
            usesCrop=method == "pfseg" and _usesCrop(network, header.get("inference") or {}),
        )

    @property
    def title(self) -> str:
        """The method in words."""
        return _TITLES[self.method]

    @property
    def findsLesions(self) -> bool:
        """Its result is a list of lesions."""
        return self.method == "sasr"

    @property
    def makesFiner(self) -> bool:
        """It can make a result finer than the image."""
        return max(self.factors) > 1

    def finer(self, grid: Grid) -> Grid:
        """The grid of a fine result for an image on ``grid``."""
        if not self.orientation:
            return grid.finer(self.factors)
        change = grid.reorientation(self.orientation)
        return grid.finer([self.factors[axis] for axis in change.inverse.axes])


def _usesCrop(network: Mapping[str, Any], inference: Mapping[str, Any]) -> bool:
    return network.get("guidance_widths", True) != [] and inference.get("guidance") != "none"
