r"""Does a result follow the image, and how much of it lasts when the image is another one of the same thing?

    python benchmarks/robustness.py --model headneck-ct-patch-based --data runs/headneck.json --cases 2
    python benchmarks/robustness.py --model headneck-ct-patch-based --image scan.nii.gz

Images are segmented as they are, and as copies: flipped, axes in another order, turned, at other spacings, cropped,
with noise and with other grey values (shares of what the model takes as the range of grey values, or their standard
deviation). Each copy goes through a file. Its result is brought back by its geometry and compared, where the copy
shows anything, with the result of the image itself, and both with the truth where there is one. What resampling alone
costs is told by the result of the image itself, taken to the copy's voxels and back.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hrseg.data_list import read_case, read_data_list
from hrseg.evaluation.copies import Copy, copies
from hrseg.geometry import Grid
from hrseg.image import Image, LabelMap, read_image, write_image
from hrseg.methods import Method, Options, method_of, segment_on
from hrseg.model_file import load_model
from hrseg.model_store import find_model
from hrseg.preprocess import prepare
from hrseg.runtime import Run, choose_device

Labels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Case:
    """An image, the grid on which results are compared, its truth if there is one, and the label values drawn there."""

    name: str
    image: Image
    grid: Grid
    truth: Labels | None = None
    values: tuple[int, ...] = ()


@dataclass
class Row:
    """What came of one kind of copy, a number per case."""

    own: list[float] = field(default_factory=list)
    resampled: list[float] = field(default_factory=list)
    true: list[float] = field(default_factory=list)
    change: list[float] = field(default_factory=list)
    differing: int = 0
    voxels: int = 0

    def text(self, name: str) -> str:
        """A row of the table."""
        differing = f"{self.differing:,} of {self.voxels:,}" if self.voxels else "–"
        resampled = "–" if self.voxels else f"{np.mean(self.resampled):.4f}"
        truth = f"{np.mean(self.true):.4f} | {np.mean(self.change):+.4f}" if self.true else "– | –"
        return f"| {name} | {np.mean(self.own):.4f} | {min(self.own):.4f} | {resampled} | {differing} | {truth} |"


def agreement(a: NDArray, b: NDArray) -> float:
    """Dice of all labels together: of the voxels labelled in either, how many have the same label in both."""
    labelled = np.count_nonzero(a) + np.count_nonzero(b)
    return 2 * np.count_nonzero((a == b) & (a > 0)) / labelled if labelled else 1.0


def mean_dice(found: Labels, truth: Labels, values: tuple[int, ...]) -> float | None:
    """Mean Dice of the labels that are there; None where none is."""
    scores = [agreement(found == v, truth == v) for v in values if (truth == v).any()]
    return float(np.mean(scores)) if scores else None


def through_file(copy: Copy, folder: Path) -> Copy:
    path = folder / "copy.nrrd"
    array = copy.image.array
    write_image(path, array if copy.image.channels > 1 else array[0], copy.image.grid)
    return Copy(copy.name, read_image(path), copy.world, copy.same_voxels)


def segmented(method: Method, image: Image, grid: Grid, device: torch.device) -> LabelMap:
    """The label map, finer than the image where the grid is and the method can."""
    return segment_on(method, image, grid, Options(), Run(device))[0].label_map


def score(copy: Copy, found: Labels, expected: Labels, case: Case, fine: Grid, row: Row) -> None:
    shown = copy.shown(case.grid)
    a, b = found[shown], expected[shown]
    row.own.append(agreement(a, b))
    if copy.same_voxels:
        row.differing += int(np.count_nonzero(a != b))
        row.voxels += a.size
    else:
        there = copy.back(copy.forth(expected, case.grid, fine), case.grid)
        row.resampled.append(agreement(there[shown], b))
    if case.truth is not None:
        truth = case.truth[shown]
        now, before = mean_dice(a, truth, case.values), mean_dice(b, truth, case.values)
        if now is not None and before is not None:
            row.true.append(now)
            row.change.append(now - before)


def run_case(method: Method, case: Case, device: torch.device, rows: dict[str, Row]) -> None:
    first = segmented(method, case.image, case.grid, device)
    whole = Copy("the image itself", case.image)
    expected = whole.back(first, case.grid)
    print(f"{case.name}: {np.count_nonzero(expected):,} of {expected.size:,} voxels labelled", flush=True)
    score(whole, expected, expected, case, case.grid, rows.setdefault(whole.name, Row()))
    greys = prepare(case.image, method.model.header).greys[: case.image.channels]
    with tempfile.TemporaryDirectory() as folder:
        for made in copies(case.image, greys):
            copy = through_file(made, Path(folder))
            fine = copy.finer(case.image.grid, case.grid)
            found = copy.back(segmented(method, copy.image, fine, device), case.grid)
            score(copy, found, expected, case, fine, row := rows.setdefault(copy.name, Row()))
            print(f"  {copy.name}: {row.own[-1]:.4f}", flush=True)


def listed(path: Path, split: str, count: int | None, method: Method) -> Iterator[Case]:
    data, labels = read_data_list(path), method.model.header.labels
    for case in data.cases(split)[:count]:
        image, truth = read_case(case, data.value_map(labels))
        drawn = tuple(label.value for label, there in zip(labels, case.annotated(labels), strict=True) if there)
        yield Case(case.name, image, truth.grid, truth.array, drawn)


def single(paths: list[Path]) -> Iterator[Case]:
    for path in paths:
        image = read_image(path)
        yield Case(path.name, image, image.grid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="data list, with truth")
    source.add_argument("--image", type=Path, nargs="+", help="images without truth")
    parser.add_argument("--split", default="test")
    parser.add_argument("--cases", type=int, help="only the first ones of the split")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    method, device = method_of(load_model(find_model(arguments.model))), choose_device(arguments.device)
    given = arguments.data
    cases = listed(given, arguments.split, arguments.cases, method) if given else single(arguments.image)
    rows: dict[str, Row] = {}
    for case in cases:
        run_case(method, case, device, rows)
    print(f"\n{arguments.model} on {device}, torch {torch.__version__}\n")
    columns = ["copy", "Dice with the image's result", "worst", "of resampling alone", "voxels differing"]
    print(f"| {' | '.join([*columns, 'Dice with truth', 'change'])} |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, row in rows.items():
        print(row.text(name))


if __name__ == "__main__":
    main()
