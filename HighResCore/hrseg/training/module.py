"""The Lightning side of training: samples by number, optimiser, schedule, validation through real inference.

What Lightning calls an epoch is what lies between two validations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from hrseg.blocks import CHANNELS_LAST, channels_last, guard_thin_maps, placed
from hrseg.memory import keep_freed_memory
from hrseg.methods import Options, method_class, segment_on
from hrseg.model_file import Model
from hrseg.runtime import Run
from hrseg.training.cases import ValidationCase
from hrseg.training.task import Task, TrainingCase


class Samples(Dataset):
    """Sample n of a run is the same whatever the workers, devices or interruptions were."""

    def __init__(self, task: Task, cases: list[TrainingCase], seed: int) -> None:
        self._task, self._cases, self._seed = task, cases, seed

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        rng = np.random.RandomState(np.random.SeedSequence([self._seed, number]).generate_state(1))
        # Cases come in turns, in another order each round.
        turn, place = divmod(number, len(self._cases))
        order = np.random.RandomState([self._seed, turn]).permutation(len(self._cases))
        return self._task.sample(self._cases[order[place]], rng)


class Batches(Sampler[list[int]]):
    """Numbers of one device's samples, step by step.

    Args:
        steps: the steps of the epoch, counted from the start of the run.
        done: how many of these were done before the run was interrupted. They are left out, but count in the length,
            as Lightning wants it.
        size: samples per step and device.
        rank, devices: this device, and how many there are.
    """

    def __init__(self, steps: range, done: int, size: int, rank: int = 0, devices: int = 1) -> None:
        self._steps, self._done = steps, done
        self._size, self._rank, self._devices = size, rank, devices

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[list[int]]:
        together = self._size * self._devices
        for step in self._steps[self._done :]:
            yield list(range(step * together + self._rank, (step + 1) * together, self._devices))


class SegmentationModule(lightning.LightningModule):
    """Trains one network for one task.

    Args:
        network: to train.
        task: makes samples and losses.
        training: cases to sample from.
        validation: cases to segment after each epoch.
        seed: of the samples.
        workers: processes that make samples.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        training: list[TrainingCase],
        validation: list[ValidationCase],
        seed: int,
        workers: int = 0,
    ) -> None:
        super().__init__()
        self.network = network
        self._task, self._validation, self._workers = task, validation, workers
        self._samples = Samples(task, training, seed)
        self._losses: list[dict[str, Tensor]] = []
        self._scores: dict[str, dict[str, float]] = {}
        self._observed: dict[str, dict[str, float]] = {}

    def train_dataloader(self) -> DataLoader:
        """The samples of the current epoch; the last one ends with the run."""
        s, trainer = self._task.settings, self.trainer
        first = self.current_epoch * s.validation_every
        steps = range(first, min(first + s.validation_every, s.steps))
        done = trainer.global_step - first
        batches = Batches(steps, done, s.batch_size, trainer.global_rank, trainer.world_size)
        return DataLoader(self._samples, batch_sampler=batches, num_workers=self._workers)

    def val_dataloader(self) -> DataLoader:
        """Numbers of this device's validation cases, at least one."""
        cases, devices = len(self._validation), self.trainer.world_size
        numbers = [number % cases for number in range(self.trainer.global_rank, max(cases, devices), devices)]
        return DataLoader(numbers, batch_size=None)  # type: ignore[arg-type]

    def on_fit_start(self) -> None:
        """Of processors: channels side by side train up to a quarter faster; thin maps need a guard."""
        if self.device.type == "cpu":
            guard_thin_maps(self.network)
            placed(self.network, self.device)

    def on_train_epoch_start(self) -> None:
        """After each validation, whose inference gives freed memory back."""
        keep_freed_memory()

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """The loss of one step, a scalar; it and its parts are kept for the next validation."""
        self._task.step = self.trainer.global_step
        if self.device.type == "cpu":
            batch = {name: _reordered(value) for name, value in batch.items()}
        losses = self._task.loss(self.network, batch)
        self._losses.append({name: value.detach() for name, value in losses.items()})
        return losses["loss"]

    def validation_step(self, number: int) -> None:
        """Segments a validation case as users do, and keeps its Dice per annotated label."""
        case, header = self._validation[int(number)], self._task.header
        # Validation runs in the weights' own precision, like inference.
        with torch.autocast(self.device.type, enabled=False):
            method = method_class(header.method)(Model(header, self._task.whole(self.network).eval()))
            _, found = segment_on(method, case.image, case.truth.grid, Options(), Run(self.device))
            self._observed[case.name] = self._task.observe(self.network, case)
        self._scores[case.name] = {
            label.name: dice(found == label.value, case.truth.array == label.value)
            for label, drawn in zip(header.labels, case.annotated, strict=True)
            if drawn
        }

    def on_validation_epoch_end(self) -> None:
        """Logs the mean losses since the last validation, and the Dice of all devices' cases."""
        for name in self._losses[0] if self._losses else ():
            self.log(f"train_{name}", torch.stack([row[name] for row in self._losses]).mean(), sync_dist=True)
        scores = list(_gathered(self._scores, self.trainer.world_size).values())
        for label in self._task.header.labels:
            values = [row[label.name] for row in scores if label.name in row]
            if values:
                self.log(f"val_dice_{label.name}", float(np.mean(values)), sync_dist=True)
        self.log("val_dice", float(np.mean([np.mean(list(row.values())) for row in scores])), sync_dist=True)
        observed = list(_gathered(self._observed, self.trainer.world_size).values())
        for name in sorted({name for row in observed for name in row}):
            self.log(f"val_{name}", float(np.mean([row[name] for row in observed if name in row])), sync_dist=True)
        self._losses, self._scores, self._observed = [], {}, {}

    def configure_optimizers(self) -> Any:
        """AdamW; the rate warms up linearly and then decays polynomially (power 0.9) to zero."""
        s = self._task.settings
        groups = self._task.parameters(self.network)
        optimizer = torch.optim.AdamW(groups, s.learning_rate, weight_decay=s.weight_decay)

        def rate(step: int) -> float:
            return min(1.0, (step + 1) / (s.warmup + 1)) * max(0.0, 1 - step / s.steps) ** 0.9

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _reordered(x: Tensor) -> Tensor:
    """Maps in channels-last order."""
    return channels_last(x) if x.is_floating_point() and x.ndim in CHANNELS_LAST else x


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Dice of two masks of one shape; 1 when both are empty."""
    total = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / total if total else 1.0


def _gathered(scores: dict[str, dict[str, float]], devices: int) -> dict[str, dict[str, float]]:
    """The scores of all devices' cases, each case once, in the order of their names."""
    parts = [scores] * devices
    if devices > 1:
        torch.distributed.all_gather_object(parts, scores)
    return dict(sorted(pair for part in parts for pair in part.items()))
