"""One training run: from a recipe and a data list to a model file, with checkpoints that it can resume from."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, Timer, WeightAveraging
from torch import nn

from hrseg.data_list import DataList
from hrseg.errors import Cancelled, InputError
from hrseg.image import check_folder
from hrseg.methods import method_class
from hrseg.model_file import DataSource, Header, Model, Provenance, check_model_path, save_model
from hrseg.runtime import Progress, no_progress
from hrseg.training.averaging import running_average
from hrseg.training.cases import ValidationCase, largest_extent, load_cases
from hrseg.training.fine_tuning import check_taken, left_to_learn, take_over
from hrseg.training.history import History
from hrseg.training.module import SegmentationModule
from hrseg.training.recipe import Recipe
from hrseg.training.run_folder import RunFolder
from hrseg.training.settings import TrainingSettings
from hrseg.training.task import Task, TrainingCase

#: Gradients are scaled down to this norm, as in nnU-Net.
_GRADIENT_NORM = 12.0


@dataclass(frozen=True)
class TrainingOptions:
    """How a run is carried out.

    Attributes:
        profile, command: of the recipe and of the user, for the record.
        accelerator, devices, nodes, strategy: as Lightning has them.
        max_minutes: stop after this time, validate, and keep the best model so far.
        resume: go on from the last checkpoint.
        seed: two runs with equal seeds are equal on the CPU.
        workers: processes that make samples.
    """

    profile: str = ""
    command: str = ""
    accelerator: str = "auto"
    devices: int | str | list[int] = 1
    nodes: int = 1
    strategy: str = "auto"
    max_minutes: float | None = None
    resume: bool = False
    seed: int = 0
    workers: int = 0


class TimeLimit(Timer):
    """Lightning's timer, but time before a resume does not count."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}


def train(
    recipe: Recipe,
    data: DataList,
    output: Path,
    options: TrainingOptions,
    callbacks: Sequence[Callback] = (),
    progress: Progress = no_progress,
    *,
    start: Model | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Header | None:
    """Trains and writes the model with the best validation Dice to ``output``.

    Checkpoints (at each validation), ``metrics.csv`` and ``curves.png`` go to a folder beside it, named ``output`` with
    ``.training``. A run that was interrupted and resumed ends with the weights of one that was not (on the CPU).

    Args:
        progress: told of the cases read before training starts.
        start: a model whose weights training begins with, where they fit.
        tell: told what was taken over from it.

    Returns:
        The model's header; None in the other processes where there are several.

    Raises:
        InputError: bad data or options, a run that exists and is not to be resumed, a model to start from that does
            not fit, or a loss that is not a number.
        OutputError: the model cannot be written. This is tried first.
        Cancelled: Ctrl-C; the last checkpoint stays.
    """
    check_model_path(output)
    check_folder(output)
    folder = RunFolder(output.with_suffix(".training"))
    folder.check(resume=options.resume)
    header = recipe.header(Provenance())
    tasks = method_class(recipe.method).training_tasks(header, recipe.training)
    tasks = left_to_learn(tasks, start) if start else tasks
    training, validation = load_cases(data, header, progress, tasks[-1].finer)
    begun = start.header.name if start else None
    folder.begin(recipe, data, options.seed, begun, resume=options.resume)
    trained: dict[str, nn.Module] = {}
    steps = 0
    for task in tasks:
        # Before fresh weights are made; for each stage, so that one resumed alone has the same.
        lightning.seed_everything(options.seed, verbose=False)
        network, cases = task.begin(trained, training)
        if start:
            taken = take_over(task, network, start)
            if task is tasks[0]:
                check_taken(taken, task, start)
            if taken:
                tell(taken)
        share = task.settings.steps / sum(other.settings.steps for other in tasks)
        stage = _Stage(task, folder, recipe.name, share)
        trainer, history = stage.run(network, cases, validation, options, callbacks)
        trained[task.name] = network
        steps += trainer.global_step
    if not trainer.is_global_zero:
        return None
    own = DataSource(name=data.name, licence=data.licence, citation=data.citation)
    earlier = [source for source in (start.header.training.data if start else []) if source != own]
    provenance = Provenance(
        data=[*earlier, own],
        split={name: len(cases) for name, cases in data.splits.items()},
        profile=options.profile,
        seed=options.seed,
        steps=steps,
        command=options.command,
        metrics={"validation": {"dice": round(max(row["val_dice"] for row in history.rows), 4)}},
        extent=largest_extent(training) if recipe.dimension == 3 else None,
    )
    header = recipe.header(provenance)
    save_model(output, header, task.whole(network))
    return header


@dataclass(frozen=True)
class _Stage:
    """One task and the folder of its run; ``share`` is its part of the run's time."""

    task: Task
    folder: RunFolder
    title: str
    share: float

    def run(
        self,
        network: nn.Module,
        training: list[TrainingCase],
        validation: list[ValidationCase],
        options: TrainingOptions,
        callbacks: Sequence[Callback],
    ) -> tuple[lightning.Trainer, History]:
        """Trains ``network``, which has the weights of the best validation in the end."""
        module = SegmentationModule(network, self.task, training, validation, options.seed, options.workers)
        folder = self.folder.stage(self.task.name)
        history = History(folder.path, f"{self.title} {self.task.name}".strip())
        minutes = options.max_minutes and options.max_minutes * self.share
        resume = options.resume and folder.last.exists()
        with _quiet():
            trainer = _trainer(self.task.settings, options, minutes, folder, [history, *callbacks])
            with _interruptible(self.folder):
                trainer.fit(module, ckpt_path=folder.last if resume else None, weights_only=True)
        network.cpu().load_state_dict(folder.best_weights())
        network.eval()
        return trainer, history


def _trainer(
    settings: TrainingSettings,
    options: TrainingOptions,
    minutes: float | None,
    folder: RunFolder,
    callbacks: Sequence[Callback],
) -> lightning.Trainer:
    best = ModelCheckpoint(folder.path, folder.best.stem, monitor="val_dice", mode="max", enable_version_counter=False)
    # One of its own, after the best: ``save_last`` would save it only where it is the best, too.
    last = ModelCheckpoint(folder.path, folder.last.stem, enable_version_counter=False)
    average = [WeightAveraging(avg_fn=running_average(settings.average))] if settings.average else []
    limit = [TimeLimit(timedelta(minutes=minutes), verbose=False)] if minutes else []
    try:
        return lightning.Trainer(
            accelerator=options.accelerator,
            devices=options.devices,
            num_nodes=options.nodes,
            strategy=options.strategy,
            precision=settings.precision,
            max_steps=settings.steps,
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
            gradient_clip_val=_GRADIENT_NORM,
            deterministic="warn",
            callbacks=[*average, *limit, *callbacks, best, last],
            logger=False,
            num_sanity_val_steps=0,
            enable_model_summary=False,
            enable_progress_bar=False,
            default_root_dir=folder.path,
        )
    except (MisconfigurationException, ValueError) as error:
        raise InputError(f"Training cannot run in this way: {' '.join(str(error).split())}") from error


@contextmanager
def _interruptible(folder: RunFolder) -> Iterator[None]:
    """Turns what Lightning makes of Ctrl-C (it exits, and ignores the signal from then on) into Cancelled."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        signal.signal(signal.SIGINT, handler)
        raise Cancelled(f"Interrupted; {folder.how_to_go_on()}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's and MONAI's hints are for programmers."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for module in ("lightning", "monai", "torch"):
            warnings.filterwarnings("ignore", module=rf"{module}\.")
        yield
