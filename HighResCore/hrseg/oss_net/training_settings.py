"""Settings of the field's training."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from hrseg.model_file import Share, Strict
from hrseg.training.settings import TrainingSettings


class PointSettings(Strict):
    """Which points a sample is learnt from (Reich et al. 2021, and the released code).

    Attributes:
        count: per sample (paper: 16384).
        border: share near borders between labels (paper: 0 for BraTS, 0.5 for LiTS).
        balanced: share drawn from each label equally often.
        reach: voxels that are near (paper: 6).
        between: share that lies between voxels.
        region: at most so many cubes of ``side`` voxels have all points; None: the points lie anywhere.
    """

    count: Annotated[int, Field(ge=64, le=2**20)] = 8192
    border: Share = 0.3
    balanced: Share = 0.2
    reach: Annotated[int, Field(ge=1, le=16)] = 3
    between: Share = 0.25
    region: Annotated[int, Field(ge=1)] | None = 48
    side: Annotated[int, Field(ge=4, le=64)] = 16

    @model_validator(mode="after")
    def _shares_fit(self) -> PointSettings:
        if self.border + self.balanced > 1:
            raise ValueError(f"the shares border {self.border} and balanced {self.balanced} are together more than 1")
        return self


class FieldTraining(TrainingSettings):
    """The ``training`` part of a recipe.

    Attributes:
        patch: sides of a sample in voxels of the working grid; the window of inference if left out.
        foreground: share of samples centred on a label, where volumes are larger than that.
        finer: training label maps are so many times finer than their images, so that the field learns where borders
            lie within a voxel.
        points: which ones.
        prior: weight of the loss of the context alone (paper's auxiliary loss: 0.1).
    """

    patch: Annotated[list[Annotated[int, Field(ge=8, le=512)]], Field(min_length=2, max_length=3)] | None = None
    foreground: Share = 0.67
    finer: Annotated[int, Field(ge=1, le=8)] = 1
    points: PointSettings = PointSettings()
    prior: Annotated[float, Field(ge=0, le=10)] = 0.3
