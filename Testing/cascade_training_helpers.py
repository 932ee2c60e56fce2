"""Tasks of training a small cascade, cases for them and a network that finds the same everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hrseg.crop_cascade.training import FineTask, cascade_tasks
from hrseg.methods import method_class
from hrseg.model_file import Header
from hrseg.training.task import TrainingCase
from model_helpers import cascade_header

#: No random change at all.
STILL = {"rotation": [0], "scale": 0, "noise": 0, "blur": 0, "brightness": 0, "contrast": 0, "gamma": 0}
NARROW = {"width": 2, "depth": 1}


def header(dimension: int = 2, fine: dict[str, Any] = NARROW, **inference: Any) -> Header:
    return cascade_header(NARROW, fine, dimension, **inference)


def tasks(head: Header | None = None, **settings: Any) -> list[Any]:
    return cascade_tasks(head or header(), {"steps": 8, "augmentation": STILL, **settings})


def case(name: str, shape: tuple[int, int, int], *blocks: tuple[slice, ...]) -> TrainingCase:
    """The image is the label map."""
    label = np.zeros(shape, np.uint8)
    for block in blocks:
        label[block] = 1
    return TrainingCase(name, label[None].astype(np.float32), label, (True,), {})


class Sees(nn.Module):
    """Finds an object at fixed rows and columns of its input, whatever that is."""

    def __init__(self, place: tuple[slice, slice]) -> None:
        super().__init__()
        self.place = place

    def forward(self, x: Tensor) -> Tensor:
        logits = torch.zeros(len(x), 2, *x.shape[2:])
        logits[:, 0] = 10
        logits[:, 1, *self.place] = 20
        return logits


def begun(task: Any, cases: list[TrainingCase], **trained: nn.Module) -> Any:
    """The fine task, ready to sample."""
    if isinstance(task, FineTask):
        trained = {"coarse": method_class("crop_cascade").build(task.header).coarse, **trained}
    task.begin(trained, cases)
    return task


def sample(task: Any, of: TrainingCase, seed: int = 0) -> dict[str, Tensor]:
    return task.sample(of, np.random.RandomState(seed))
