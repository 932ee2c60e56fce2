"""The Lightning side of training: samples by number, optimiser, schedule, validation through real inference."""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hrseg.data_list import Case, annotated_labels
from hrseg.image import Image, LabelMap
from hrseg.methods import Options, method_class
from hrseg.model_file import Model
from hrseg.runtime import Run
from hrseg.training.task import Task, TrainingCase


class Samples(Dataset):
    """Samples of one epoch. Sample n of a run is the same whatever the workers, devices or interruptions were."""

    def __init__(self, task: Task, cases: list[TrainingCase], first: int, count: int, seed: int) -> None:
        self._task, self._cases, self._first, self._count, self._seed = task, cases, first, count, seed

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        number = self._first + index
        rng = np.random.RandomState(np.random.SeedSequence([self._seed, number]).generate_state(1))
        # Cases come in turns, in another order each round.
        turn, place = divmod(number, len(self._cases))
        order = np.random.RandomState([self._seed, turn]).permutation(len(self._cases))
        return self._task.sample(self._cases[order[place]], rng)


class SegmentationModule(lightning.LightningModule):
    """Trains one network for one task.

    Args:
        task: makes samples and losses.
        training: cases to sample from.
        validation: (case, image, true label map) to segment after each epoch.
        seed: of the samples.
        workers: processes that make samples.
    """

    def __init__(
        self,
        task: Task,
        training: list[TrainingCase],
        validation: list[tuple[Case, Image, LabelMap]],
        seed: int,
        workers: int = 0,
    ) -> None:
        super().__init__()
        self.network = method_class(task.header.method).build(task.header)
        self._task, self._training, self._validation = task, training, validation
        self._seed, self._workers = seed, workers

    def train_dataloader(self) -> DataLoader:
        """The samples of the current epoch, ``validation_every`` steps of them."""
        settings, devices = self._task.settings, self.trainer.world_size
        count = settings.validation_every * settings.batch_size * devices
        samples = Samples(self._task, self._training, self.current_epoch * count, count, self._seed)
        return DataLoader(samples, settings.batch_size, num_workers=self._workers)

    def val_dataloader(self) -> DataLoader:
        """Numbers of the validation cases."""
        return DataLoader(range(len(self._validation)), batch_size=None)  # type: ignore[arg-type]

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """One step; the loss and its parts are logged."""
        losses = self._task.loss(self.network, batch)
        self.log_dict(
            {f"train_{name}": value for name, value in losses.items()}, prog_bar=False, on_epoch=True, on_step=False
        )
        self.log("loss", losses["loss"], prog_bar=True, logger=False)
        return losses["loss"]

    def validation_step(self, index: int) -> None:
        """Segments a validation case as users do, and logs its Dice per label."""
        case, image, truth = self._validation[int(index)]
        header = self._task.header
        # Validation runs in the weights' own precision, like inference.
        with torch.autocast(self.device.type, enabled=False):
            method = method_class(header.method)(Model(header, self.network))
            found = method.segment(image, Options(), Run(self.device)).label_map.array
        annotated = annotated_labels(case, header.labels)
        scores = {
            label.name: dice(found == label.value, truth.array == label.value)
            for label, drawn in zip(header.labels, annotated, strict=True)
            if drawn
        }
        for name, score in scores.items():
            self.log(f"val_dice_{name}", score, batch_size=1, sync_dist=True)
        self.log("val_dice", float(np.mean(list(scores.values()))), batch_size=1, prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW; the rate warms up linearly and then decays polynomially (power 0.9) to zero."""
        s = self._task.settings
        optimizer = torch.optim.AdamW(self.network.parameters(), s.learning_rate, weight_decay=s.weight_decay)

        def rate(step: int) -> float:
            return min(1.0, (step + 1) / (s.warmup + 1)) * max(0.0, 1 - step / s.steps) ** 0.9

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Dice of two masks; 1 when both are empty."""
    total = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / total if total else 1.0
