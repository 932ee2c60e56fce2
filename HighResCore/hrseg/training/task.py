"""What a method tells the training loop: how a sample is made and what the loss is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from hrseg.model_file import Header
from hrseg.training.settings import TrainingSettings


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """A case on the working grid of a model.

    Attributes:
        image: float32 (C, K, J, I), normalised.
        label: uint8 (K, J, I), the model's values.
        annotated: per label, whether it was drawn.
        voxels: per label that occurs, flat indices of (some of) its voxels.
    """

    name: str
    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    annotated: tuple[bool, ...]
    voxels: dict[int, NDArray[np.intp]]


class Task(ABC):
    """One method's training, for one model."""

    header: Header
    settings: TrainingSettings

    @abstractmethod
    def sample(self, case: TrainingCase, rng: np.random.RandomState) -> dict[str, Tensor]:
        """One random training sample of a case; equal states of ``rng`` give equal samples."""

    @abstractmethod
    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """``loss`` and its parts, for the log."""
