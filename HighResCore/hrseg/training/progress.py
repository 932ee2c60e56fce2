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

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        self._bar = Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True)
        self._began = time.monotonic()

    def on_train_start(self, trainer: lightning.Trainer, module: Any) -> None:
        """Opens the bar."""
        self._task = self._bar.add_task("", total=trainer.max_steps)
        if self._console.is_terminal and trainer.is_global_zero:
            self._bar.start()

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: Any) -> None:
        """Moves the bar."""
        loss = trainer.callback_metrics.get("loss")
        text = f"loss {loss:.3f}" if loss is not None else ""
        score = trainer.callback_metrics.get("val_dice")
        text += f", validation Dice {score:.3f}" if score is not None else ""
        self._bar.update(self._task, completed=trainer.global_step, description=text)

    def on_validation_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Prints a line."""
        if trainer.is_global_zero:
            metrics = trainer.callback_metrics
            minutes = (time.monotonic() - self._began) / 60
            self._console.print(
                f"step {trainer.global_step}: loss {float(metrics.get('train_loss', metrics.get('loss', 0))):.3f}, "
                f"validation Dice {float(metrics['val_dice']):.4f}, {minutes:.1f} min",
                highlight=False,
            )

    def teardown(self, trainer: lightning.Trainer, module: Any, stage: str) -> None:
        """Closes the bar."""
        self._bar.stop()
