"""The memory forecast against the measured peak, each in a process of its own.

    python benchmarks/memory_forecast.py

Prints a Markdown table for noise volumes and noise images of six sizes each, with networks of random weights as wide as
the cpu profile's.
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

SIZES = {3: (48, 80, 96, 128, 160, 224), 2: (256, 384, 512, 1024, 1536, 2048)}
WINDOWS = {3: [64, 80, 80], 2: [256, 256]}


def model(method: str, dimension: int) -> Model:
    header = Header(
        name="noise",
        method=method,
        dimension=dimension,
        channels=["CT"],
        labels=[Label(value, f"label {value}", (255, 0, 0)) for value in range(1, 6)],
        preprocessing=Preprocessing(intensity=Intensity(kind="window", low=0, high=255)),
        network={"widths": [16, 32, 64, 128, 192]},
        inference={"window": WINDOWS[dimension], "overlap": 0.0},
    )
    return Model(header, method_class(method).build(header).eval().requires_grad_(False))


def measure(method: str, dimension: int, size: int) -> None:
    shape = (size if dimension == 3 else 1, size, size)
    noise = np.random.default_rng(0).integers(0, 255, (1, *shape)).astype(np.int16)
    image = Image(noise, Grid.from_spacing(shape), "noise")
    segmentation = method_of(model(method, dimension))
    # The forecast comes first for users too, and warms up part of what the run needs.
    run = Run()
    forecast = segmentation.forecast(image, Options(), torch.device("cpu"))
    peak = segmentation.segment(image, Options(), run).peak_memory
    power = "³" if dimension == 3 else "²"
    print(f"| {method} | {size}{power} | {forecast / MIB:.0f} | {peak / MIB:.0f} | {forecast / peak:.2f} |", flush=True)


def main() -> None:
    if len(sys.argv) == 4:
        measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
        return
    print("| method | voxels | forecast MiB | measured MiB | ratio |\n| --- | --- | --- | --- | --- |", flush=True)
    for dimension, sizes in SIZES.items():
        for size in sizes:
            subprocess.run([sys.executable, __file__, "patch_based", str(dimension), str(size)], check=True)


if __name__ == "__main__":
    main()
