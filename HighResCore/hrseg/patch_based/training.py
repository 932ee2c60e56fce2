"""Training of the baseline: random patches, class-balanced, under Dice and cross-entropy."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from hrseg.errors import ModelError
from hrseg.methods import settings as checked
from hrseg.model_file import Header, Share
from hrseg.patch_based.network import NetworkSettings
from hrseg.training.augmentation import Augment
from hrseg.training.losses import masked_dice_ce
from hrseg.training.sampling import random_patch
from hrseg.training.settings import TrainingSettings
from hrseg.training.task import Task, TrainingCase


class PatchSettings(TrainingSettings):
    """Adds the patch.

    Attributes:
        patch: sides in voxels of the working grid; the window of inference if left out.
        foreground: share of patches centred on a label, each label equally often.
    """

    patch: list[Annotated[int, Field(ge=8, le=512)]] | None = None
    foreground: Share = 0.67


class PatchTask(Task):
    """See :class:`Task`."""

    def __init__(self, header: Header, settings: dict[str, Any]) -> None:
        self.header = header
        self.settings: PatchSettings = checked(PatchSettings, settings, header.name)
        self._patch = self.settings.patch or list(header.inference["window"])
        multiple = checked(NetworkSettings, header.network, header.name).multiple(header.dimension)
        if len(self._patch) != header.dimension or any(p % m for p, m in zip(self._patch, multiple, strict=True)):
            raise ModelError(
                f"The patch {self._patch} must have {header.dimension} sides that are multiples of {multiple}."
            )
        self._augment = Augment(self.settings.augmentation, header, self._patch)

    def sample(self, case: TrainingCase, rng: np.random.RandomState) -> dict[str, Tensor]:
        """See :meth:`Task.sample`: image (C, *patch), label (*patch), annotated (labels,)."""
        patch = self._patch if self.header.dimension == 3 else [1, *self._patch]
        image, label = random_patch(case, patch, self.settings.foreground, rng)
        if self.header.dimension == 2:
            image, label = image[:, 0], label[0]
        image, label, annotated = self._augment(image, label, torch.tensor(case.annotated), rng)
        return {"image": image, "label": label, "annotated": annotated}

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Task.loss`."""
        return masked_dice_ce(network(batch["image"]), batch["label"], batch["annotated"])
