"""Plots of scores, and figures as PNG files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hrseg.evaluation.measures import measure
from hrseg.evaluation.summary import Case

#: Of texts and lines, on light and on dark pages.
INK = ("#24292f", "#d7dade")


def score_figure(cases: Sequence[Case], key: str = "dice", *, dark: bool = False) -> Figure:
    """Box plots of one measure, a row for each label, with a dot for each case."""
    names = list(dict.fromkeys(n for case in cases for n in case["labels"]))
    columns = [[measure(key).size(c["labels"].get(n, {}).get(key)) for c in cases] for n in names]
    values = [np.array([v for v in column if v is not None], dtype=float) for column in columns]
    ink, fill = INK[dark], ("#1f6feb", "#7fb2ff")[dark]
    figure = Figure(figsize=(7, 0.9 + 0.45 * len(names)), layout="constrained")
    ax = figure.add_subplot()
    lines = {"color": ink, "linewidth": 1.2}
    styles: dict[str, Any] = {
        "boxprops": lines,
        "whiskerprops": lines,
        "capprops": lines,
        "medianprops": {**lines, "linewidth": 2.2},
    }
    rows = np.arange(len(names))
    ax.boxplot(values, positions=rows, orientation="horizontal", widths=0.55, showfliers=False, **styles)
    scatter = np.random.default_rng(0)
    for row, column in zip(rows, values, strict=True):
        heights = row + scatter.uniform(-0.18, 0.18, len(column))
        ax.scatter(column, heights, s=14, color=fill, alpha=0.65, linewidths=0, zorder=3)
    ax.set_yticks(rows, names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlabel(measure(key).title)
    bare(figure, ax, ink, "x")
    return figure


def bare(figure: Figure, axes: Axes, ink: str, grid: Literal["x", "y"]) -> None:
    """A plot without a frame, on a transparent ground, with grid lines across one axis."""
    axes.grid(axis=grid, color=ink, alpha=0.15)
    axes.set_axisbelow(True)
    axes.tick_params(colors=ink, length=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_color(ink)
    axes.spines[:].set_visible(False)
    axes.patch.set_alpha(0)
    figure.patch.set_alpha(0)


def png_bytes(figure: Figure, dpi: int = 130) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()
