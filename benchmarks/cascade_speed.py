r"""The cascade's crops in batches and one by one, and how soon a single drawn box is answered.

    python benchmarks/cascade_speed.py --model nuclei-crop-cascade --image IMAGE

IMAGE is one with many objects, such as those of 1272 x 603 pixels among the nuclei. Runs take turns, so that what else
the machine does falls on all of them; the median of each counts. The 3D network has random weights, which cost the
same.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from hrseg.geometry import Box, Grid
from hrseg.image import Image, read_image
from hrseg.labels import Label
from hrseg.memory import MIB
from hrseg.methods import Method, Options, Result, method_class, method_of
from hrseg.model_file import Header, Intensity, Model, Preprocessing, load_model
from hrseg.model_store import find_model
from hrseg.prompts import RegionBox
from hrseg.runtime import Run, choose_device

ROUNDS = 7


def network_3d() -> Method:
    """A 3D cascade of the size of the bundled ones, for crops of 64^3."""
    header = Header(
        name="random",
        method="crop_cascade",
        dimension=3,
        channels=["CT"],
        labels=[Label(1, "object", (255, 0, 0))],
        preprocessing=Preprocessing(intensity=Intensity(kind="zscore")),
        network={part: {"width": 16, "depth": 4} for part in ("coarse", "fine")},
        inference={"size": [64, 64, 64]},
    )
    network = method_class("crop_cascade").build(header).eval().requires_grad_(False)
    return method_of(Model(header, network))


def one_box(image: Image, side: int, offset: int = 0) -> Options:
    """A box of ``side`` voxels near the middle of the image, to be answered as in an interactive session."""
    shape = image.grid.shape
    start = [max(0, (n - side) // 2 + offset * (n > 1)) for n in shape]
    box = Box((start[0], start[1], start[2]), tuple(min(n, a + side) for n, a in zip(shape, start, strict=True)))  # type: ignore[arg-type]
    return Options(boxes=(RegionBox.of_voxels(box, image.grid),), propose=False, remember=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--image", type=Path, required=True)
    arguments = parser.parse_args()
    model, image, device = load_model(find_model(arguments.model)), read_image(arguments.image), choose_device()
    volume = Image(
        np.random.default_rng(0).normal(size=(1, 128, 256, 256)).astype(np.float32), Grid.from_spacing((128, 256, 256))
    )
    batched, single, deep = method_of(model), method_of(model.with_inference({"batch": 1})), network_3d()
    places = itertools.count()
    rows: dict[str, Callable[[], Result]] = {
        "all objects, in batches": lambda: batched.segment(image, Options(), Run(device)),
        "all objects, one by one": lambda: single.segment(image, Options(), Run(device)),
        "one drawn box, 2D": lambda: batched.segment(replace(image), one_box(image, 40), Run(device)),
        "the next drawn box, 2D": lambda: batched.segment(image, one_box(image, 40, next(places)), Run(device)),
        "one drawn box, 64^3 of 256x256x128": lambda: deep.segment(replace(volume), one_box(volume, 40), Run(device)),
        "the next drawn box, 64^3": lambda: deep.segment(volume, one_box(volume, 40, next(places)), Run(device)),
    }
    results: dict[str, list[Result]] = {name: [] for name in rows}
    for number in range(ROUNDS + 1):
        for name, work in rows.items():
            result = work()
            if number:
                results[name].append(result)
    print(f"{image.grid.shape[2]} x {image.grid.shape[1]} pixels, {torch.get_num_threads()} threads, {device}")
    for name, found in results.items():
        total = statistics.median(r.seconds["total"] for r in found)
        crops = statistics.median(r.seconds["crops"] for r in found)
        memory = max(r.peak_memory for r in found) / MIB
        print(f"{name}: {len(found[0].boxes)} boxes, {total:.3f} s (crops {crops:.3f} s), {memory:.0f} MiB")


if __name__ == "__main__":
    main()
