"""Does the result follow the image, whatever way its axes run?

    python benchmarks/orientations.py IMAGE MODEL

Segments an image file and copies of it with flipped and permuted axes through the command line, maps every result back
by its geometry, and prints the share of voxels that differ and the Dice of the foregrounds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from hrseg.image import read_image, read_label_map, write_image

ORIENTATIONS = ("RAS", "LAI", "SAR", "PIL", "ASL", "IRP")


def segment(image: Path, model: str, output: Path) -> None:
    command = [sys.executable, "-m", "hrseg", "segment", str(image), "--model", model, "--output", str(output)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("model")
    arguments = parser.parse_args()
    image = read_image(arguments.image)
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "first.nii.gz"
        segment(arguments.image, arguments.model, first)
        expected = read_label_map(first)
        print(f"{arguments.image.name}, {image.grid.orientation}: {np.count_nonzero(expected.array)} voxels labelled")
        for orientation in ORIENTATIONS:
            change = image.grid.reorientation(orientation)
            copy = image.reoriented(change)
            copied, result = Path(folder) / f"{orientation}.nii.gz", Path(folder) / f"{orientation}-labels.nii.gz"
            write_image(copied, copy.array[0], copy.grid)
            segment(copied, arguments.model, result)
            found = read_label_map(result)
            assert found.grid.matches(copy.grid), f"the result of {orientation} lies elsewhere"
            back = change.inverse.apply(found.array)
            differing = np.count_nonzero(back != expected.array)
            common = np.count_nonzero((back == expected.array) & (back > 0))
            total = np.count_nonzero(back) + np.count_nonzero(expected.array)
            print(f"{orientation}: {differing} of {back.size} voxels differ, Dice {2 * common / max(1, total):.5f}")


if __name__ == "__main__":
    main()
