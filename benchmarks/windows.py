"""Our overlapping windows against MONAI's, side by side: seconds and peak memory, each run in a process of its own.

    python benchmarks/windows.py

The predictor is one cheap convolution to six classes, so that what is measured is the windows' own work.
"""

from __future__ import annotations

import subprocess
import sys
import time

import torch
from monai.inferers import sliding_window_inference

from hrseg.memory import MIB, PeakMemory, return_freed_memory
from hrseg.windows import blend_windows, blended_slabs

WINDOW = (64, 80, 80)
SIZES = ((96, 96, 96), (128, 192, 192), (192, 256, 256))
WAYS = ("MONAI", "ours, whole", "ours, slabs to labels")


def run(way: str, volume: torch.Tensor, predict: torch.nn.Module) -> torch.Tensor:
    if way == "MONAI":
        return sliding_window_inference(volume[None], WINDOW, 1, predict, overlap=0.5, mode="gaussian")[0].argmax(0)
    if way == "ours, whole":
        return blend_windows(volume, WINDOW, predict, overlap=0.5).argmax(0)
    slabs = blended_slabs(volume, WINDOW, predict, overlap=0.5)
    return torch.cat([slab.argmax(0).to(torch.uint8) for _, slab in slabs])


def measure(way: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    return_freed_memory()
    volume, predict = torch.rand(1, *shape), torch.nn.Conv3d(1, 6, 1)
    with torch.no_grad():
        run(way, torch.rand(1, *WINDOW), predict)
        peak, began = PeakMemory(torch.device("cpu")), time.perf_counter()
        labels = run(way, volume, predict)
    seconds = time.perf_counter() - began
    size = "x".join(map(str, shape))
    print(f"| {size} | {way} | {seconds:.2f} | {peak.bytes() / MIB:.0f} | {int(labels.sum())} |", flush=True)


def main() -> None:
    if len(sys.argv) > 1:
        measure(sys.argv[1], tuple(int(n) for n in sys.argv[2].split("x")))
        return
    print("| voxels | windows | seconds | peak MiB | checksum |\n| --- | --- | --- | --- | --- |", flush=True)
    for shape in SIZES:
        for way in WAYS:
            subprocess.run([sys.executable, __file__, way, "x".join(map(str, shape))], check=True)


if __name__ == "__main__":
    main()
