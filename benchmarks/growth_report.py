"""Text and figure of what growth.py measured."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from hrseg.evaluation.figures import png_bytes
from hrseg.image import replacing

TITLES = {
    "windows": "sliding windows",
    "crop_cascade": "crop cascade",
    "pfseg": "PFSeg",
    "sasr": "SASR-Net",
    "oss_net": "OSS-Net",
}
#: Differ for everybody (Okabe and Ito 2008), and by marker.
STYLES = {
    "windows": ("#000000", "o"),
    "crop_cascade": ("#d55e00", "s"),
    "pfseg": ("#0072b2", "^"),
    "sasr": ("#009e73", "D"),
    "oss_net": ("#cc79a7", "v"),
}
LINES = {"cpu": "solid", "cuda": "dashed"}
QUANTITIES = {"seconds": "seconds", "mib": "peak memory beyond the image, MiB"}

INTRODUCTION = """# Benchmarks

How cost grows with the volume: the four methods against sliding windows, the baseline. Made by

```
make bench    # benchmarks/growth.py
```

Each run has a process of its own and turns N x N x N voxels into a mask of as many voxels: seconds from the image in
memory to the mask in memory, and the highest memory beyond the image itself (on a GPU: of the GPU). The networks are
those of the phantom recipes with random weights and see noise, which costs the same as any image. What the cascade and
OSS-Net cost depends on what they find: they compute all that they would, but what they are told to have found is five
balls, each a quarter of the volume's side wide. Windows (64 x 80 x 80) overlap by half; SASR-Net sees the image shrunk
by two; PFSeg shrinks it likewise and has its guidance crop. These two see all of the image at once while memory
suffices, and take parts of it where less is allowed (`--memory-budget`), which needs more time. "Growth" is the
exponent p of cost ~ voxels^p between the smallest and the largest size that ran: 1 is proportional to the volume.

![Seconds and peak memory over the volume's side](images/growth.png)
"""


def write_report(content: dict[str, Any], folder: Path) -> None:
    """Writes benchmarks.md and images/growth.png to ``folder``. ``content``: device -> what was measured there."""
    sizes = sorted({int(size) for part in content.values() for row in part["rows"].values() for size in row})
    text = INTRODUCTION + "".join(_section(device, part, sizes) for device, part in content.items())
    (folder / "images").mkdir(parents=True, exist_ok=True)
    with replacing(folder / "benchmarks.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    with replacing(folder / "images" / "growth.png") as temporary:
        temporary.write_bytes(png_bytes(growth_figure(content), 110))


def _section(device: str, part: dict[str, Any], sizes: list[int]) -> str:
    title = "CPU" if device == "cpu" else "GPU"
    about = (
        f"{part['date']}; {part['machine']}; {part['threads']} threads; {part['versions']}; "
        f"profile `{part['profile']}`; fastest of {part['rounds']}."
    )
    head = ["method", *(f"{size}³" for size in sizes), "growth of time", "growth of memory"]
    lines = [f"\n## {title}\n\n{about}\n", _line(head), _line(["---"] * len(head))]
    reasons: dict[str, int] = {}
    for row, found in part["rows"].items():
        cells = [_cell(found.get(str(size)), reasons) for size in sizes]
        lines.append(_line([TITLES[row], *cells, *(_growth(found, key) for key in QUANTITIES)]))
    notes = [f"{number}. {reason}" for reason, number in reasons.items()]
    return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"


def _cell(found: dict[str, Any] | None, reasons: dict[str, int]) -> str:
    if found is None:
        return ""
    texts = [found["failed"]] if "failed" in found else found["notices"]
    marks = ", ".join(str(reasons.setdefault(_sentence(text), len(reasons) + 1)) for text in texts)
    mark = f" ({marks})" if marks else ""
    return f"–{mark}" if "failed" in found else f"{_number(found['seconds'])} s, {found['mib']:.0f} MiB{mark}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _growth(found: dict[str, Any], key: str) -> str:
    points = _points(found, key)
    if len(points) < 2:
        return ""
    (small, first), (large, last) = points[0], points[-1]
    return f"{math.log(last / first) / math.log((large / small) ** 3):.2f}"


def _points(found: dict[str, Any], key: str) -> list[tuple[int, float]]:
    return sorted((int(size), entry[key]) for size, entry in found.items() if entry.get(key))


def _line(cells: list[str]) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def growth_figure(content: dict[str, Any]) -> Figure:
    """Seconds and memory over the side, both logarithmic, a grey line showing what is proportional to the volume."""
    figure = Figure(figsize=(9.6, 4.6), layout="constrained")
    for ax, (key, title) in zip(figure.subplots(1, 2), QUANTITIES.items(), strict=True):
        lines = {
            (device, row): _points(found, key)
            for device, part in content.items()
            for row, found in part["rows"].items()
        }
        for (device, row), points in lines.items():
            color, marker = STYLES[row]
            style = {"color": color, "marker": marker, "linestyle": LINES.get(device, "dotted"), "markersize": 5}
            ax.plot(*zip(*points, strict=True), **style) if points else None
        _dress(ax, sorted({size for points in lines.values() for size, _ in points}), title)
        _add_proportional(ax, [point for points in lines.values() for point in points])
    rows = list(dict.fromkeys(row for part in content.values() for row in part["rows"]))
    handles = [Line2D([], [], color=STYLES[row][0], marker=STYLES[row][1], label=TITLES[row]) for row in rows]
    if len(content) > 1:
        handles += [Line2D([], [], color="#59636e", linestyle=LINES.get(d, "dotted"), label=d.upper()) for d in content]
    handles.append(Line2D([], [], color="#9aa4ae", linewidth=1, linestyle="dotted", label="proportional to the volume"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)
    return figure


def _dress(ax: Axes, sizes: list[int], title: str) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.xaxis.set_major_locator(FixedLocator(sizes))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}³"))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlabel("voxels")
    ax.set_title(title, fontsize=10)
    ax.grid(which="major", color="#24292f", alpha=0.15)
    ax.spines[["top", "right"]].set_visible(False)


def _add_proportional(ax: Axes, points: list[tuple[int, float]]) -> None:
    if not points:
        return
    low, high = ax.get_ylim()
    sizes = np.array([min(size for size, _ in points), max(size for size, _ in points)], dtype=float)
    values = min(value for _, value in points) * (sizes / sizes[0]) ** 3
    ax.plot(sizes, values, color="#9aa4ae", linewidth=1, linestyle="dotted", zorder=0)
    ax.set_ylim(low, max(high, min(values[-1], high * 1.5)))
