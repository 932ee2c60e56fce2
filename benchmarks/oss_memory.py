"""Peak memory of the field, each row in a process of its own.

    python benchmarks/oss_memory.py output [--sizes 256 512 1024]     # one encoded image, label maps of several sizes
    python benchmarks/oss_memory.py volume [--sizes 256 512]          # an image of that size, label map on its grid
    python benchmarks/oss_memory.py networks [--sizes 64 128 256]     # training step and inference, beside the 3D U-Net

Weights are random. In the first two the label map is that of a ball, whatever the network computes. `networks` at 256
needs some 40 GB for the U-Net's training step.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

import numpy as np
import torch
from torch import Tensor, nn

from hrseg.blocks import ResidualUNet
from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.labels import Label
from hrseg.memory import MIB, PeakMemory, return_freed_memory
from hrseg.methods import Options, method_class
from hrseg.model_file import Header, Intensity, Model, Preprocessing
from hrseg.oss_net import method as module
from hrseg.oss_net.encoding import Encoding, Prior, encode
from hrseg.oss_net.field import Field
from hrseg.oss_net.losses import point_loss
from hrseg.oss_net.method import OssNet
from hrseg.runtime import Run
from hrseg.training.losses import masked_dice_ce
from hrseg.windows import blend_windows

WIDTHS = [16, 32, 64, 128]
POINTS = 8192
TITLES = {
    "output": ["label map", "MiB above image and label map", "label map MiB", "s", "points per voxel"],
    "volume": ["image", "MiB above the image", "forecast MiB", "encoding s", "label map s", "points per voxel"],
    "networks": ["voxels", "network", "training step MiB", "inference MiB"],
}


class Ball(Encoding):
    """Computes all that ``inner`` does, but says that there is a ball as large as a third of the volume."""

    def __init__(self, inner: Encoding) -> None:
        self.image, self._inner = inner.image, inner
        self._shape = np.array(inner.image.shape[1:])
        stride = 4
        nodes = np.indices(-(-self._shape // stride)).transpose(1, 2, 3, 0) * stride + (stride - 1) / 2
        inside = 1 / (1 + np.exp(-self._inside(nodes.astype(np.float32))))
        self.prior = Prior(np.stack([1 - inside, inside]).astype(np.float32), (stride, stride, stride))

    def logits(self, points: Tensor) -> Tensor:
        inside = torch.from_numpy(self._inside(points.numpy()))
        return torch.stack([0 * inside, inside], dim=1) + 0 * self._inner.logits(points)

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def _inside(self, points: np.ndarray) -> np.ndarray:
        center = (self._shape - 1) / 2
        return (self._shape.min() / 3 - np.linalg.norm(points - center, axis=-1)).clip(-30, 30).astype(np.float32)


def oss_net() -> OssNet:
    header = Header(
        name="noise",
        method="oss_net",
        dimension=3,
        channels=["CT"],
        labels=[Label(1, "ball", (255, 0, 0))],
        preprocessing=Preprocessing(intensity=Intensity(kind="window", low=0, high=255)),
        network={},
    )
    torch.manual_seed(0)
    return OssNet(Model(header, method_class("oss_net").build(header).eval().requires_grad_(False)))


def noise(size: int) -> Image:
    gray = np.random.default_rng(0).integers(0, 255, (1, size, size, size), dtype=np.int16)
    return Image(gray, Grid.from_spacing((size, size, size)), "noise")


def measure_output(size: int) -> None:
    method = oss_net()
    field = method.field(noise(256), Run())
    run = Run()
    began = time.perf_counter()
    array = field.label_map(field.source.resized((size, size, size)), run=run).array
    seconds = time.perf_counter() - began
    above = run.peak_memory["field"] - array.nbytes
    row = f"{above / MIB:.0f} | {array.nbytes / MIB:.0f} | {seconds:.1f} | {field.points / array.size:.4f}"
    print(f"| {size}³ | {row} |", flush=True)


def measure_volume(size: int) -> None:
    method, image, run = oss_net(), noise(size), Run()
    forecast = method.forecast(image, Options(), run.device)
    run.count_memory_from_here()
    result = method.segment(image, Options(), run)
    field, seconds = result.continuous, result.seconds
    assert isinstance(field, Field)
    row = f"{result.peak_memory / MIB:.0f} | {forecast / MIB:.0f} | {seconds['encoding']:.1f} | {seconds['field']:.1f}"
    print(f"| {size}³ | {row} | {field.points / image.grid.size:.4f} |", flush=True)


def measure_networks(size: int, name: str) -> None:
    network: nn.Module
    if name == "U-Net":
        network = ResidualUNet(3, 1, 2, WIDTHS, [[2] * 3] * 3)
    else:
        settings = {} if name == "field" else {"variant": name}
        header = oss_net().model.header.model_copy(update={"network": settings})
        network = method_class("oss_net").build(header)
    optimizer = torch.optim.AdamW(network.parameters())
    training_step(network, optimizer, 16 if name == "U-Net" else 32)
    return_freed_memory()
    peak = PeakMemory(torch.device("cpu"))
    training_step(network, optimizer, size)
    trained = peak.bytes()
    del optimizer
    network.zero_grad(set_to_none=True)
    network.eval().requires_grad_(False)
    return_freed_memory()
    peak = PeakMemory(torch.device("cpu"))
    image = torch.rand(1, size, size, size)
    if name == "U-Net":
        blend_windows(image, (64, 64, 64), lambda x: network(x).softmax(dim=1))
    else:
        encoding = encode(network, image.half(), (1, 1, 1))
        for _ in range(4):
            encoding.logits(torch.rand(16384, 3) * (size - 1))
    print(f"| {size}³ | {name} | {trained / MIB:.0f} | {peak.bytes() / MIB:.0f} |", flush=True)


def training_step(network: nn.Module, optimizer: torch.optim.Optimizer, size: int) -> None:
    image, drawn = torch.rand(1, 1, size, size, size), torch.ones(1, 1, dtype=torch.bool)
    if isinstance(network, ResidualUNet):
        target = torch.randint(0, 2, (1, size, size, size))
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(image)
        masked_dice_ce(logits, target, drawn)["loss"].backward()
    else:
        # All in 48 cubes of 16 voxels, as in training.
        corner = torch.randint(0, max(1, size // 16), (1, 48, 3)).repeat_interleave(-(-POINTS // 48), dim=1) * 16
        points = corner[:, :POINTS] + 15 * torch.rand(1, POINTS, 3)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(image, points, torch.ones(1, 3)).logits
        point_loss(logits, torch.randint(0, 2, (1, POINTS)), drawn)["loss"].backward()
    optimizer.step()
    optimizer.zero_grad()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=list(TITLES))
    parser.add_argument("--sizes", type=int, nargs="*", default=[])
    parser.add_argument("--networks", nargs="*", default=["U-Net", "field", "O-Net", "C"])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = arguments.sizes or {"output": [256, 512, 1024], "volume": [256, 512], "networks": [64, 128]}[arguments.what]
    if arguments.one:
        if arguments.what == "networks":
            measure_networks(sizes[0], arguments.networks[0])
        else:
            encode_plainly = module.encode
            module.encode = lambda *given: Ball(encode_plainly(*given))  # type: ignore[assignment]
            {"output": measure_output, "volume": measure_volume}[arguments.what](sizes[0])
        return
    columns = TITLES[arguments.what]
    print(f"| {' | '.join(columns)} |\n{'| --- ' * len(columns)}|", flush=True)
    for size in sizes:
        for name in arguments.networks if arguments.what == "networks" else [""]:
            extra = ["--networks", name] if name else []
            command = [sys.executable, __file__, arguments.what, "--one", "--sizes", str(size), *extra]
            code = subprocess.run(command).returncode
            if code:
                # Most often for want of memory, which ends a process without a word.
                print(f"| {size}³ | {name} not measured: exit code {code} |", flush=True)


if __name__ == "__main__":
    main()
