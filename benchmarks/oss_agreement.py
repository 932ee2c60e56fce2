"""Whether looking only near boundaries gives the label maps of looking everywhere, on the test cases of a data list.

    python benchmarks/oss_agreement.py --model hippocampus-mr-oss-net --data runs/hippocampus.json [--finer 2]

Each image is encoded once; both label maps are read from that field. Prints, over cases: voxels that differ as a share
of the union of both foregrounds, labels lost, points asked per voxel, and seconds of both.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hrseg.data_list import read_case, read_data_list
from hrseg.methods import Options, method_of
from hrseg.model_file import load_model
from hrseg.model_store import find_model
from hrseg.oss_net.field import Field
from hrseg.runtime import CPU, Run


def differing(ours: NDArray, dense: NDArray) -> float:
    """Voxels of different labels, as a share of those that have a label in either map."""
    return float((ours != dense).sum() / max(1, ((ours > 0) | (dense > 0)).sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="name or file")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--finer", type=int, default=1, help="output voxels per voxel of the image, along each axis")
    arguments = parser.parse_args()
    model = load_model(find_model(arguments.model))
    method = method_of(model)
    data = read_data_list(arguments.data)
    values = data.value_map(model.header.labels)
    shares, points, lost, seconds = [], [], 0, np.zeros(2)
    for case in data.cases("test"):
        image, _ = read_case(case, values)
        field = method.segment(image, Options(), Run(CPU)).continuous
        assert isinstance(field, Field)
        grid = image.grid.finer(arguments.finer)
        maps = []
        for number, kind in enumerate(("boundary", "dense")):
            asked = Field(model.with_inference({"evaluation": kind}), field.grid, field.source, field.encoding)
            start = time.perf_counter()
            maps.append(asked.label_map(grid).array)
            seconds[number] += time.perf_counter() - start
            if kind == "boundary":
                points.append(asked.points / grid.size)
        shares.append(differing(*maps))
        lost += len(set(np.unique(maps[1])) - set(np.unique(maps[0])))
    near, dense = seconds / len(shares)
    print(f"{len(shares)} cases, {arguments.finer} output voxels per voxel along each axis")
    print(f"differing: mean {100 * np.mean(shares):.3f} %, largest {100 * max(shares):.3f} % of both foregrounds")
    print(f"labels lost: {lost}; points asked per voxel: {np.mean(points):.3f}")
    print(f"seconds: {near:.2f} near boundaries, {dense:.2f} everywhere")


if __name__ == "__main__":
    main()
