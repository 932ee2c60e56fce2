"""Is scale awareness learned? Mean gate of each path inside lesions, by tercile of lesion size, on the test cases.

    python benchmarks/sasr_gates.py --model runs/skin-lesion-sasr.safetensors --data runs/skin.json --picture gates.png

Gates are those of the finest level. Were they to follow size, wide paths would be more open in large lesions than in
small ones: the last columns give that difference with its interval over lesions (bootstrap).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from hrseg.data_list import DataList, read_case, read_data_list
from hrseg.evaluation.compare import bootstrap_interval
from hrseg.model_file import Model, load_model
from hrseg.sasr.gates import BINS, gates_of_lesions, size_bin, terciles
from hrseg.sasr.network import SasrNetwork
from hrseg.sasr.settings import NetworkSettings


def lesion_gates(model: Model, data: DataList, split: str) -> list[tuple[float, list[float]]]:
    """Diameter, in voxels of what the network sees, and mean gate per path of each lesion."""
    network, header, found = model.network, model.header, []
    assert isinstance(network, SasrNetwork)
    for case in data.cases(split):
        image, truth = read_case(case, data.value_map(header.labels))
        found += gates_of_lesions(network, header, image, truth, header.inference["window"])
    return found


def draw(table: dict[str, np.ndarray], names: list[str], path: Path, title: str) -> None:
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for n, (size, rows) in enumerate(table.items()):
        places = np.arange(len(names)) + (n - 1) * 0.25
        spread = rows.std(axis=0) / max(1, len(rows)) ** 0.5
        axes.bar(places, rows.mean(axis=0), 0.25, yerr=1.96 * spread, label=f"{size} ({len(rows)})")
    axes.set(ylabel="mean gate inside lesions", title=title, ylim=(0, 1))
    axes.set_xticks(np.arange(len(names)), [f"{name} wide" for name in names])
    axes.legend()
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    names = ["1", *(str(2 * d + 1) for d in NetworkSettings(**model.header.network).dilations)]
    found = lesion_gates(model, read_data_list(arguments.data), arguments.split)
    limits = terciles([diameter for diameter, _ in found])
    table = {
        size: np.array([g for d, g in found if size_bin(d, limits) == size]).reshape(-1, len(names)) for size in BINS
    }
    print("| lesions | " + " | ".join(f"{name} wide" for name in names) + " |\n|" + " --- |" * (len(names) + 1))
    for size, rows in table.items():
        print(f"| {size} ({len(rows)}) | " + " | ".join(f"{value:.3f}" for value in rows.mean(axis=0)) + " |")
    small, large = table["small"], table["large"]
    for n, name in enumerate(names):
        # The interval of a difference of independent means: each resampled around its own.
        low, high = (
            bootstrap_interval(part[:, n] - part[:, n].mean(), 10_000, s) for s, part in ((0, small), (1, large))
        )
        spread = np.hypot(low[1] - low[0], high[1] - high[0]) / 2
        print(f"{name} wide: large - small {large[:, n].mean() - small[:, n].mean():+.4f} ± {spread:.4f}")
    if arguments.picture:
        draw(table, names, arguments.picture, model.header.title)


if __name__ == "__main__":
    main()
