r"""The bundled models on single volumes from elsewhere: time, memory, and whether results follow their geometry.

    python benchmarks/real_volumes.py FOLDER                     # the folder of the data sets
    python benchmarks/real_volumes.py FOLDER --only head

Most volumes show nothing that the models were made for, and no truth belongs to them: what is measured is whether
memory was forecast, whether copies with the same voxels in another order have the same result, and how much a model
finds where it should find nothing. SynthSeg's label maps have no image: grey values like those of a T1 image are drawn
for them, and their hippocampi are the truth for the hippocampus model. Each row has a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from robustness import agreement

from hrseg.bounding_box import bounding_box
from hrseg.evaluation.copies import copies
from hrseg.geometry import Box, Grid, as_shape
from hrseg.image import Image, read_image, read_label_map
from hrseg.memory import MIB
from hrseg.methods import Method, Options, method_of
from hrseg.model_file import load_model
from hrseg.model_store import find_model
from hrseg.runtime import Run, choose_device

HEAD_NECK = [f"headneck-ct-{method}" for method in ("patch-based", "pfseg", "oss-net", "crop-cascade")]
TORSO = [f"phantom-ct-{method}" for method in ("patch-based", "pfseg", "sasr", "oss-net", "crop-cascade")]
HIPPOCAMPUS = ["hippocampus-mr-oss-net"]
MNI = "mni152_template_mr/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
SYNTHSEG = "synthseg_brain_labelmaps/training_seg_0{}.nii.gz"
#: Around the hippocampi of the template, RAS in mm.
_MNI_SIDES = {"right": ((9, -45, -32), (45, 5, 4)), "left": ((-45, -45, -32), (-9, 5, 4))}
_VALUES_OF = {"left": 17, "right": 53}
#: Voxels around a hippocampus, about as in the training images.
_MARGIN = 8
#: Grey values of FreeSurfer's labels in a T1 image; all else in the brain is grey matter.
_WHITE = (2, 7, 16, 28, 41, 46, 60, 85)
_FLUID = (4, 5, 14, 15, 24, 30, 43, 44, 62)
_BRIGHT, _GREY, _DARK, _NOISE = 110, 75, 30, 6
_OUTSIDE_BRAIN, _VALUES = 500, 1000


@dataclass(frozen=True)
class Volume:
    """A volume of the table.

    Attributes:
        title: what the table calls it.
        file: below the folder of the data sets.
        models: that are run on it.
        side: which hippocampus to crop to; all of the volume where empty.
        kind: ``scan``, or the contrast that is drawn for a label map: ``T1`` or ``HU``.
        reordered: whether copies in other orders are tried, too.
    """

    title: str
    file: str
    models: list[str]
    side: str = ""
    kind: str = "scan"
    reordered: bool = True


VOLUMES = {
    "aorta": Volume("chest CT", "totalseg_sample_ct/aorta_case/ct_cropped.nii.gz", HEAD_NECK + TORSO),
    "lesion": Volume("brain MR, thick slices", "pyradiomics_brain_lesion_mr/brain1_image.nrrd", HIPPOCAMPUS),
    "cord": Volume("spinal cord MR, T2", "sct_spinal_cord_mr/t2.nii.gz", HIPPOCAMPUS),
    "cord-thick": Volume("spinal cord MR, T2*", "sct_spinal_cord_mr/t2s.nii.gz", HIPPOCAMPUS),
    "template": Volume("MNI152 template", MNI, HIPPOCAMPUS, reordered=False),
    "template-right": Volume("right hippocampus of it", MNI, HIPPOCAMPUS, "right"),
    "template-left": Volume("left hippocampus of it", MNI, HIPPOCAMPUS, "left"),
    "head": Volume("head drawn from labels", SYNTHSEG.format(1), HEAD_NECK + TORSO, kind="HU", reordered=False),
    **{
        f"drawn-{number}-{side}": Volume(
            f"drawn head {number}, {side} hippocampus", SYNTHSEG.format(number), HIPPOCAMPUS, side, "T1"
        )
        for number in (1, 2)
        for side in ("right", "left")
    },
}


def drawn(labels: NDArray, kind: str) -> NDArray[np.int16]:
    """Grey values (K, J, I) for FreeSurfer's labels: smoothed by half a voxel, with noise."""
    rng = np.random.default_rng(0)
    values = np.full(_VALUES, _GREY, np.float32)
    values[list(_WHITE)], values[list(_FLUID)] = _BRIGHT, _DARK
    values[_OUTSIDE_BRAIN:] = rng.uniform(20, 140, _VALUES - _OUTSIDE_BRAIN)
    values[0] = 0 if kind == "T1" else -1000
    smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(sitk.GetImageFromArray(values[labels]), 0.5))
    return np.rint(smooth + _NOISE * rng.normal(size=smooth.shape)).astype(np.int16)


def loaded(volume: Volume, folder: Path) -> tuple[Image, NDArray[np.bool_] | None]:
    """The image, and the hippocampus in it where that is known."""
    path, side = folder / volume.file, volume.side
    if volume.kind == "scan":
        image = read_image(path)
        return image.crop(mni_box(image.grid, side)) if side else image, None
    found = read_label_map(path)
    image = Image(drawn(found.array, volume.kind)[None], found.grid, volume.title)
    if not side:
        return image, None
    truth = found.array == _VALUES_OF[side]
    tight = bounding_box(truth)
    assert tight
    box = tight.expand(_MARGIN).clip(truth.shape)
    return image.crop(box), truth[box.slices]


def mni_box(grid: Grid, side: str) -> Box:
    """Voxels around a hippocampus of the template."""
    corners = np.rint(grid.to_index(np.array(_MNI_SIDES[side])))
    return Box(as_shape(corners.min(axis=0)), as_shape(corners.max(axis=0)))


def measure(volume: Volume, model: str, folder: Path) -> str:
    """A row of the table."""
    method, device = method_of(load_model(find_model(model))), choose_device("auto")
    image, truth = loaded(volume, folder)
    forecast = method.forecast(image, Options(), device)
    result = method.segment(image, Options(), Run(device))
    found = result.label_map.array
    milliliters = np.count_nonzero(found) * image.grid.voxel_volume / 1000
    size = " x ".join(map(str, reversed(image.grid.shape)))
    cells = [volume.title, size, f"`{model}`", f"{result.seconds['total']:.1f}", f"{forecast / MIB:.0f}"]
    cells += [f"{result.peak_memory / MIB:.0f}", f"{milliliters:.1f}"]
    cells += ["–" if truth is None else f"{agreement(found > 0, truth):.2f}"]
    cells += [worst_copy(method, image, found, device) if volume.reordered else "–"]
    return f"| {' | '.join(cells)} |"


def worst_copy(method: Method, image: Image, found: NDArray[np.uint8], device: torch.device) -> str:
    """The lowest Dice, with the image's own result, of copies that hold the same voxels."""
    worst, differing = 1.0, 0
    for copy in takewhile(lambda copy: copy.same_voxels, copies(image, [(0.0, 1.0)] * image.channels)):
        label_map = method.segment(copy.image, Options(), Run(device)).label_map
        there = copy.back(label_map, image.grid)
        worst, differing = min(worst, agreement(there, found)), differing + np.count_nonzero(there != found)
    return f"{worst:.4f}" if differing else "equal"


def rows(only: list[str]) -> Iterator[tuple[str, str]]:
    for name, volume in VOLUMES.items():
        if not only or name in only:
            yield from ((name, model) for model in volume.models)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(VOLUMES), default=[], help="rows of these volumes")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, model = arguments.one
        print(measure(VOLUMES[name], model, arguments.folder))
        return
    columns = ["volume", "voxels", "model", "s", "forecast MiB", "peak MiB", "found ml", "Dice", "in other orders"]
    print(f"| {' | '.join(columns)} |\n| {' | '.join(['---'] * len(columns))} |", flush=True)
    for name, model in rows(arguments.only):
        subprocess.run([sys.executable, __file__, str(arguments.folder), "--one", name, model], check=True)


if __name__ == "__main__":
    main()
