"""The folder of a training run: its checkpoints, and what the run was started with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hrseg.data_list import DataList
from hrseg.errors import InputError
from hrseg.image import make_folder, replacing
from hrseg.training.recipe import Recipe


class RunFolder:
    """``last.ckpt`` and ``best.ckpt`` as of the last validation, and ``run.json``: recipe, seed and cases.

    Training in several stages has the checkpoints of each in a folder of its own inside.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last, self.best, self._about = path / "last.ckpt", path / "best.ckpt", path / "run.json"

    def stage(self, name: str) -> RunFolder:
        """The folder of a stage, made if missing; this one where the stage has no name."""
        make_folder(self.path / name)
        return RunFolder(self.path / name)

    @property
    def _started(self) -> bool:
        """Whether there is a checkpoint of any stage."""
        return any(self.path.rglob(self.last.name))

    def check(self, *, resume: bool) -> None:
        """Raises InputError when there is no run to resume, or one that would be overwritten."""
        if resume and not self._started:
            raise InputError(
                f'There is no checkpoint "{self.last.name}" in "{self.path}" to resume from; run without --resume.'
            )
        if self._started and not resume:
            raise InputError(
                f'"{self.path}" holds an earlier run; use --resume to go on with it, or remove the folder.'
            )

    def begin(self, recipe: Recipe, data: DataList, seed: int, start: str | None = None, *, resume: bool) -> None:
        """Makes the folder and notes what is run, and the name of the model that it begins with, if any.

        Raises:
            InputError: the run to resume was started with something else, which would make it neither of the two.
            OutputError: the folder cannot be made.
        """
        cases = {split: [case.name for case in rows] for split, rows in data.splits.items()}
        about = {"recipe": recipe.model_dump(mode="json"), "seed": seed, "data": {"name": data.name, **cases}}
        if start:
            about["start_from"] = start
        if resume and self._about.exists():
            change = _first_change(json.loads(self._about.read_text(encoding="utf-8")), about)
            if change:
                raise InputError(f'The run in "{self.path}" was started with other settings: {change}.')
        make_folder(self.path)
        with replacing(self._about) as temporary:
            temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    def best_weights(self) -> dict[str, Tensor]:
        """The network's weights at the best validation."""
        state = torch.load(self.best, map_location="cpu", weights_only=True)["state_dict"]
        return {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}

    def how_to_go_on(self) -> str:
        """What to do after an interruption."""
        if self._started:
            return f'the same command with --resume goes on from the last validation, kept in "{self.path}".'
        return "there was no validation yet, so nothing was kept; run the same command again."


def _first_change(before: Any, now: Any, place: str = "") -> str:
    """Where two JSON values differ first, and how; empty if they do not."""
    if isinstance(before, dict) and isinstance(now, dict):
        changes = (_first_change(before.get(key), now.get(key), f"{place}.{key}") for key in {**before, **now})
        return next(filter(None, changes), "")
    return "" if before == now else f"{place.lstrip('.')} was {before}, now {now}"
