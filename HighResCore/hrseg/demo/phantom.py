"""A phantom that no model has seen, segmented by every method and compared with its exact truth at two resolutions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from numpy.typing import NDArray

from hrseg.demo.panels import write_figure
from hrseg.demo.phantom_picture import Drawn, phantom_figure
from hrseg.errors import ModelError
from hrseg.evaluation.metrics import Scores, label_metrics
from hrseg.evaluation.summary import mean
from hrseg.geometry import Grid
from hrseg.image import Image, LabelMap, make_folder, write_image
from hrseg.labels import Label
from hrseg.methods import Method, Options, Result, method_of, segment_on
from hrseg.model_file import load_model
from hrseg.model_store import find_model, stored_models
from hrseg.phantom import LABELS, Torso, default_grid
from hrseg.resample import resample_labels
from hrseg.runtime import Progress, Run
from hrseg.segmentation_file import write_label_map

#: Far from the seeds that models are trained, validated and tested with.
SEED = 20_260
#: The fine truth has voxels of 1 mm, the image of 2 mm.
FINER = 2
#: The baseline first.
MODELS = (
    "phantom-ct-patch-based",
    "phantom-ct-crop-cascade",
    "phantom-ct-pfseg",
    "phantom-ct-oss-net",
    "phantom-ct-sasr",
)


@dataclass(frozen=True, eq=False)
class Shown:
    """One model's result on the phantom.

    Attributes:
        method: with its model.
        result: at the finest resolution that the method makes of the image.
        coarse, fine: label name -> metrics against the truth in the image's voxels, and in the fine ones.
    """

    method: Method
    result: Result
    coarse: dict[str, Scores]
    fine: dict[str, Scores]

    @property
    def spacing(self) -> float:
        """Side of the result's voxels in mm."""
        return min(self.result.label_map.grid.spacing)


@dataclass(frozen=True)
class Row:
    """A line of the table: means over some labels.

    Attributes:
        labels: what the means are over.
        dice_input: in the image's voxels.
        dice, surface_dice, hd95_mm: in the fine voxels; surface Dice within one of them. None: no value.
    """

    shown: Shown
    labels: tuple[str, ...]
    dice_input: float | None
    dice: float | None
    surface_dice: float | None
    hd95_mm: float | None


def missing_models() -> list[str]:
    """Names of the demo's models that are not at hand."""
    known = {model.name for model in stored_models()}
    return [name for name in MODELS if name not in known]


def show_phantom(folder: Path, device: torch.device, progress: Progress, grid: Grid | None = None) -> list[Shown]:
    """Segments the demo phantom with every demo model at hand; writes image, truth, results and a picture.

    Args:
        folder: made if missing.
        device: where the models run.
        progress: told of each stage.
        grid: of the image; 128 x 128 x 96 voxels of 2 mm if left out.

    Raises:
        ModelError: none of the models is at hand, or one is damaged.
        OutputError: the folder cannot be written.
    """
    names = [name for name in MODELS if name not in missing_models()]
    if not names:
        raise ModelError(f"None of the demo's models is at hand ({', '.join(MODELS)}); add one by `hrseg models add`.")
    make_folder(folder)
    torso, grid = Torso.random(SEED), grid or default_grid()
    progress("phantom", 0, 2)
    image, truth = torso.image(grid), torso.label_map(grid)
    progress("phantom", 1, 2)
    fine_truth = torso.label_map(grid.finer(FINER))
    progress("phantom", 2, 2)
    write_image(folder / "phantom.nii.gz", image.array[0], grid)
    write_image(folder / "phantom-truth.nii.gz", fine_truth.array, fine_truth.grid)
    shown = []
    for name in names:
        one = _show(name, image, truth, fine_truth, Run(device, progress=progress))
        write_label_map(folder / f"{name}.seg.nrrd", one.result.label_map, one.result.labels)
        shown.append(one)
    figure = phantom_figure(torso, image, fine_truth, [_drawn(one) for one in shown])
    write_figure(folder / "phantom.png", figure)
    return shown


def table_rows(shown: Iterable[Shown]) -> list[list[Row]]:
    """The table in two parts: means over all labels, of the models that know all, and the lesions alone."""
    shown = list(shown)
    every = tuple(label.name for label in LABELS)
    lesion = tuple(label.name for label in LABELS if "lesion" in label.name)
    parts = [[_row(one, names) for one in shown if set(names) <= one.fine.keys()] for names in (every, lesion)]
    return [part for part in parts if part]


def _show(name: str, image: Image, truth: LabelMap, fine_truth: LabelMap, run: Run) -> Shown:
    """One run; of a finer result, each voxel of the image gets the label of the largest share."""
    method = method_of(load_model(find_model(name)))
    result, fine = segment_on(method, image, fine_truth.grid, Options(), run)
    found = result.label_map
    coarse = resample_labels(found.array, found.grid, image.grid)
    return Shown(method, result, _scores(coarse, truth, result.labels), _scores(fine, fine_truth, result.labels))


def _scores(found: NDArray, truth: LabelMap, labels: Sequence[Label]) -> dict[str, Scores]:
    """By the labels' names: a model's values need not be the phantom's."""
    return {
        label.name: label_metrics(found == label.value, truth.array == _value(label), truth.grid, True)
        for label in labels
    }


def _value(label: Label) -> int:
    """The phantom's value of a model's label. Raises ModelError when the phantom has none of that name."""
    for own in LABELS:
        if own.name == label.name:
            return own.value
    known = ", ".join(own.name for own in LABELS)
    raise ModelError(f'The phantom has no label "{label.name}", only {known}; give demo models labels of these names.')


def _row(one: Shown, names: tuple[str, ...]) -> Row:
    def over(scores: dict[str, Scores], key: str) -> float | None:
        return mean(scores[name][key] for name in names)

    fine = [over(one.fine, key) for key in ("dice", "surface_dice", "hd95_mm")]
    return Row(one, names, over(one.coarse, "dice"), *fine)


def _drawn(one: Shown) -> Drawn:
    dice = mean(scores["dice"] for scores in one.fine.values())
    return Drawn(f"{one.method.title}\n{one.spacing:g} mm, Dice {dice:.3f}", one.result.label_map, one.result.labels)
