"""Settings of the cascade's inference, and whether they fit its networks."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from hrseg.crop_cascade.network import NetworkSettings
from hrseg.model_file import Header, Share, Strict

Side = Annotated[int, Field(ge=16, le=1024)]


class InferenceSettings(Strict):
    """Settings of the cascade (Benčević et al. 2023).

    Attributes:
        size: sides of both networks' input, (k, j, i) or (j, i).
        variant: ``cascade`` is ours (C6); ``paper`` the published procedure (C1, C4): nearest-neighbour resizing, a
            padding of an eighth of ``size`` in pixels, boxes that leave the image dropped, masks joined by OR.
            ``plain`` and ``paper_plain`` are the coarse network alone: what the cascade is measured against.
        threshold: of the coarse probability; below 0.5 favours recall. The published variants have 0.5.
        context: added around an object, as a share of its longest side; at least an eighth of ``size`` in voxels.
        smallest: components of fewer voxels than this share of the image (at least 16) are ignored.
        shrink: how many times, at most, a crop is shrunk to the network's input. An object too large for that, as where
            many touch, is covered by several crops. None: one crop per object, however large.
        most: at most so many objects, the largest, are looked at closely; the others stay as the coarse network saw
            them.
        split: where asked which object is which, proposed objects that touch are told apart, see
            :func:`hrseg.crop_cascade.touching.split_touching`, whose depth this is. None: each box is one object.
        merge: overlapping crops are joined by a Gaussian-weighted ``mean`` of probabilities, or by their ``max``.
        batch: crops that the fine network sees at once.
    """

    size: Annotated[list[Side], Field(min_length=2, max_length=3)]
    variant: Literal["cascade", "plain", "paper", "paper_plain"] = "cascade"
    threshold: Share = 0.4
    context: Annotated[float, Field(ge=0, le=2)] = 0.15
    smallest: Share = 1e-5
    shrink: Annotated[float, Field(ge=1)] | None = None
    most: Annotated[int, Field(ge=1, le=10_000)] = 1000
    split: Annotated[float, Field(gt=0, le=100)] | None = None
    merge: Literal["mean", "max"] = "mean"
    batch: Annotated[int, Field(ge=1, le=256)] = 16

    @property
    def sides(self) -> list[int]:
        """(k, j, i) sides of the networks' input; 1 along k for 2D."""
        return [1, *self.size] if len(self.size) == 2 else list(self.size)

    @property
    def published(self) -> bool:
        """Whether resizing, boxes and merging follow the published code."""
        return self.variant.startswith("paper")

    @property
    def coarse_only(self) -> bool:
        """Whether the coarse network's mask is the result."""
        return self.variant.endswith("plain")


def unfit(network: NetworkSettings, inference: InferenceSettings, header: Header) -> str | None:
    """Why these settings cannot go together, for the user; None if they can."""
    multiple = math.lcm(network.coarse.multiple, network.fine.multiple)
    if len(inference.size) != header.dimension or any(side % multiple for side in inference.size):
        return f"the size {inference.size} must have {header.dimension} sides that are multiples of {multiple}"
    if inference.published and header.classes > 2:
        return f'the variant "{inference.variant}" knows one label, not {header.classes - 1}'
    return None
