"""Progress of training on the terminal: loss and validation Dice beside a bar, one line per validation."""

from __future__ import annotations

import time
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TerminalProgress(Callback):
    """Shows a bar where there is a terminal, and in any case prints a line after each validation."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (
            TextColumn("{task.fields[stage]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
        )
        self._bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
        self._task = self._bar.add_task("", stage="")
        self._began = time.monotonic()

    def __enter__(self) -> TerminalProgress:
        if self._console.is_interactive:
            self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._console.is_interactive:
            self._bar.stop()

    def show(self, stage: str, done: int, total: int) -> None:
        """For what comes before training; see :data:`hrseg.runtime.Progress`."""
        self._bar.update(self._task, stage=stage, completed=done, total=total)

    def on_train_start(self, trainer: lightning.Trainer, module: Any) -> None:
        """Turns the bar to training."""
        self._bar.reset(self._task, stage="training", completed=trainer.global_step, total=trainer.max_steps)

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, outputs: Any, *_: Any) -> None:
        """Moves the bar."""
        if self._console.is_interactive:
            score = trainer.callback_metrics.get("val_dice")
            text = f"loss {float(outputs['loss']):.3f}" + (f", validation Dice {score:.3f}" if score else "")
            self._bar.update(self._task, completed=trainer.global_step, description=text)

    def on_validation_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Prints a line."""
        if trainer.is_global_zero:
            loss, score = (float(trainer.callback_metrics[name]) for name in ("train_loss", "val_dice"))
            minutes = (time.monotonic() - self._began) / 60
            self._console.print(
                f"step {trainer.global_step}: loss {loss:.3f}, validation Dice {score:.4f}, {minutes:.1f} min"
            )
