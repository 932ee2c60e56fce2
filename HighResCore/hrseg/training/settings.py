"""Settings of training that all methods share; a method adds its own by sub-classing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hrseg.model_file import Share, Strict

Direction = Literal["left-right", "anterior-posterior", "superior-inferior", "horizontal", "vertical"]


class Augmentation(Strict):
    """Random changes of the high-resolution sample; every other resolution is derived from the changed one.

    Attributes:
        rotation: largest angle in degrees: one, or in 3D one about each of k, j and i.
        scale: largest relative change of size.
        mirror: directions that may be mirrored. Models with an orientation name anatomical ones, where left-right swaps
            ``paired_labels``; the others name horizontal and vertical.
        paired_labels: names of labels that mirroring left-right exchanges.
        noise, blur, brightness, contrast, gamma: strengths on normalised grey values; 0 is off.
        probability: of each grey-value change.
    """

    rotation: Annotated[list[Annotated[float, Field(ge=0, le=180)]], Field(min_length=1, max_length=3)] = [15.0]
    scale: Share = 0.15
    mirror: list[Direction] = []
    paired_labels: list[tuple[str, str]] = []
    noise: Share = 0.05
    blur: Annotated[float, Field(ge=0, le=5)] = 0.8
    brightness: Share = 0.1
    contrast: Share = 0.2
    gamma: Share = 0.2
    probability: Share = 0.2


class TrainingSettings(Strict):
    """The ``training`` part of a recipe.

    Attributes:
        steps: optimiser steps in all.
        batch_size: samples per step and device.
        learning_rate: at its highest; linear warm-up, then polynomial decay to zero.
        average: decay of the running average of weights that is validated and kept; 0 is off.
        validation_every: steps between validations; the best one is kept.
        precision: Lightning's name; ``bf16-mixed`` is about twice as fast on recent CPUs and GPUs.
    """

    steps: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)] = 2
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 1e-4
    warmup: Annotated[int, Field(ge=0)] = 50
    average: Annotated[float, Field(ge=0, lt=1)] = 0.995
    validation_every: Annotated[int, Field(ge=1)] = 250
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "bf16-mixed"
    augmentation: Augmentation = Augmentation()
