"""What a method tells the training loop: how a sample is made and what the loss is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from hrseg.methods import method_class
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
    """One stage of a method's training; most methods have one.

    Attributes:
        name: of the stage, and of its folder; empty where it is the only one.
        header: of the model that validates it.
        settings: its own, such as its number of steps.
    """

    name: str = ""
    header: Header
    settings: TrainingSettings

    def begin(self, trained: dict[str, nn.Module], cases: list[TrainingCase]) -> tuple[nn.Module, list[TrainingCase]]:
        """The network to train and the cases to sample from.

        Args:
            trained: the networks of earlier stages, by the stages' names.
            cases: all training cases.
        """
        return method_class(self.header.method).build(self.header), cases

    def whole(self, network: nn.Module) -> nn.Module:
        """The model's network, of which the trained ``network`` may be a part."""
        return network

    @abstractmethod
    def sample(self, case: TrainingCase, rng: np.random.RandomState) -> dict[str, Tensor]:
        """One random training sample of a case; equal states of ``rng`` give equal samples."""

    @abstractmethod
    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """``loss`` and its parts, for the log."""
