"""Runs of training on the small data set, and what can be done to them at a step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from hrseg.data_list import DataList
from hrseg.training.loop import TrainingOptions, train
from hrseg.training.recipe import Recipe
from training_helpers import recipe_content

OPTIONS = TrainingOptions("cpu", "hrseg train ...", accelerator="cpu")
STEPS = 5


def recipe(**training: Any) -> Recipe:
    content = recipe_content(**{"steps": STEPS, "validation_every": 2, **training})
    del content["profiles"]
    return Recipe.model_validate(content)


def run(
    folder: Path,
    data: DataList,
    *callbacks: Callback,
    name: str = "a",
    options: TrainingOptions = OPTIONS,
    **training: Any,
) -> Path:
    """The model that is trained."""
    output = folder / f"{name}.safetensors"
    train(recipe(**training), data, output, options, callbacks)
    return output


def checkpoint(output: Path, which: str = "last") -> dict[str, Any]:
    return torch.load(output.with_suffix(".training") / f"{which}.ckpt", weights_only=True)


class At(Callback):
    """Does something after a step, once."""

    def __init__(self, step: int, action: Callable[..., Any]) -> None:
        self.step, self.action = step, action

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *args: Any) -> None:
        if trainer.global_step == self.step:
            self.action(trainer, module)


class Recorder(Callback):
    """Which steps were trained, on what, and what the loss was."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.sums: list[float] = []
        self.losses: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, *args: Any
    ) -> None:
        self.steps.append(trainer.global_step)
        self.sums.append(float(batch["image"].sum()))
        self.losses.append(float(outputs["loss"]))


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
