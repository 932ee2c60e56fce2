"""What one training step of the cascade's network takes at several input sides: peak memory, each in its own process.

    python benchmarks/cascade_memory.py

The network is the recipe's (width 16 in the cpu profile, 32 as published), the batch 16 colour images, as in training.
"""

from __future__ import annotations

import subprocess
import sys

import torch

from hrseg.crop_cascade.network import UNet
from hrseg.memory import MIB, PeakMemory, return_freed_memory
from hrseg.training.losses import masked_dice_ce

BATCH = 16


def step(network: UNet, optimizer: torch.optim.Optimizer, side: int) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(torch.rand(BATCH, 3, side, side))
    target = torch.randint(0, 2, (BATCH, side, side))
    masked_dice_ce(logits, target, torch.ones(BATCH, 1, dtype=torch.bool))["loss"].backward()
    optimizer.step()
    optimizer.zero_grad()


def measure(width: int, side: int) -> None:
    network = UNet(2, 3, 2, width)
    optimizer = torch.optim.AdamW(network.parameters())
    step(network, optimizer, 32)
    return_freed_memory()
    peak = PeakMemory(torch.device("cpu"))
    step(network, optimizer, side)
    print(f"| {width} | {side} | {peak.bytes() / MIB:.0f} |", flush=True)


def main() -> None:
    if len(sys.argv) > 1:
        measure(int(sys.argv[1]), int(sys.argv[2]))
        return
    print("| width | side | MiB |\n| --- | --- | --- |", flush=True)
    for width in (16, 32):
        for side in (32, 64, 96, 128, 256):
            subprocess.run([sys.executable, __file__, str(width), str(side)], check=True)


if __name__ == "__main__":
    main()
