"""Is scale awareness learned? Gates of a network's paths inside true lesions, by the lesions' size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from matplotlib.figure import Figure

from hrseg.evaluation.figures import INK, bare
from hrseg.geometry import Floats
from hrseg.image import Image, LabelMap
from hrseg.lesions import SIZES, size_name, terciles

_SAMPLES = 10_000
#: From small to large; told apart by everybody, also without colors.
_FILLS = ("#a6cee3", "#5a9fd0", "#2166ac")


@runtime_checkable
class Gated(Protocol):
    """A method whose network has paths of several widths, each opened and shut by a gate per voxel."""

    @property
    def paths(self) -> list[str]:
        """Width of each path, in voxels; empty where this model has no gates."""

    def lesion_gates(self, image: Image, truth: LabelMap) -> list[tuple[float, list[float]]]:
        """Diameter, in voxels of what the network sees, and mean gate per path, 0 to 1, of lesions of an image."""


def by_size(lesions: Iterable[tuple[float, Sequence[float]]]) -> dict[str, Floats]:
    """Gates (lesions, paths) of small, medium and large lesions (terciles); only of those there are."""
    rows = list(lesions)
    limits = terciles([diameter for diameter, _ in rows])
    parts = {size: [gates for diameter, gates in rows if size_name(diameter, limits) == size] for size in SIZES}
    return {size: np.array(part, dtype=np.float64) for size, part in parts.items() if part}


def intervals(gates: Floats) -> Floats:
    """95 % bootstrap interval of the mean of (lesions, paths): (2, paths)."""
    return np.percentile(_means(gates, 0), (2.5, 97.5), axis=0)


def differences(table: dict[str, Floats]) -> Floats:
    """Large minus small, per path: mean, and its 95 % bootstrap interval, (paths, 3).

    Lesions are drawn as if independent: with several in one image the intervals are too narrow.
    """
    small, large = table["small"], table["large"]
    low, high = np.percentile(_means(large, 1) - _means(small, 0), (2.5, 97.5), axis=0)
    return np.stack([large.mean(axis=0) - small.mean(axis=0), low, high], axis=1)


def gate_figure(table: dict[str, Floats], paths: Sequence[str], *, dark: bool = False) -> Figure:
    """Bars: the mean gate of each path in lesions of each size, with 95 % intervals."""
    ink = INK[dark]
    figure = Figure(figsize=(max(7, 0.8 * len(paths)), 3.4), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(paths))
    for n, (size, gates) in enumerate(table.items()):
        mean = gates.mean(axis=0)
        low, high = intervals(gates)
        axes.bar(
            places + 0.26 * (n - (len(table) - 1) / 2),
            mean,
            0.24,
            yerr=[mean - low, high - mean],
            ecolor=ink,
            capsize=2,
            color=_FILLS[SIZES.index(size)],
            label=f"{size} ({len(gates)})",
        )
    axes.set(ylabel="mean gate inside lesions", xlabel="width of the path in voxels", ylim=(0, 1))
    axes.set_xticks(places, paths)
    bare(figure, axes, ink, "y")
    figure.legend(loc="outside upper center", ncols=len(SIZES), frameon=False, labelcolor=ink)
    return figure


def _means(gates: Floats, seed: int) -> Floats:
    """Means of draws with replacement, (draws, paths)."""
    count = len(gates)
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), _SAMPLES) @ gates / count
