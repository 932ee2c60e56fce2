"""One training run: from a recipe and a data list to a model file, with checkpoints that it can resume from."""

from __future__ import annotations

import csv
import logging
import shlex
import sys
import warnings
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from hrseg.data_list import DataList
from hrseg.errors import InputError
from hrseg.methods import method_class
from hrseg.model_file import DataSource, Provenance, check_model_path, save_model
from hrseg.training.cases import load_training_cases, read_case
from hrseg.training.curves import draw_curves
from hrseg.training.duplicates import check_duplicates
from hrseg.training.module import SegmentationModule
from hrseg.training.recipe import Recipe


@dataclass(frozen=True)
class TrainingOptions:
    """How a run is carried out.

    Attributes:
        profile: of the recipe, for the record.
        accelerator, devices, nodes, strategy: as Lightning has them.
        max_minutes: stop after this time; the best model so far is kept.
        resume: go on from the last checkpoint.
        seed: two runs with equal seeds are equal on the CPU.
        workers: processes that make samples.
    """

    profile: str
    accelerator: str = "auto"
    devices: int | str = "auto"
    nodes: int = 1
    strategy: str = "auto"
    max_minutes: float | None = None
    resume: bool = False
    seed: int = 0
    workers: int = 0


def train(recipe: Recipe, data: DataList, output: Path, options: TrainingOptions, callbacks: list[Callback]) -> None:
    """Trains and writes the model with the best validation Dice to ``output``.

    Checkpoints, ``metrics.csv`` and ``curves.png`` go to a folder beside it, named ``output`` with ``.training``.

    Raises:
        InputError: bad data, or a run that exists and is not to be resumed.
        OutputError: the model cannot be written.
    """
    check_model_path(output)
    folder = output.with_suffix(".training")
    last = folder / "last.ckpt"
    if options.resume and not last.exists():
        raise InputError(f'There is no checkpoint "{last}" to resume from; run without --resume.')
    if last.exists() and not options.resume:
        raise InputError(f'"{folder}" holds an earlier run; use --resume to go on with it, or remove the folder.')
    _quiet()
    torch.use_deterministic_algorithms(True, warn_only=True)
    lightning.seed_everything(options.seed, verbose=False)
    header = recipe.header(Provenance())
    task = method_class(recipe.method).training_task(header, recipe.training)
    value_map = data.value_map(header.labels)
    check_duplicates(data)
    training = load_training_cases(data, "training", header)
    validation = [(case, *read_case(case, value_map)) for case in data.cases("validation")]
    module = SegmentationModule(task, training, validation, options.seed, options.workers)
    best = ModelCheckpoint(folder, "best", monitor="val_dice", mode="max", save_last=True, enable_version_counter=False)
    settings = task.settings
    average = [EMAWeightAveraging(decay=settings.average)] if settings.average else []
    trainer = lightning.Trainer(
        accelerator=options.accelerator,
        devices=options.devices,
        num_nodes=options.nodes,
        strategy=options.strategy,
        precision=settings.precision,
        max_steps=settings.steps,
        max_time=timedelta(minutes=options.max_minutes) if options.max_minutes else None,
        reload_dataloaders_every_n_epochs=1,
        gradient_clip_val=12.0,
        callbacks=[*average, best, *callbacks],
        logger=CSVLogger(folder, name="", version="log"),
        log_every_n_steps=settings.validation_every,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=False,
        default_root_dir=folder,
    )
    trainer.fit(module, ckpt_path=str(last) if options.resume else None, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    if not trainer.is_global_zero:
        return
    state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
    module.network.load_state_dict(
        {k.removeprefix("network."): v for k, v in state.items() if k.startswith("network.")}
    )
    provenance = Provenance(
        data=[DataSource(name=data.name, licence=data.licence, citation=data.citation)],
        split={name: len(cases) for name, cases in data.splits.items()},
        profile=options.profile,
        seed=options.seed,
        steps=trainer.global_step,
        command=shlex.join(["hrseg", *sys.argv[1:]]),
        metrics={"validation": {"dice": round(float(best.best_model_score or 0), 4)}},
    )
    save_model(output, recipe.header(provenance), module.network)
    draw_curves(read_log(folder), folder / "curves.png", recipe.name)


def read_log(folder: Path) -> list[dict[str, float]]:
    """What was logged per epoch, by column name."""
    rows: dict[int, dict[str, float]] = {}
    for file in sorted(folder.glob("log*/metrics.csv")):
        with file.open(newline="") as text:
            for row in csv.DictReader(text):
                values = {name: float(value) for name, value in row.items() if value}
                rows.setdefault(int(values["epoch"]), {}).update(values)
    return [rows[epoch] for epoch in sorted(rows)]


def _quiet() -> None:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")
    warnings.filterwarnings("ignore", module="monai.*")
