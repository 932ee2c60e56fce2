"""What a method tells the training loop: how a sample is made and what the loss is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from hrseg.geometry import Shape, Vector
from hrseg.methods import method_class
from hrseg.model_file import Header
from hrseg.training.settings import TrainingSettings

if TYPE_CHECKING:
    from hrseg.training.cases import ValidationCase


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """A case on the working grid of a model.

    Attributes:
        image: float32 (C, K, J, I), normalised.
        label: uint8 (K, J, I), the model's values. Finer than the image by :attr:`Task.finer` where the truth is finer.
        annotated: per label, whether it was drawn.
        voxels: per label that occurs, flat indices of (some of) its voxels.
        spacing: of the image in mm, (k, j, i); None where nobody needs it.
    """

    name: str
    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    annotated: tuple[bool, ...]
    voxels: dict[int, NDArray[np.intp]]
    spacing: Vector | None = None


class Task(ABC):
    """One stage of a method's training; most methods have one.

    Attributes:
        name: of the stage, and of its folder; empty where it is the only one.
        header: of the model that validates it.
        settings: its own, such as its number of steps.
        finer: how many times finer than the images, (k, j, i), it wants label maps whose files are finer.
        step: optimiser steps done so far, told by the loop before each loss.
    """

    name: str = ""
    header: Header
    settings: TrainingSettings
    finer: Shape = (1, 1, 1)
    step: int = 0

    def begin(self, trained: dict[str, nn.Module], cases: list[TrainingCase]) -> tuple[nn.Module, list[TrainingCase]]:
        """The network to train and the cases to sample from.

        Args:
            trained: the networks of earlier stages, by the stages' names.
            cases: all training cases.
        """
        return method_class(self.header.method).build(self.header), cases

    def parameters(self, network: nn.Module) -> list[dict[str, Any]]:
        """Groups of ``params`` as torch's optimisers take them; a group may have a learning rate ``lr`` of its own."""
        return [{"params": list(network.parameters())}]

    def whole(self, network: nn.Module) -> nn.Module:
        """The model's network, of which the trained ``network`` may be a part."""
        return network

    @abstractmethod
    def sample(self, case: TrainingCase, rng: np.random.RandomState) -> dict[str, Tensor]:
        """One random training sample of a case; equal states of ``rng`` give equal samples.

        Returns:
            Tensors by name, without a batch axis, such as "image" (C, *patch) and "label" (*patch); the loop stacks
            those of a batch.
        """

    @abstractmethod
    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """``loss``, a scalar, and its parts, for the log; ``batch`` is what :meth:`sample` gave, (N, ...)."""

    def observe(self, network: nn.Module, case: ValidationCase) -> dict[str, float]:
        """What else is logged of a validation case; a mean is taken over the cases that have a value."""
        return {}
