"""Settings of the field's networks and of its inference."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hrseg.geometry import Vector
from hrseg.model_file import Header, Share, Strict
from hrseg.windows import window_problem

Width = Annotated[int, Field(ge=1, le=1024)]
Stride = Literal[1, 2, 4, 8, 16]
Side = Annotated[int, Field(ge=4, le=512)]
Activation = Literal["leaky_relu", "pade"]


class FieldSettings(Strict):
    """Our own network; see :class:`hrseg.oss_net.network.FieldNetwork`.

    Attributes:
        strides: voxels of the working grid per context node, (k, j, i) or (j, i); 4 along each axis if left out.
        widths: channels of the context U-Net per level, finest first.
        features: context features that a point is given.
        local: channels of the convolutions at full resolution.
        kernel: their width.
        hidden, blocks: width and residual blocks of the decoder.
        activation: of convolutions at full resolution and of the decoder.
    """

    strides: Annotated[list[Stride], Field(min_length=2, max_length=3)] | None = None
    widths: Annotated[list[Width], Field(min_length=2, max_length=6)] = [16, 32, 64, 128]
    features: Width = 24
    local: Annotated[list[Width], Field(min_length=1, max_length=4)] = [16]
    kernel: Literal[3, 5, 7] = 5
    hidden: Width = 64
    blocks: Annotated[int, Field(ge=1, le=8)] = 2
    activation: Activation = "leaky_relu"

    def all_strides(self, dimension: int) -> list[int]:
        """Strides (k, j, i); 1 along k in 2D."""
        strides: list[int] = [4] * dimension if self.strides is None else list(self.strides)
        return [1, *strides] if dimension == 2 else strides

    def multiple(self, dimension: int) -> list[int]:
        """What the sides that the network sees are multiples of, (k, j, i); 1 along k in 2D."""
        factor = 2 ** (len(self.widths) - 1)
        multiple = [n * factor for n in self.all_strides(dimension)]
        return [1, *multiple[1:]] if dimension == 2 else multiple


class PublishedSettings(Strict):
    """The networks of the paper; see :class:`hrseg.oss_net.published.PublishedNetwork`.

    Attributes:
        sides: (k, j, i) that every volume is resized to for the encoder (paper: half the padded volume).
        widths: channels of the encoder's blocks, each of which halves the sides.
        hidden: width of the decoder (paper: 512; the narrow O-Net 256).
    """

    sides: Annotated[list[Side], Field(min_length=3, max_length=3)] = [128, 128, 80]
    widths: Annotated[list[Width], Field(min_length=1, max_length=6)] = [16, 32, 64, 128]
    hidden: Width = 512


class NetworkSettings(Strict):
    """Which network.

    Attributes:
        variant: ``field`` is ours; the others have the paper's names.
        field: of ours.
        published: of the paper's.
    """

    variant: Literal["field", "O-Net", "A", "B", "C", "D"] = "field"
    field: FieldSettings = FieldSettings()
    published: PublishedSettings = PublishedSettings()

    def problem(self, dimension: int, window: list[int] | None = None) -> str | None:
        """What does not fit together, or to the window of inference, if anything."""
        if self.variant == "field":
            if len(self.field.all_strides(dimension)) != 3:
                return f"the strides {self.field.strides} must be {dimension} numbers"
            return window_problem(window, self.field.multiple(dimension)[-dimension:], dimension) if window else None
        if window:
            return f"the variant {self.variant} sees volumes as wholes, not in windows of {window}"
        if dimension != 3:
            return f"the variant {self.variant} is for 3D images only"
        factor = 2 ** len(self.published.widths)
        if any(side % factor for side in self.published.sides):
            return f"the sides {self.published.sides} must be multiples of {factor}"
        return None


class InferenceSettings(Strict):
    """How the image becomes a field, and how a label map is read from it.

    Attributes:
        window: sides in voxels of the working grid, (k, j, i) or (j, i), of overlapping windows in which the context is
            computed and blended, and of the patches of training; a network that normalises over what it sees knows
            no larger part. The whole volume at once if left out.
        overlap: share of a window's side that the next one covers again.
        evaluation: ``boundary`` looks closely only where labels meet; ``dense`` at every voxel; ``released`` is the
            paper's code: strides 4, 2, 1, growing from what is found, all of the interior.
        strides: first strides of ``boundary``, (k, j, i) output voxels, powers of two; chosen by the spacing if left
            out.
        prior_threshold: a place is settled where the encoder alone gives one label at least 1 minus this.
        margin: a place is unsure where the two most probable labels are closer than this.
        found: where the encoder gives a label at least this, it is looked for at full resolution.
        chunk: points that the decoder sees at once.
    """

    window: Annotated[list[Side], Field(min_length=2, max_length=3)] | None = None
    overlap: Annotated[float, Field(ge=0, le=0.9)] = 0.5
    evaluation: Literal["boundary", "dense", "released"] = "boundary"
    strides: Annotated[list[Literal[1, 2, 4, 8, 16, 32]], Field(min_length=3, max_length=3)] | None = None
    prior_threshold: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    margin: Share = 0.2
    found: Annotated[float, Field(gt=0, le=1)] = 0.3
    chunk: Annotated[int, Field(ge=64, le=2**20)] = 16384


def told_spacing(header: Header, spacing: Vector) -> Vector:
    """What the field's network is told of a working grid with this spacing, mm (k, j, i).

    In 2D not how thick the slice is, and nothing where the model works at any spacing: pictures name one for printing.
    """
    if header.dimension == 3:
        return spacing
    return (1.0, *spacing[1:]) if header.preprocessing.spacing else (1.0, 1.0, 1.0)
