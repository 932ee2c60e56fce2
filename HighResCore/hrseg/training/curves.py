"""A picture of a training run."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from hrseg.image import replacing


def draw_curves(log: list[dict[str, float]], path: Path, title: str) -> None:
    """Loss and validation Dice over the steps, written as PNG. ``log`` has one entry per epoch."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    for axes, prefix, label in ((losses, "train_", "training loss"), (scores, "val_dice", "validation Dice")):
        for name in sorted({key for row in log for key in row if key.startswith(prefix)}):
            points = [(row["step"], row[name]) for row in log if name in row]
            main = name in ("train_loss", "val_dice")
            text = name.removeprefix(prefix).removeprefix("_") or "mean"
            axes.plot(
                *zip(*points, strict=True), label=text, linewidth=2.2 if main else 1, color="black" if main else None
            )
        axes.set(xlabel="step", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    scores.set_ylim(0, 1)
    figure.suptitle(title)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)
