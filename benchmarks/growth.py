r"""How cost grows: the four methods against sliding windows, seconds and peak memory over growing volumes.

    python benchmarks/growth.py                                   # 128, 192, 256, 384, 512, on the CPU and the GPU
    python benchmarks/growth.py --sizes 64 96 --rows pfseg sasr --device cpu --output /tmp/growth

Each run has a process of its own. All turn N x N x N voxels into a mask of N x N x N voxels; the networks are those of
the phantom recipes (profile cpu) with random weights, and the images are noise, which cost the same as others. What the
cascade and OSS-Net cost depends on what they find: all that they compute is computed, but what the coarse network and
the field say is replaced by five balls, each a quarter of the volume's side wide. SASR-Net sees the image shrunk by its
factor of two.

A row is not run at a size where it would take longer than --limit, judged by the size before. Rows take turns; the
fastest of --rounds counts. Results are kept in docs/results/growth.json, one part per device, and become
docs/benchmarks.md and docs/images/growth.png; --render only makes these again. A run that was interrupted goes on with
the --sizes and --rows that are missing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from growth_report import write_report
from torch import Tensor, nn

from hrseg.geometry import Grid
from hrseg.image import Image, replacing
from hrseg.memory import GIB, MIB
from hrseg.methods import Method, Options, method_class, method_of
from hrseg.model_file import Header, Model, Provenance
from hrseg.oss_net import method as oss_module
from hrseg.oss_net.encoding import Encoding, Prior, encode
from hrseg.runtime import Run, choose_device
from hrseg.training.recipe import read_recipe

ROOT = Path(__file__).parents[1]
#: Row -> recipe, and what its inference has instead of the recipe's.
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "windows": ("phantom-ct-patch-based", {}),
    "crop_cascade": ("phantom-ct-crop-cascade", {}),
    "pfseg": ("phantom-ct-pfseg", {}),
    "sasr": ("phantom-ct-sasr", {"feeds": "shrunk"}),
    "oss_net": ("phantom-ct-oss-net", {}),
}
SIZES = [128, 192, 256, 384, 512]
_WARM = 64
#: Centres of the balls and their radius, as shares of the side, on a diagonal plane so that they stay apart.
_CENTERS = np.array([[0.2, 0.2, 0.2], [0.2, 0.8, 0.8], [0.8, 0.2, 0.8], [0.8, 0.8, 0.2], [0.5, 0.5, 0.5]])
_RADIUS = 0.125
#: Logits per voxel of distance, and at most.
_STEEP, _MOST = 1.0, 15.0


def ball_logits(points: Tensor, sides: Tensor, classes: int) -> Tensor:
    """Logits (P, classes) of the balls at points (P, 3) of a volume with these sides, in voxels."""
    result = points.new_zeros(len(points), classes)
    for number, center in enumerate(_CENTERS):
        place = torch.as_tensor(center, dtype=points.dtype, device=points.device) * sides - 0.5
        inside = _RADIUS * sides.min() - (points - place).norm(dim=1)
        value = 1 + number % (classes - 1)
        # Before the first ball of a label its logit is that of the background.
        best = (_STEEP * inside).clamp(-_MOST, _MOST)
        result[:, value] = best if number < classes - 1 else torch.maximum(result[:, value], best)
    return result


def lattice(shape: tuple[int, ...], stride: float = 1.0) -> Tensor:
    """Centres (P, 3) of the nodes of a lattice, in voxels."""
    axes = [torch.arange(n, dtype=torch.float32) * stride + (stride - 1) / 2 for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


class BallField(Encoding):
    """Computes all that ``inner`` does, but says the balls."""

    def __init__(self, inner: Encoding, classes: int) -> None:
        assert inner.prior is not None
        self.image, self._inner, self._classes = inner.image, inner, classes
        self._sides = torch.tensor(inner.image.shape[1:], dtype=torch.float32, device=inner.image.device)
        nodes, strides = inner.prior.probability.shape[1:], inner.prior.strides
        values = ball_logits(lattice(nodes, strides[0]), self._sides.cpu(), classes).softmax(1)
        self.prior = Prior(values.t().reshape(classes, *nodes).numpy(), strides)

    def logits(self, points: Tensor) -> Tensor:
        return ball_logits(points, self._sides, self._classes) + 0 * self._inner.logits(points)

    def tensors(self) -> dict[str, Tensor]:
        return {}


class BallCoarse(nn.Module):
    """Computes all that ``inner`` does, but says the balls."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        said = self.inner(x)
        shape = tuple(said.shape[2:])
        sides = torch.tensor(shape, dtype=said.dtype, device=said.device)
        balls = ball_logits(lattice(shape).to(said), sides, said.shape[1])
        return 0 * said + 4 * balls.t().reshape(1, -1, *shape)


def method(row: str, profile: str) -> Method:
    """The method of a row with random weights; images are taken at their own spacing, as a whole."""
    recipe_name, inference = ROWS[row]
    recipe = read_recipe(ROOT / "recipes" / f"{recipe_name}.yaml", profile)
    preprocessing = recipe.preprocessing.model_copy(update={"spacing": None, "subject_above": None})
    changed = {"preprocessing": preprocessing, "inference": {**recipe.inference, **inference}}
    header = Header.model_validate(recipe.model_copy(update=changed).header(Provenance()).model_dump())
    torch.manual_seed(0)
    network = method_class(header.method).build(header).eval().requires_grad_(False)
    if row == "crop_cascade":
        network.coarse = BallCoarse(network.get_submodule("coarse"))
    if row == "oss_net":
        oss_module.encode = lambda *given: BallField(encode(*given), header.classes)  # type: ignore[assignment]
    return method_of(Model(header, network))


def noise(side: int) -> Image:
    values = np.random.default_rng(0).integers(-160, 240, (1, side, side, side), dtype=np.int16)
    return Image(values, Grid.from_spacing((side, side, side)), "noise")


def measure(row: str, side: int, device: torch.device, profile: str) -> dict[str, Any]:
    """One run after a small one that does not count, which loads code and begins what a GPU needs."""
    chosen = method(row, profile)
    chosen.segment(noise(min(side, _WARM)), Options(), Run(device))
    image = noise(side)
    result = chosen.segment(image, Options(), Run(device))
    assert result.label_map.array.shape == (side, side, side)
    return {
        "seconds": round(result.seconds["total"], 3),
        "mib": round(result.peak_memory / MIB, 1),
        "boxes": len(result.boxes),
        "share": round(float((result.label_map.array > 0).mean()), 4),
        "notices": result.notices,
    }


def measured(row: str, side: int, arguments: argparse.Namespace, device: str) -> dict[str, Any]:
    """The same in a process of its own; ``failed`` says why there are no numbers."""
    command = [sys.executable, __file__, "--one", row, "--sizes", str(side), "--device", device]
    command += ["--profile", arguments.profile]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=3 * arguments.limit + 60)
    except subprocess.TimeoutExpired:
        return {"failed": f"stopped after {3 * arguments.limit / 60 + 1:.0f} minutes"}
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"failed": lines[-1][:200] if lines else f"ended by signal {-done.returncode}, as where memory ran out"}
    return json.loads(done.stdout.splitlines()[-1])


def run_device(arguments: argparse.Namespace, device: str, content: dict[str, Any], path: Path) -> None:
    """All rows over all sizes on a device; what is known so far is written after each run.

    Rows and sizes that were measured before, in the same conditions, stay.
    """
    conditions = {
        "machine": machine(device),
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "rounds": arguments.rounds,
        "profile": arguments.profile,
    }
    kept = content.get(device, {})
    rows = kept["rows"] if conditions.items() <= kept.items() else {}
    content[device] = {"date": date.today().isoformat(), **conditions, "rows": rows}
    for row in arguments.rows:
        rows[row] = {size: found for size, found in rows.get(row, {}).items() if int(size) not in arguments.sizes}
    for index, side in enumerate(arguments.sizes):
        smaller = arguments.sizes[index - 1] if index else side
        for _ in range(arguments.rounds):
            for row in arguments.rows:
                before = rows[row].get(str(smaller), {}) if index else {}
                old = rows[row].get(str(side), {})
                if "failed" in old:
                    continue
                skip = _skipped(before, (side / smaller) ** 3, arguments.limit)
                new = {"failed": skip} if skip else measured(row, side, arguments, device)
                better = "seconds" not in old or new.get("seconds", math.inf) < old["seconds"]
                rows[row][str(side)] = new if better else old
                print(device, row, side, new, flush=True)
                write_json(path, content)


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _skipped(before: dict[str, Any], growth: float, limit: float) -> str:
    """Why a run is not worth beginning, judged by the size before; empty where it is."""
    if "failed" in before:
        return "not tried: the size before failed or took too long"
    expected = before.get("seconds", 0) * growth
    return f"not tried: some {expected / 60:.0f} minutes expected" if expected > limit else ""


def machine(device: str) -> str:
    """Processor, cores and memory, and the GPU's name where it is used."""
    cpu = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    text = f"{os.cpu_count()} cores of {name}, {memory:.0f} GiB"
    if device == "cpu":
        return text
    gpu = torch.cuda.get_device_properties(choose_device(device))
    return f"{gpu.name}, {gpu.total_memory / GIB:.0f} GiB; {text}"


def versions() -> str:
    cuda = f", CUDA {torch.version.cuda}" if torch.version.cuda else ""
    itk = sitk.Version.VersionString()
    return (
        f"Python {platform.python_version()}, torch {torch.__version__}{cuda}, numpy {np.__version__}, SimpleITK {itk}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="voxels along each axis")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--device", help="cpu or cuda; both, where there is a GPU, if left out")
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--limit", type=float, default=1200, help="seconds that a run may be expected to take")
    parser.add_argument("--output", type=Path, default=ROOT / "docs")
    parser.add_argument("--render", action="store_true", help="make text and figure of what was measured before")
    parser.add_argument("--one", choices=list(ROWS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        device = choose_device(arguments.device)
        print(json.dumps(measure(arguments.one, arguments.sizes[0], device, arguments.profile)))
        return
    path = arguments.output / "results" / "growth.json"
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    devices = [arguments.device] if arguments.device else ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in [] if arguments.render else devices:
        run_device(arguments, device, content, path)
    if not content:
        sys.exit(f'There is nothing in "{path}" yet; run this without --render.')
    write_report(content, arguments.output)


if __name__ == "__main__":
    main()
