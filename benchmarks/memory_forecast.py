"""The memory forecast against the measured peak, each in a process of its own.

    python benchmarks/memory_forecast.py

Prints a Markdown table for noise volumes of six sizes, with a network of random weights as wide as the cpu profile's.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import torch

from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.labels import Label
from hrseg.memory import MIB
from hrseg.methods import Options, method_class, method_of
from hrseg.model_file import Header, Intensity, Model, Preprocessing
from hrseg.runtime import Run

SIZES = (48, 80, 96, 128, 160, 224)


def model(method: str) -> Model:
    header = Header(
        name="noise",
        method=method,
        dimension=3,
        channels=["CT"],
        labels=[Label(value, f"label {value}", (255, 0, 0)) for value in range(1, 6)],
        preprocessing=Preprocessing(orientation="LPS", intensity=Intensity(kind="window", low=0, high=255)),
        network={"widths": [16, 32, 64, 128, 192]},
        inference={"window": [64, 80, 80], "overlap": 0.0},
    )
    return Model(header, method_class(method).build(header).eval().requires_grad_(False))


def measure(method: str, size: int) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1, size, size, size)).astype(np.int16)
    image = Image(noise, Grid.from_spacing((size, size, size)), "noise")
    segmentation = method_of(model(method))
    forecast = segmentation.forecast(image, Options(), torch.device("cpu"))
    peak = segmentation.segment(image, Options(), Run()).peak_memory
    print(f"| {method} | {size}³ | {forecast / MIB:.0f} | {peak / MIB:.0f} | {forecast / peak:.2f} |", flush=True)


def main() -> None:
    if len(sys.argv) == 3:
        measure(sys.argv[1], int(sys.argv[2]))
        return
    print("| method | voxels | forecast MiB | measured MiB | ratio |\n| --- | --- | --- | --- | --- |", flush=True)
    for size in SIZES:
        subprocess.run([sys.executable, __file__, "patch_based", str(size)], check=True)


if __name__ == "__main__":
    main()
