"""A picture of a training run."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from hrseg.image import replacing

_PANELS = {"train_": "training loss", "val_dice": "validation Dice"}


def draw_curves(rows: list[dict[str, float]], path: Path, title: str) -> None:
    """Losses and validation Dice over the steps, written as PNG. ``rows`` has one entry per validation."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, (prefix, label) in zip(panels, _PANELS.items(), strict=True):
        for name in sorted({key for row in rows for key in row if key.startswith(prefix)}):
            points = [(row["step"], row[name]) for row in rows if name in row]
            main = name in ("train_loss", "val_dice")
            text = "mean" if name == "val_dice" else name.removeprefix(prefix).lstrip("_").replace("_", " ")
            style = {"linewidth": 2.2, "color": "black", "zorder": 3} if main else {"linewidth": 1}
            axes.plot(*zip(*points, strict=True), marker=".", label=text, **style)
        axes.set(xlabel="step", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    panels[0].set_ylim(bottom=0)
    panels[1].set_ylim(0, 1)
    figure.suptitle(title)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)
