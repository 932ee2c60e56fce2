"""How long label maps of real shapes take at 256³: near boundaries, densely, and as the released code does it.

    python benchmarks/oss_speed.py FOLDER [--threads 2] [--rounds 3] [--released-share 0.05]

FOLDER holds synthseg_brain_labelmaps (whole heads, 256³, 1 mm). The networks have their default sizes and random
weights, and all they compute is computed; what they say is then replaced by the blurred label map, so that every scheme
follows the same real boundaries and the same prior. One run, one process; the field's rows in turns, of which the
median counts. At 4 million multiplications per point all
that variant C needs takes hours on a CPU: with `--released-share` below 1 only that share of the chunks goes through
its network, and the time of the others is added as if they had.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from hrseg.geometry import Box, Grid
from hrseg.image import read_label_map
from hrseg.labels import Label
from hrseg.methods import method_class
from hrseg.model_file import Header, Intensity, Model, Preprocessing
from hrseg.oss_net.encoding import Encoding, Prior, encode
from hrseg.oss_net.field import Field
from hrseg.oss_net.interpolation import rows_at

#: Numbers in the label maps that belong to what is segmented.
SHAPES = {
    "cerebrum": [[2, 3, 4, 5, 10, 11, 12, 13, 17, 18, 26, 41, 42, 43, 44, 49, 50, 51, 52, 53, 54, 58]],
    "tissues": [[2, 41], [3, 42], [4, 5, 14, 15, 43, 44]],
}
STRIDE = 4
PUBLISHED = {"sides": [128, 128, 128], "widths": [16, 32, 64, 128]}


class Known(Encoding):
    """Computes all that ``inner`` does, but says what is known: logits (classes, K, J, I)."""

    def __init__(self, inner: Encoding, known: Tensor, prior: Prior, share: float = 1.0) -> None:
        self.image, self.prior, self._inner, self._shape = inner.image, prior, inner, known.shape[1:]
        self._table, self._share = known.flatten(1).t().contiguous(), share
        # The first chunk goes through the network.
        self._turn, self._skipped, self._asked, self._seconds = 1 - share, 0, 0, 0.0

    @property
    def left_out(self) -> float:
        """Seconds that the points left out would have taken."""
        return self._skipped * self._seconds / max(1, self._asked)

    def logits(self, points: Tensor) -> Tensor:
        values = rows_at(self._table, points, self._shape)
        self._turn += self._share
        if self._turn < 1:
            self._skipped += len(points)
            return values
        self._turn -= 1
        began = time.perf_counter()
        values = values + 0 * self._inner.logits(points)
        self._seconds += time.perf_counter() - began
        self._asked += len(points)
        return values

    def tensors(self) -> dict[str, Tensor]:
        return {}


def known_logits(label: NDArray[np.uint8], classes: int) -> Tensor:
    """Logits of classes whose masks are blurred a little, as a network's would be."""
    rows = []
    for value in range(classes):
        mask = torch.from_numpy((label == value).astype(np.float32))[None, None]
        for _ in range(2):
            mask = F.avg_pool3d(F.pad(mask, [1] * 6, mode="replicate"), 3, 1)
        rows.append(mask[0, 0])
    return 8 * torch.stack(rows)


def prior_of(label: NDArray[np.uint8], classes: int, stride: int) -> Prior:
    one_hot = F.one_hot(torch.from_numpy(label).long(), classes).movedim(-1, 0)[None].float()
    return Prior(F.avg_pool3d(one_hot, stride)[0].numpy(), (stride, stride, stride))


def field(
    grid: Grid, known: Tensor, prior: Prior, network: dict[str, object], share: float = 1.0, **inference: object
) -> Field:
    classes = len(known)
    header = Header(
        name="brain",
        method="oss_net",
        dimension=3,
        channels=["MR"],
        labels=[Label(n, f"tissue {n}", (200, 0, 0)) for n in range(1, classes)],
        preprocessing=Preprocessing(intensity=Intensity(kind="zscore")),
        network=network,
        inference=inference,
    )
    torch.manual_seed(0)
    model = Model(header, method_class("oss_net").build(header).eval().requires_grad_(False))
    image = torch.randn(1, *grid.shape).half()
    began = time.perf_counter()
    encoding = encode(model.network, image, grid.spacing)
    result = Field(model, grid, grid, Known(encoding, known, prior, share))
    result.encoding_seconds = time.perf_counter() - began  # type: ignore[attr-defined]
    return result


def timed(found: Field, grid: Grid) -> tuple[NDArray[np.uint8], float]:
    began = time.perf_counter()
    array = found.label_map(grid).array
    seconds = time.perf_counter() - began
    encoding = found.encoding
    assert isinstance(encoding, Known)
    return array, seconds + encoding.left_out


def compare(name: str, label: NDArray[np.uint8], rounds: int, released_share: float) -> None:
    classes = int(label.max()) + 1
    grid = Grid.from_spacing(label.shape)
    known, prior = known_logits(label, classes), prior_of(label, classes, STRIDE)
    coarse = prior_of(label, classes, label.shape[0] // 8)
    c = {"variant": "C", "published": PUBLISHED}
    rows = {
        "field, near boundaries": field(grid, known, prior, {}),
        "field, dense": field(grid, known, prior, {}, evaluation="dense"),
        "variant C, released scheme": field(grid, known, coarse, c, released_share, evaluation="released"),
        "variant C, near boundaries": field(grid, known, coarse, c, released_share),
    }
    fast = rows["field, near boundaries"]
    middle = (np.argwhere(label > 0).mean(axis=0)).astype(int)
    region = grid.crop(Box.whole((32, 32, 32)).shift((middle - 16).tolist())).finer(4)
    timed(fast, region)  # torch loads what it needs

    arrays: dict[str, NDArray[np.uint8]] = {}
    taken: dict[str, list[float]] = {title: [] for title in rows}
    for turn in range(rounds):
        for title, found in rows.items():
            if not turn or title.startswith("field"):
                arrays[title], seconds = timed(found, grid)
                taken[title].append(seconds)
    reference, first = arrays["field, near boundaries"], 0.0
    for title, found in rows.items():
        array, seconds = arrays[title], statistics.median(taken[title])
        total = seconds + found.encoding_seconds  # type: ignore[attr-defined]
        first = first or total
        union = int(((array > 0) | (reference > 0)).sum())
        print(
            f"| {name} | {title} | {found.encoding_seconds:.2f} | {seconds:.2f} | {total:.2f} | {total / first:.1f} | "  # type: ignore[attr-defined]
            f"{found.points / grid.size:.4f} | {(array != reference).sum() / union:.6f} |",
            flush=True,
        )
    plane = grid.crop(Box((int(middle[0]), 64, 64), (int(middle[0]) + 1, 192, 192))).resized((1, 512, 512))
    for title, part in (("region of 128³, 4 times finer", region), ("slice of 512², 4 times finer", plane)):
        seconds = statistics.median(timed(fast, part)[1] for _ in range(rounds))
        print(f"| {name} | {title} | | {seconds:.3f} | | | {fast.points / part.size:.4f} | |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--released-share", type=float, default=0.05)
    parser.add_argument("--shapes", nargs="*", default=list(SHAPES))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| shape | scheme | encoding s | label map s | total s | times slower | points per voxel | differing |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    array = read_label_map(arguments.folder / "training_seg_01.nii.gz").array
    for name in arguments.shapes:
        label = np.zeros(array.shape, dtype=np.uint8)
        for value, numbers in enumerate(SHAPES[name], 1):
            label[np.isin(array, numbers)] = value
        compare(name, label, arguments.rounds, arguments.released_share)


if __name__ == "__main__":
    main()
