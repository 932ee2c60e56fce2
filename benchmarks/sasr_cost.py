"""The full network at low resolution against the U-Net at high resolution, on the same image: seconds and memory.

    python benchmarks/sasr_cost.py --recipe skin-lesion-sasr --profile full

Both give a mask of the same size; weights are random, which cost the same. The U-Net has the same encoder and widths,
and sees the image at the resolution of the mask. Each runs in a process of its own; runs take turns and the median
counts.
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
    print(f"{a.recipe}, {a.profile}, low resolution {shape}, {torch.get_num_threads()} threads, {a.device}")
    print("| network | seconds | peak MiB | mask |\n| --- | --- | --- | --- |")
    for row, runs in found.items():
        seconds, memory = statistics.median(r[0] for r in runs), statistics.median(r[1] for r in runs)
        print(f"| {row} | {seconds:.2f} | {memory / MIB:.0f} | {runs[0][2]} {' '.join(runs[0][3])} |")


if __name__ == "__main__":
    main()
