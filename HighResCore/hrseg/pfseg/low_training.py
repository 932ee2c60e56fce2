"""The first stage of PFSeg's training, if wanted: its low-resolution part alone, as the baseline's network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from hrseg.errors import ModelError
from hrseg.geometry import Grid, as_shape
from hrseg.model_file import Header
from hrseg.patch_based.training import PatchTask
from hrseg.pfseg.sample_sizes import SampleSizes
from hrseg.pfseg.settings import NetworkSettings
from hrseg.pfseg.training import PFSegSettings, PFSegTask
from hrseg.resample import SHRINK
from hrseg.training.cases import relabelled
from hrseg.training.losses import masked_dice_ce
from hrseg.training.settings import TrainingSettings
from hrseg.training.task import Task, TrainingCase


def stages(header: Header, settings: dict[str, Any]) -> list[Task]:
    """PFSeg's stages in order, see :meth:`Method.training_tasks`. Raises ModelError for settings that do not fit."""
    task = PFSegTask(header, settings)
    return [LowTask(header, task.settings, task.network), task] if task.settings.low_steps else [task]


class LowTask(PatchTask):
    """Shrunk copies and their label maps. A step takes about a sixth of the time of one at high resolution."""

    name = "low"

    def __init__(self, header: Header, settings: PFSegSettings, network: NetworkSettings) -> None:
        spacing, factors = header.preprocessing.spacing, network.all_factors(header.dimension)
        if spacing is None or network.block != "plain":
            raise ModelError(
                f'The model "{header.name}" has low_steps: {settings.low_steps}, which need plain blocks and a '
                f"spacing, not {network.block} and {spacing}; set them, or low_steps to 0."
            )
        self._factors, self._hardest = [*[1] * (3 - header.dimension), *factors], settings.hardest
        low = np.floor_divide(settings.size, factors).tolist()
        coarse = tuple(np.multiply(spacing, self._factors).tolist())
        as_baseline = {
            "method": "patch_based",
            "preprocessing": header.preprocessing.model_copy(update={"spacing": coarse}),
            "network": {"widths": network.widths, "strides": network.strides},
            # The network normalises over all that it sees, in use over no more than the volume.
            "inference": {"window": low, "fit_window": True},
        }
        common = settings.model_dump(include=set(TrainingSettings.model_fields))
        own = {**common, "steps": settings.low_steps, "foreground": settings.foreground}
        header = header.model_copy(update=as_baseline)
        super().__init__(header, {**own, "patch": low})
        least = np.floor_divide(settings.least_size or settings.size, factors).tolist()
        multiple = network.multiple(header.dimension)
        self._sizes = SampleSizes(least, low, multiple, alike=settings.batch_size > 1)
        self._own, self._tasks = own, dict[tuple[int, ...], PatchTask]()

    def begin(self, trained: dict[str, nn.Module], cases: list[TrainingCase]) -> tuple[nn.Module, list[TrainingCase]]:
        """See :meth:`Task.begin`."""
        return super().begin(trained, [self._shrunk(case) for case in cases])

    def sample(self, case: TrainingCase, rng: np.random.RandomState) -> dict[str, Tensor]:
        """See :meth:`PatchTask.sample`."""
        size = tuple(self._sizes.draw(case.label.shape, rng))
        if size not in self._tasks:
            self._tasks[size] = PatchTask(self.header, {**self._own, "patch": list(size)})
        return self._tasks[size].sample(case, rng)

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Task.loss`."""
        return masked_dice_ce(network(batch["image"]), batch["label"], batch["annotated"], hardest=self._hardest)

    def _shrunk(self, case: TrainingCase) -> TrainingCase:
        grid = Grid.from_spacing(case.label.shape)
        low = grid.resized(as_shape([-(-n // f) for n, f in zip(grid.shape, self._factors, strict=True)]))
        shrink = SHRINK[self.header.preprocessing.shrink]
        return replace(relabelled(case, low.shape), image=shrink(case.image, grid, low))
