"""A picture of a training run."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from hrseg.image import replacing

#: What is drawn, by how its columns begin; the last one only of methods that have gates.
_PANELS = {"train_": "training loss", "val_dice": "validation Dice", "gate ": "mean gate: large less small lesions"}
_LARGE, _SMALL = "val_gate_large_", "val_gate_small_"


def draw_curves(rows: list[dict[str, float]], path: Path, title: str) -> None:
    """Losses and validation Dice over the steps, written as PNG. ``rows`` has one entry per validation."""
    rows = [row | _gate_differences(row) for row in rows]
    shown = {prefix: label for prefix, label in _PANELS.items() if any(key.startswith(prefix) for key in rows[-1])}
    figure = Figure(figsize=(4.5 * len(shown), 3.6), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, (prefix, label) in zip(panels, shown.items(), strict=True):
        for name in dict.fromkeys(key for row in rows for key in row if key.startswith(prefix)):
            points = [(row["step"], row[name]) for row in rows if name in row]
            main = name in ("train_loss", "val_dice")
            text = "mean" if name == "val_dice" else name.removeprefix(prefix).lstrip("_").replace("_", " ")
            style = {"linewidth": 2.2, "color": "black", "zorder": 3} if main else {"linewidth": 1}
            axes.plot(*zip(*points, strict=True), marker=".", label=text, **style)
        axes.set(xlabel="step", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, ncols=2 if prefix == "gate " else 1)
        if prefix != "gate ":
            axes.set_ylim(0, None if prefix == "train_" else 1)
    figure.suptitle(title)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def _gate_differences(row: dict[str, float]) -> dict[str, float]:
    """By the width of the path, in voxels: whether wide paths open in large lesions, narrow ones in small lesions."""
    paths = [key.removeprefix(_LARGE) for key in row if key.startswith(_LARGE) and _SMALL + key[len(_LARGE) :] in row]
    return {f"gate {path} wide": row[_LARGE + path] - row[_SMALL + path] for path in paths}
