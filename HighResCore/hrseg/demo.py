"""The showing: a phantom that no model has seen, segmented and compared with its exact truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from hrseg.evaluation.figures import png_bytes
from hrseg.evaluation.metrics import label_metrics
from hrseg.evaluation.pictures import CasePicture, contour_figure
from hrseg.image import make_folder, replacing, write_image
from hrseg.methods import Method, Options, Result, method_of
from hrseg.model_file import load_model
from hrseg.model_store import find_model
from hrseg.phantom import Torso, default_grid
from hrseg.runtime import Progress, Run
from hrseg.segmentation_file import write_label_map

#: Far from the seeds that models are trained, validated and tested with.
SEED = 20_260
MODELS = ("phantom-ct-patch-based",)


@dataclass(frozen=True)
class Shown:
    """One model's result on the phantom.

    Attributes:
        dice: per label name, at the image's resolution.
    """

    method: Method
    result: Result
    dice: dict[str, float]


def show(folder: Path, device: torch.device, progress: Progress) -> list[Shown]:
    """Segments the demo phantom with every demo model; writes image, truth, results and pictures to ``folder``."""
    make_folder(folder)
    torso, grid = Torso.random(SEED), default_grid()
    progress("phantom", 0, 1)
    image, truth = torso.image(grid), torso.label_map(grid)
    progress("phantom", 1, 1)
    write_image(folder / "phantom.nii.gz", image.array[0], grid)
    write_image(folder / "phantom-truth.nii.gz", truth.array, grid)
    shown = []
    for name in MODELS:
        method = method_of(load_model(find_model(name)))
        result = method.segment(image, Options(), Run(device, progress=progress))
        found = result.label_map.array
        dice = {
            label.name: float(label_metrics(found, truth.array, grid, label.value)["dice"] or 0.0)
            for label in result.labels
        }
        shown.append(Shown(method, result, dice))
        write_label_map(folder / f"{name}.seg.nrrd", result.label_map, result.labels)
        caption = "exact truth solid, segmentation dashed"
        picture = CasePicture(name, image.array[0], grid, truth.array, found, caption, result.labels)
        with replacing(folder / f"{name}.png") as temporary:
            temporary.write_bytes(png_bytes(contour_figure(picture)))
    return shown
