"""What was measured at each validation: kept in the checkpoints, written as ``metrics.csv`` and ``curves.png``."""

from __future__ import annotations

import csv
import math
import time
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from hrseg.errors import InputError
from hrseg.image import replacing
from hrseg.training.curves import draw_curves

Row = dict[str, float]


class History(Callback):
    """One row per validation: ``step``, ``minutes``, the mean losses since the last one, and Dice.

    A resumed run goes on with the rows of its checkpoint, so that the files tell the whole run, once.

    Raises:
        InputError: the loss is no longer a number.
    """

    def __init__(self, folder: Path, title: str) -> None:
        self.rows: list[Row] = []
        self._folder, self._title = folder, title

    def on_train_start(self, trainer: lightning.Trainer, module: Any) -> None:
        """Starts the clock where the interrupted run stopped."""
        self._began = time.monotonic() - 60 * (self.rows[-1]["minutes"] if self.rows else 0.0)

    def on_validation_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Adds a row and writes the files. Raises InputError when the loss is no longer a number."""
        minutes = round((time.monotonic() - self._began) / 60, 2)
        measured = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not math.isfinite(measured["train_loss"]):
            raise InputError(
                f"The loss is {measured['train_loss']} after step {trainer.global_step}; lower the recipe's "
                "learning_rate, or use the precision 32-true."
            )
        self.rows.append({"step": trainer.global_step, "minutes": minutes, **measured})
        if trainer.is_global_zero:
            write_csv(self.rows, self._folder / "metrics.csv")
            draw_curves(self.rows, self._folder / "curves.png", self._title)

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.rows = state["rows"]


def write_csv(rows: list[Row], path: Path) -> None:
    """Writes rows as CSV, in one step; a value that a row lacks is left empty."""
    names = dict.fromkeys(name for row in rows for name in row)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(names))
        writer.writeheader()
        writer.writerows(rows)
