"""Settings of SASR-Net's network and of its inference."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from operator import mul
from typing import Annotated, Literal

from pydantic import Field

from hrseg.model_file import Header, Share, Strict

Width = Annotated[int, Field(ge=2, le=1024)]
Stride = Annotated[int, Field(ge=1, le=2)]
Factor = Literal[1, 2, 4]
Dilation = Annotated[int, Field(ge=1, le=16)]
Side = Annotated[int, Field(ge=8, le=2048)]


class NetworkSettings(Strict):
    """The network (Luo et al. 2024). With the defaults but ``head: interpolate`` it is the released one.

    Attributes:
        widths: channels per level, finest first.
        strides: pooling between levels, one (per axis) list fewer than ``widths``; all 2 when left out.
        factors: how many times finer the mask is than what the network sees, per axis; all 2 when left out. All 1 is a
            network at the image's own resolution, what super-resolution is measured against.
        sr: with the decoder that super-resolves the image, which helps in training and is left out for masks.
        sdc: scale-aware dilated convolutions in the decoders; plain double convolutions without.
        dilations: of their paths, in voxels of the finest axis.
        path_divisor: each path has this part of the level's channels; 1 as released.
        head: how masks become finer: by ``learned`` layers, or by interpolation alone, as released.
        early: the image is interpolated to the fine grid first, and the network works there: what learning from
            low resolution is measured against where no finer images exist.
        projection: channels of the segmentation's features when compared with those of the image decoder.
        dropout: of whole channels, in training.
    """

    widths: Annotated[list[Width], Field(min_length=2, max_length=7)] = [32, 64, 128, 256]
    strides: list[list[Stride]] | None = None
    factors: list[Factor] | None = None
    sr: bool = True
    sdc: bool = True
    dilations: Annotated[list[Dilation], Field(min_length=1, max_length=6)] = [1, 2, 5]
    path_divisor: Literal[1, 2, 4] = 1
    head: Literal["learned", "interpolate"] = "learned"
    early: bool = False
    projection: Annotated[int, Field(ge=1, le=256)] = 16
    dropout: Share = 0.1

    def paths(self, dimension: int) -> list[str]:
        """Widths of the scale-aware paths in voxels of what the network sees, finest level first; none without them.

        Each level doubles them, so that all differ: 1, 3, 5, 11, then 2, 6, 10, 22, then 4, 12, 20, 44.
        """
        widths = [1, *(2 * d + 1 for d in self.dilations)] if self.sdc else []
        below = [1, *(max(stride) for stride in self.all_strides(dimension)[:-1])]
        return [str(step * width) for step in accumulate(below, mul) for width in widths]

    def all_strides(self, dimension: int) -> list[list[int]]:
        """Strides per level transition and axis."""
        return [[2] * dimension] * (len(self.widths) - 1) if self.strides is None else [list(s) for s in self.strides]

    def all_factors(self, dimension: int) -> list[int]:
        """Super-resolution factor per axis."""
        return [2] * dimension if self.factors is None else list(self.factors)

    def multiple(self, dimension: int) -> list[int]:
        """What sides of the network's input must be multiples of, per axis."""
        product = [1] * dimension
        for stride in self.all_strides(dimension):
            product = [a * b for a, b in zip(product, stride, strict=True)]
        return product

    def level_dilations(self, header: Header) -> list[list[list[int]]]:
        """Dilation per level (finest first), path and axis: smaller along axes of coarser voxels."""
        spacing = (header.preprocessing.spacing or (1.0, 1.0, 1.0))[3 - header.dimension :]
        levels = []
        for stride in [[1] * header.dimension, *self.all_strides(header.dimension)]:
            spacing = tuple(a * b for a, b in zip(spacing, stride, strict=True))
            levels.append([[max(1, round(d * min(spacing) / s)) for s in spacing] for d in self.dilations])
        return levels

    def problem(self, dimension: int) -> str | None:
        """What does not fit a model of this dimension, if anything."""
        strides, factors = self.all_strides(dimension), self.all_factors(dimension)
        if len(strides) != len(self.widths) - 1 or any(len(s) != dimension for s in strides):
            return f"strides {strides} must be {len(self.widths) - 1} lists of {dimension} numbers"
        if len(factors) != dimension:
            return f"factors {factors} must be {dimension} numbers"
        if max(factors) == 1 and (self.sr or self.early):
            return f"with the factors {factors} there is nothing to super-resolve: sr and early must be false"
        return None


class InferenceSettings(Strict):
    """How images are segmented.

    Attributes:
        feeds: what the network sees where a mask at the image's resolution is wanted: the image ``shrunk`` by the
            factors, as where it was trained on shrunk images (so the mask comes out at that resolution), or the image
            itself, ``native``, and the finer mask's probabilities are averaged. Finer masks always need the image
            itself.
        size: an image is resized to so many voxels, (j, i) or (k, j, i), before: for pictures without a physical
            scale, which the network knows at one size only.
        window: sides of overlapping windows of what the network sees, where memory does not suffice for all at once.
        overlap: share of a window's side that the next one covers again.
    """

    feeds: Literal["native", "shrunk"] = "native"
    size: Annotated[list[Side], Field(min_length=2, max_length=3)] | None = None
    window: Annotated[list[Side], Field(min_length=2, max_length=3)]
    overlap: Annotated[float, Field(ge=0, le=0.9)] = 0.25

    def blocks(self, factors: Sequence[int]) -> list[int]:
        """Of so many voxels per axis means are taken where images are resized, given the network's factors.

        A native network learns super-resolution from images that were shrunk so.
        """
        return list(factors) if self.feeds == "native" else [1] * len(factors)

    def problem(self, network: NetworkSettings, dimension: int) -> str | None:
        """What does not fit a network or a dimension, if anything."""
        multiple = network.multiple(dimension)
        if len(self.window) != dimension or any(w % m for w, m in zip(self.window, multiple, strict=False)):
            return f"the window {self.window} must have {dimension} sides that are multiples of {multiple}"
        if self.size is not None and len(self.size) != dimension:
            return f"the size {self.size} must have {dimension} sides"
        return None
