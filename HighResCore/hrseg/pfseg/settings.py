"""Settings of PFSeg's network and of its inference."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from hrseg.model_file import Strict

Width = Annotated[int, Field(ge=1, le=1024)]
Stride = Annotated[int, Field(ge=1, le=2)]
Factor = Literal[1, 2, 4]


class NetworkSettings(Strict):
    """The network (Wang et al. 2021). The defaults are the published ones.

    Attributes:
        widths: channels per level of the encoder, finest first.
        strides: pooling between levels, one tuple (per axis) fewer than ``widths``; all 2 when left out.
        factor: how many times finer the output is than the input, per axis; 2 everywhere when left out. 1 suits the
            axis of thick slices.
        tail_width: channels of the stages beyond the input's resolution.
        guidance_widths: channels per level of the branch that sees the guidance crop, one fewer than ``widths``; empty
            for a network without it.
        block: of the encoders: ``plain`` (MICCAI 2021) or ``multi_kernel`` (the extended version).
        super_resolution: whether there is a decoder that rebuilds the high-resolution image, too.
        tell_place: also tell the bottleneck where the guidance crop was.
        image_widths: channels per level of the decoder that rebuilds the image, one fewer than ``widths``; those of the
            encoder when left out.
        residual_image: that decoder gives what is added to the enlarged input, nothing at first. Not published.
        low_head: the mask has a first version at the input's resolution, from a last layer of its own, which is
            enlarged; the stages beyond say what is added to it. With ``low_steps`` of training it is what these have
            learned. Not published.
    """

    widths: Annotated[list[Width], Field(min_length=2, max_length=8)] = [32, 32, 64, 128, 256]
    strides: list[list[Stride]] | None = None
    factor: list[Factor] | None = None
    tail_width: Width = 16
    guidance_widths: list[Width] = [16, 32, 64, 64]
    block: Literal["plain", "multi_kernel"] = "plain"
    super_resolution: bool = True
    image_widths: list[Width] | None = None
    residual_image: bool = False
    tell_place: bool = False
    low_head: bool = False

    def all_strides(self, dimension: int) -> list[list[int]]:
        """Strides per level transition and axis."""
        return [[2] * dimension] * (len(self.widths) - 1) if self.strides is None else [list(s) for s in self.strides]

    def all_factors(self, dimension: int) -> list[int]:
        """How many times finer the output is, per axis."""
        return [2] * dimension if self.factor is None else list(self.factor)

    def tail_strides(self, dimension: int) -> list[list[int]]:
        """Strides of the stages beyond the input's resolution, in order: (2, 4) needs [2, 2], then [1, 2]."""
        factors = self.all_factors(dimension)
        return [[2 if f > 2**stage else 1 for f in factors] for stage in range(int(math.log2(max(factors))))]

    def multiple(self, dimension: int) -> list[int]:
        """What the sides of the low-resolution input must be multiples of, per axis."""
        return [math.prod(column) for column in zip(*self.all_strides(dimension), strict=True)]

    def guidance_shape(self, low: list[int]) -> list[int]:
        """Sides of the guidance crop, in high-resolution voxels, for an input of the sides ``low``."""
        return [n // s for n, s in zip(low, self.all_strides(len(low))[0], strict=True)]

    def problem(self, dimension: int) -> str | None:
        """What does not fit this dimension, if anything."""
        strides, factors = self.all_strides(dimension), self.all_factors(dimension)
        if len(strides) != len(self.widths) - 1 or any(len(s) != dimension for s in strides):
            return f"strides {strides} must be {len(self.widths) - 1} tuples of {dimension} numbers"
        if len(factors) != dimension or max(factors) == 1:
            return f"factor {factors} must be {dimension} numbers, at least one of them above 1"
        if self.guidance_widths and len(self.guidance_widths) != len(self.widths) - 1:
            return f"guidance_widths {self.guidance_widths} must be {len(self.widths) - 1} numbers, or none"
        if self.image_widths is not None and len(self.image_widths) != len(self.widths) - 1:
            return f"image_widths {self.image_widths} must be {len(self.widths) - 1} numbers"
        if self.block == "multi_kernel" and any(w % 2 for w in (*self.widths, *self.guidance_widths)):
            return f"widths {self.widths} and {self.guidance_widths} of multi-kernel blocks must be even"
        return None


class InferenceSettings(Strict):
    """How a volume is segmented.

    Attributes:
        guidance: how the place of the guidance crop is chosen (see :mod:`hrseg.pfseg.guidance`); ``none``: without one.
        precision: of the network on the CPU. ``bfloat16`` takes about half the time on processors that know it, and
            changes voxels at the borders of the mask.
    """

    guidance: Literal["variance", "spiral", "center", "random", "none"] = "variance"
    precision: Literal["float32", "bfloat16"] = "float32"
