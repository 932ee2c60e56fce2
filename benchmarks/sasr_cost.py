"""The full network at low resolution against the U-Net at high resolution, on the same image: seconds and memory.

    python benchmarks/sasr_cost.py --recipe skin-lesion-sasr --profile full

Both give a mask of the same size; weights are random, which cost the same. The U-Net has the same encoder and widths,
and sees the image at the resolution of the mask. Each runs in a process of its own, where the second run counts, and
memory is its peak above what the process held before; runs take turns and the median counts. Times in brackets are
those of the fastest and the slowest run, ratios are to the network at low resolution.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.memory import MIB
from hrseg.methods import Options, method_class, method_of
from hrseg.model_file import Model, Provenance
from hrseg.runtime import Run, choose_device
from hrseg.training.recipe import read_recipe

RECIPES = Path(__file__).parents[1] / "recipes"
ROUNDS = 5
ROWS = {
    "SASR-Net at low resolution": {},
    "U-Net at low resolution": {"sdc": False, "sr": False, "head": "interpolate"},
    "U-Net at high resolution": {"sdc": False, "sr": False, "head": "interpolate", "factors": 1},
}


def measure(recipe_name: str, profile: str, row: str, shape: list[int], device_name: str) -> None:
    """Prints seconds and peak bytes of one run, after one that does not count."""
    recipe = read_recipe(RECIPES / f"{recipe_name}.yaml", profile)
    network = {**recipe.network, **ROWS[row]}
    high = "factors" in ROWS[row]
    if high:
        network["factors"] = [1] * recipe.dimension
    sides = [n if n == 1 else n * (2 if high else 1) for n in shape]
    inference = {"feeds": "native", "window": recipe.inference["window"]}
    preprocessing = recipe.preprocessing.model_copy(update={"spacing": None, "subject_above": None})
    changed = {"network": network, "inference": inference, "preprocessing": preprocessing}
    header = recipe.model_copy(update=changed).header(Provenance())
    torch.manual_seed(0)
    built = method_class("sasr").build(header).eval().requires_grad_(False)
    method, device = method_of(Model(header, built)), choose_device(device_name)
    array = np.random.default_rng(0).integers(0, 255, (len(header.channels), *sides)).astype(np.uint8)
    image = Image(array, Grid.from_spacing(sides))
    options = Options(resolution="input" if high else "fine")
    method.segment(image, options, Run(device))
    result = method.segment(image, options, Run(device))
    print(json.dumps([result.seconds["total"], result.peak_memory, result.label_map.array.shape, result.notices]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="skin-lesion-sasr")
    parser.add_argument("--profile", default="full")
    parser.add_argument("--shape", type=int, nargs=3, help="(k, j, i) of the low resolution")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--row", help="for internal use")
    a = parser.parse_args()
    dimension = read_recipe(RECIPES / f"{a.recipe}.yaml", a.profile).dimension
    shape = a.shape or ([1, 256, 256] if dimension == 2 else [64, 64, 64])
    if a.row:
        measure(a.recipe, a.profile, a.row, shape, a.device)
        return
    places = ["--recipe", a.recipe, "--profile", a.profile, "--device", a.device, "--shape", *map(str, shape)]
    found: dict[str, list[list]] = {row: [] for row in ROWS}
    for _ in range(a.rounds):
        for row in ROWS:
            command = [sys.executable, __file__, *places, "--row", row]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[row].append(json.loads(done.stdout.splitlines()[-1]))
    sides = " x ".join(str(n) for n in reversed(shape) if n > 1)
    where = torch.cuda.get_device_name() if a.device.startswith("cuda") else f"{torch.get_num_threads()} threads"
    print(f"{a.recipe}, {a.profile}, low resolution {sides}, {where}, {a.rounds} rounds\n")
    print("| network | seconds | times as long | peak MiB | times as much | mask |\n|" + " --- |" * 6)
    first = next(iter(found.values()))
    for row, runs in found.items():
        (seconds, memory), (one, other) = medians(runs), medians(first)
        fastest, slowest = min(r[0] for r in runs), max(r[0] for r in runs)
        mask = " x ".join(str(n) for n in reversed(runs[0][2]) if n > 1)
        notices = f"; {' '.join(runs[0][3])}" if runs[0][3] else ""
        print(
            f"| {row} | {seconds:.2f} ({fastest:.2f} … {slowest:.2f}) | {seconds / one:.1f} | {memory / MIB:.0f} | "
            f"{memory / other:.1f} | {mask}{notices} |"
        )


def medians(runs: list[list]) -> tuple[float, float]:
    """Seconds and bytes."""
    return statistics.median(run[0] for run in runs), statistics.median(run[1] for run in runs)


if __name__ == "__main__":
    main()
