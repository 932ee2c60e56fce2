"""Data lists of the public data sets that the recipes use, with their fixed splits.

    python recipes/data_lists.py openkbp_headneck_ct FOLDER OUTPUT.json

FOLDER holds the data set as it was downloaded or converted; see docs/data.md. The names of the cases in each split are
in recipes/splits/ and never change.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

SPLITS = Path(__file__).parent / "splits"


def openkbp_headneck_ct(folder: Path, name: str) -> dict[str, Any]:
    return {"name": name, "image": str(folder / f"{name}_ct.nii.gz"), "label": str(folder / f"{name}_oar.nii.gz")}


def dsb2018_nuclei(folder: Path, name: str) -> dict[str, Any]:
    return _pictures(name, folder / "images", folder / "instances", ".png")


def hyperkvasir_polyps(folder: Path, name: str) -> dict[str, Any]:
    return _pictures(name, folder / "images", folder / "masks", ".jpg")


def sunnybrook_lv_mr(folder: Path, name: str) -> dict[str, Any]:
    return _pictures(name, folder / "images", folder / "masks_lv_endo", ".png")


def isic2017_skin(folder: Path, name: str) -> dict[str, Any]:
    label = folder / "lr256_masks_fullres" / f"{name}_segmentation.png"
    return {"name": name, "image": str(folder / "lr256_images" / f"{name}.jpg"), "label": str(label)}


def busi_breast_us(folder: Path, name: str) -> dict[str, Any]:
    return _pictures(name, folder / "images", folder / "masks", ".png")


def open_ms_brain_mr(folder: Path, name: str) -> dict[str, Any]:
    image, label = folder / f"{name}_FLAIR.nii.gz", folder / f"{name}_lesion_consensus.nii.gz"
    return {"name": name, "image": str(image), "label": str(label)}


def msd_hippocampus_mr(folder: Path, name: str) -> dict[str, Any]:
    return {"name": name, **{key: str(folder / f"{key}s" / f"{name}.nii.gz") for key in ("image", "label")}}


def phantom_lesions(folder: Path, name: str) -> dict[str, Any]:
    image, label = folder / "images" / f"{name}.nii.gz", folder / "truth" / f"{name}.nii.gz"
    return {"name": name, "image": str(image), "label": str(label)}


def phantom_finer(folder: Path, name: str) -> dict[str, Any]:
    return phantom_lesions(folder, name)


def _pictures(name: str, images: Path, labels: Path, suffix: str) -> dict[str, Any]:
    return {"name": name, "image": str(images / f"{name}{suffix}"), "label": str(labels / f"{name}{suffix}")}


ROWS: dict[str, Callable[[Path, str], dict[str, Any]]] = {
    row.__name__: row
    for row in (
        busi_breast_us,
        dsb2018_nuclei,
        hyperkvasir_polyps,
        isic2017_skin,
        msd_hippocampus_mr,
        open_ms_brain_mr,
        openkbp_headneck_ct,
        phantom_finer,
        phantom_lesions,
        sunnybrook_lv_mr,
    )
}


def data_list(data_set: str, folder: Path) -> dict[str, Any]:
    """The data list of a data set in ``folder``, from its committed description and split."""
    description = json.loads((SPLITS / f"{data_set}.json").read_text())
    splits = description.pop("splits")
    rows = {split: [ROWS[data_set](folder.resolve(), name) for name in names] for split, names in splits.items()}
    return {**description, **rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_set", choices=sorted(ROWS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(data_list(arguments.data_set, arguments.folder), indent=1))


if __name__ == "__main__":
    main()
