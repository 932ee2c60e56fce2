"""Phantoms as files: a data set in the form of the Medical Segmentation Decathlon."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hrseg.errors import InputError
from hrseg.geometry import Grid
from hrseg.image import make_folder, replacing, write_image
from hrseg.phantom.torso import LABELS, Torso

Spacing = float | Sequence[float]


def default_grid(size: Sequence[int] = (128, 128, 96), spacing: Spacing = 2.0) -> Grid:
    """A grid centred on the torso, axes to R, A, S; ``size`` in voxels and ``spacing`` in mm as (i, j, k).

    Raises:
        InputError: a size or spacing that is not positive.
    """
    step = np.broadcast_to(np.asarray(spacing, dtype=float), (3,))
    if len(size) != 3 or min(size) < 1 or not (np.isfinite(step).all() and (step > 0).all()):
        raise InputError(
            f"The size {tuple(size)} and spacing {spacing} (i, j, k) must be positive, for example 128 128 96 and 2."
        )
    origin = -(np.asarray(size) - 1) / 2 * step
    return Grid.from_spacing(size[::-1], step[::-1], origin.tolist())


def write_cases(
    out: Path,
    cases: int,
    size: Sequence[int] = (128, 128, 96),
    spacing: Spacing = 2.0,
    seed: int = 0,
    truth_spacing: Spacing | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Writes a data set of phantoms to the folder ``out`` and returns its ``datalist.json``.

    images/, labels/ and parameters/ hold one file per case; truth/ holds the exact labels at ``truth_spacing`` over the
    same field of view. 70 % of the cases are for training, 10 % for validation, the rest, at least one, for testing.

    Args:
        out: folder, made if missing; files of the same names are replaced.
        cases: how many.
        size: voxels (i, j, k).
        spacing: mm, one number or (i, j, k).
        seed: the phantoms are :meth:`Torso.random` of (seed, 0), (seed, 1) ...
        truth_spacing: mm, one number or (i, j, k); None writes no finer labels.
        progress: called with the cases done and the total after each.

    Raises:
        InputError: no cases, a negative seed, or a size or spacing that is not positive.
        OutputError: the folder cannot be written.
    """
    if cases < 1 or seed < 0:
        raise InputError(f"{cases} cases from the seed {seed} cannot be made: use at least one case and a seed from 0.")
    grid = default_grid(size, spacing)
    truth = None if truth_spacing is None else grid.with_spacing(np.broadcast_to(truth_spacing, 3)[::-1])
    for folder in ("images", "labels", "parameters", *(["truth"] if truth else [])):
        make_folder(out / folder)
    for case in range(cases):
        torso, name = Torso.random(seed, case), f"case_{case:03d}"
        write_image(out / f"images/{name}.nii.gz", torso.image(grid).array[0], grid)
        write_image(out / f"labels/{name}.nii.gz", torso.label_map(grid).array, grid)
        if truth:
            write_image(out / f"truth/{name}.nii.gz", torso.label_map(truth).array, truth)
        _write_text(out / f"parameters/{name}.json", torso.to_json())
        if progress:
            progress(case + 1, cases)
    _write_text(out / "datalist.json", json.dumps(_datalist(cases, seed), indent=2) + "\n")
    return out / "datalist.json"


def _datalist(cases: int, seed: int) -> dict[str, object]:
    entries = [
        {"image": f"./images/case_{n:03d}.nii.gz", "label": f"./labels/case_{n:03d}.nii.gz"} for n in range(cases)
    ]
    training = min(round(0.7 * cases), cases - 1)
    validation = min(round(0.1 * cases), cases - 1 - training)
    return {
        "name": "Analytic torso",
        "description": f"Synthetic CT of the upper abdomen with exact labels, seed {seed}.",
        "licence": "CC0-1.0",
        "channels": {"0": "CT"},
        "labels": {"0": "background", **{str(label.value): label.name for label in LABELS}},
        "training": entries[:training],
        "validation": entries[training : training + validation],
        "test": entries[training + validation :],
    }


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
