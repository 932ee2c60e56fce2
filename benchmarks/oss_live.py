"""How soon the worker answers about a field that it holds: slices of 512 x 512 pixels, and regions of 128³ voxels.

    python benchmarks/oss_live.py --model MODEL --image IMAGE [--device cpu]

Times are those of the caller: from the request to the array in its memory, through the worker process. Slices are
scrolled through what was found, then zoomed from the whole image into its border; regions lie around the border, two
and four times as fine as the image.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hrseg.geometry import Box, Grid
from hrseg.image import read_image
from hrseg.model_store import find_model
from hrseg.worker.client import WorkerClient
from hrseg.worker.messages import GridEntry, SampleRequest

PIXELS, SIDE = 512, 128


def ask(client: WorkerClient, request: SampleRequest, grid: Grid | None = None) -> tuple[float, NDArray]:
    """Seconds, and the label map."""
    began = time.perf_counter()
    client.submit(replace(request, grid=None if grid is None else GridEntry.of(grid)))
    done = client.wait()
    return time.perf_counter() - began, client.array(done.result["label_map"])


def plane(grid: Grid, k: float, center: NDArray, zoom: float) -> Grid:
    """An axial slice view of the image: (1, 512, 512) pixels; zoom 1 has all of the image."""
    step = max(grid.shape[1:]) / PIXELS / zoom
    start = np.array([k, *(center - step * (PIXELS - 1) / 2)])
    affine = grid.affine.copy()
    affine[:3, :2] *= step
    affine[:3, 3] = grid.to_world(start)
    return Grid((1, PIXELS, PIXELS), affine)


def report(name: str, seconds: list[float]) -> None:
    half, most, worst = 1000 * np.percentile(seconds, [50, 90, 100])
    print(f"| {name} | {half:.0f} | {most:.0f} | {worst:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    image, client = read_image(arguments.image), WorkerClient()
    grid = image.grid
    file = client.image_file("image", image.array, grid.affine, image.name)
    request = SampleRequest(image=file, model=str(find_model(arguments.model)), device=arguments.device)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    print(f"image {grid.shape}, {os.cpu_count()} cores, load {load:.1f}\n")
    first, labels = ask(client, request)
    inside = np.argwhere(labels)
    low, high = inside.min(axis=0), inside.max(axis=0)
    middle = (np.array(grid.shape) - 1) / 2
    border = inside[inside[:, 2].argmax()]
    print("| | median ms | 90 % ms | worst ms |\n| --- | --- | --- | --- |")
    report("start, load, encode, own grid", [first])
    report("own grid again", [ask(client, request)[0] for _ in range(3)])
    planes = [plane(grid, k, middle[1:], 1) for k in np.linspace(low[0], high[0], 30)]
    report("scroll, 512 x 512", [ask(client, request, p)[0] for p in planes])
    planes = [plane(grid, border[0], border[1:].astype(float), zoom) for zoom in np.linspace(1, 8, 30)]
    report("zoom, 512 x 512", [ask(client, request, p)[0] for p in planes])
    for factor in (2, 4):
        fine = grid.finer(factor)
        start = np.clip(factor * border - SIDE // 2, 0, np.maximum(np.array(fine.shape) - SIDE, 0)).tolist()
        box = Box((start[0], start[1], start[2]), (start[0] + SIDE, start[1] + SIDE, start[2] + SIDE)).clip(fine.shape)
        name = f"region {box.shape}, {factor} x as fine"
        report(name, [ask(client, request, fine.crop(box))[0] for _ in range(3)])
    client.close()


if __name__ == "__main__":
    main()
