r"""PFSeg against sliding windows, side by side: seconds and peak memory over memory budgets, each in its own process.

    python benchmarks/pfseg_speed.py                 # 128 x 192 x 192 and 256^3, CPU
    python benchmarks/pfseg_speed.py --device cuda --sizes 128x192x192 256x256x256 --rounds 3
    python benchmarks/pfseg_speed.py --sizes 512x512x512 --rows pfseg:6

Networks of the published widths with random weights, which cost the same as trained ones; noise images. Windows run at
overlaps of 0.25 and 0.5 and at several window sides; the best of these counts. Rows take turns within a round, so that
what else the machine does falls on all of them; the fastest round counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch

from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.labels import Label
from hrseg.memory import MIB
from hrseg.methods import Method, Options, method_class, method_of
from hrseg.model_file import Header, Intensity, Model, Preprocessing
from hrseg.runtime import GIB, Run, choose_device

#: windows:SIDE:OVERLAP, and pfseg:BUDGET in GiB (0: what is available), with :bf16 in half precision. Also
#: network:ORDER, PFSeg's network alone, all at once, with :compile through torch.compile.
ROWS = [
    *(f"windows:{side}:{overlap}" for side in (64, 96, 128) for overlap in (0.25, 0.5)),
    *(f"pfseg:{budget}" for budget in (0, 2, 1.5, 1, 0.75, 0.5)),
    "pfseg:0:bf16",
]


def model(row: list[str]) -> Method:
    """The method of a row, with fresh weights."""
    windows = row[0] == "windows"
    network: dict[str, Any] = {} if windows else {"super_resolution": False}
    inference: dict[str, Any] = {}
    if windows:
        inference = {"window": [int(row[1])] * 3, "overlap": float(row[2])}
    elif "bf16" in row:
        inference = {"precision": "bfloat16"}
    header = Header(
        name="random",
        method="patch_based" if windows else "pfseg",
        dimension=3,
        channels=["CT"],
        labels=[Label(1, "object", (255, 0, 0))],
        preprocessing=Preprocessing(intensity=Intensity(kind="window", low=0, high=255)),
        network=network,
        inference=inference,
    )
    torch.manual_seed(0)
    return method_of(Model(header, method_class(header.method).build(header).eval().requires_grad_(False)))


def measure(row: list[str], shape: list[int], device: torch.device) -> dict[str, float]:
    """Seconds of inference (the guidance search included), of all processors, and peak memory in MiB."""
    if row[0] == "network":
        return measure_network(row, shape, device)
    method = model(row)
    warm = Image(
        np.random.default_rng(0).integers(0, 255, (1, 64, 64, 64)).astype(np.int16), Grid.from_spacing([64] * 3)
    )
    method.segment(warm, Options(), Run(device))
    noise = np.random.default_rng(0).integers(0, 255, (1, *shape)).astype(np.int16)
    image = Image(noise, Grid.from_spacing(shape), "noise")
    budget = float(row[1]) if row[0] == "pfseg" else 0
    run = Run(device, int(budget * GIB) if budget else None)
    began = time.process_time()
    result = method.segment(image, Options(), run)
    return {
        "seconds": result.seconds["total"] - result.seconds["preparing"],
        "preparing": result.seconds["preparing"],
        "processor": time.process_time() - began,
        "mib": result.peak_memory / MIB,
    }


def measure_network(row: list[str], shape: list[int], device: torch.device) -> dict[str, float]:
    """The same of the network alone on a shrunk image; what the first pass takes longer is "preparing"."""
    network, order = model(["pfseg", "0"]).model.network, torch.contiguous_format
    if "cl" in row:
        order = torch.channels_last_3d
    network = network.to(device, memory_format=order)  # type: ignore[call-overload]
    image = torch.randn(1, 1, *[n // 2 for n in shape], device=device).contiguous(memory_format=order)
    work = torch.compile(network) if "compile" in row else network
    run = Run(device)
    with torch.no_grad():
        for stage in ("first", "again"):
            began = time.process_time()
            with run.stage(stage):
                work(image)
    again = run.seconds["again"]
    return {
        "seconds": again,
        "preparing": run.seconds["first"] - again,
        "processor": time.process_time() - began,
        "mib": run.peak_memory["again"] / MIB,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["128x192x192", "256x256x256"])
    parser.add_argument("--rows", nargs="+", default=ROWS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        shape = [int(n) for n in arguments.sizes[0].split("x")]
        print(json.dumps(measure(arguments.one.split(":"), shape, choose_device(arguments.device))))
        return
    for size in arguments.sizes:
        best: dict[str, dict[str, float]] = {}
        for _ in range(arguments.rounds):
            for row in arguments.rows:
                command = [sys.executable, __file__, "--sizes", size, "--device", arguments.device, "--one", row]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(row, done.stderr.strip().splitlines()[-1], flush=True)
                    continue
                found = json.loads(done.stdout.splitlines()[-1])
                if row not in best or found["seconds"] < best[row]["seconds"]:
                    best[row] = found
        windows = [best[row]["seconds"] for row in best if row.startswith("windows") and row.endswith(":0.5")]
        print(f"\n{size}, {arguments.device}, {torch.get_num_threads()} threads, {arguments.rounds} rounds\n")
        print("| row | s | preparing s | processor s | peak MiB | times faster than the best windows at 0.5 |")
        print("|" + " --- |" * 6)
        for row, found in best.items():
            faster = f"{min(windows) / found['seconds']:.1f}" if windows else ""
            numbers = " | ".join(f"{found[key]:.2f}" for key in ("seconds", "preparing", "processor"))
            print(f"| {row} | {numbers} | {found['mib']:.0f} | {faster} |")


if __name__ == "__main__":
    main()
