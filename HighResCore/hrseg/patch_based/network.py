"""Settings of the baseline's network and of its inference."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from hrseg.blocks import ResidualUNet, begin_with_background
from hrseg.model_file import Header, Strict

Width = Annotated[int, Field(ge=1, le=1024)]
Stride = Annotated[int, Field(ge=1, le=2)]


class NetworkSettings(Strict):
    """A residual U-Net.

    Attributes:
        widths: channels per level, finest first (PFSeg's published encoder has 32, 32, 64, 128, 256).
        strides: pooling between levels, one tuple (per axis) fewer than ``widths``; all 2 when left out.
    """

    widths: Annotated[list[Width], Field(min_length=2, max_length=8)] = [32, 32, 64, 128, 256]
    strides: list[list[Stride]] | None = None

    def all_strides(self, dimension: int) -> list[list[int]]:
        """Strides per level transition and axis."""
        return [[2] * dimension] * (len(self.widths) - 1) if self.strides is None else [list(s) for s in self.strides]

    def multiple(self, dimension: int) -> list[int]:
        """What window sides must be multiples of, per axis."""
        product = [1] * dimension
        for stride in self.all_strides(dimension):
            product = [a * b for a, b in zip(product, stride, strict=True)]
        return product

    def build(self, header: Header) -> ResidualUNet:
        """The network with fresh weights."""
        strides = self.all_strides(header.dimension)
        network = ResidualUNet(header.dimension, len(header.channels), header.classes, self.widths, strides)
        begin_with_background(network.head)
        return network

    def check_strides(self, dimension: int) -> str | None:
        """What is wrong with ``strides`` for this dimension, if anything."""
        strides = self.all_strides(dimension)
        if len(strides) != len(self.widths) - 1 or any(len(s) != dimension for s in strides):
            return f"strides {strides} must be {len(self.widths) - 1} tuples of {dimension} numbers"
        return None


class InferenceSettings(Strict):
    """Overlapping windows.

    Attributes:
        window: sides in voxels of the working grid, (k, j, i) or (j, i).
        overlap: share of a window's side that the next one covers again.
        fit_window: windows longer than the volume are no longer than the network needs for it, instead of the volume
            being padded; for networks that learned from samples made likewise.
    """

    window: Annotated[list[Annotated[int, Field(ge=8, le=1024)]], Field(min_length=2, max_length=3)]
    overlap: Annotated[float, Field(ge=0, le=0.9)] = 0.5
    fit_window: bool = False

    @model_validator(mode="after")
    def _not_huge(self) -> InferenceSettings:
        voxels = 1
        for side in self.window:
            voxels *= side
        if voxels > 2**28:
            raise ValueError(f"a window of {self.window} has more than 2^28 voxels")
        return self
