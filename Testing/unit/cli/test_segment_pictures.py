"""Pictures in, pictures out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from hrseg.geometry import Grid
from hrseg.image import read_image, read_label_map, write_image
from training_helpers import LABEL, write_list, write_model

NETWORK = {"widths": [2, 4], "dilations": [1]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of 24 x 40 pixels, a volume, and a model of random weights for each."""
    folder = tmp_path_factory.mktemp("pictures")
    photo = np.random.default_rng(0).integers(0, 255, (3, 1, 24, 40)).astype(np.uint8)
    write_image(folder / "photo.png", photo, Grid.from_spacing(photo.shape[1:]))
    write_image(folder / "scan.nii.gz", photo[:, 0], Grid.from_spacing((3, 24, 40)))
    shared: dict[str, Any] = {"method": "sasr", "network": NETWORK, "labels": LABEL[:1]}
    greys = {"intensity": {"kind": "window", "low": 0, "high": 255}}
    flat = {"dimension": 2, "channels": ["red", "green", "blue"], "inference": {"window": [16, 16]}}
    write_model(folder / "flat.safetensors", **shared, **flat, preprocessing=greys)
    write_model(folder / "deep.safetensors", **shared, preprocessing=greys | {"orientation": "LPS"})
    return folder


def segment(
    hrseg: Any, folder: Path, out: Path, *options: object, image: str = "photo.png", model: str = "flat"
) -> Any:
    return hrseg("segment", folder / image, "--model", folder / f"{model}.safetensors", "-o", out, *options)


@pytest.mark.parametrize("resolution", ["input", "fine"])
def test_a_mask_as_png(hrseg: Any, folder: Path, tmp_path: Path, resolution: str) -> None:
    done = segment(hrseg, folder, tmp_path / "mask.png", "--resolution", resolution)
    assert (done.code, [line for line in done.err.splitlines() if not line.startswith("Note")]) == (0, [])
    itk = sitk.ReadImage(str(tmp_path / "mask.png"))
    assert itk.GetPixelIDTypeAsString() == "8-bit unsigned integer"
    assert itk.GetSize() == ((40, 24) if resolution == "input" else (80, 48))
    segment(hrseg, folder, tmp_path / "mask.nrrd", "--resolution", resolution)
    assert np.array_equal(sitk.GetArrayFromImage(itk), read_label_map(tmp_path / "mask.nrrd").array[0])
    assert "pixels" in done.out
    assert "ml" not in done.out.split("cpu:")[0].replace(str(tmp_path), "").replace(str(folder), "")


def test_a_mask_as_png_is_a_truth_like_any_other(hrseg: Any, folder: Path, tmp_path: Path) -> None:
    segment(hrseg, folder, tmp_path / "mask.png")
    row = {"image": str(folder / "photo.png"), "label": "mask.png"}
    data = write_list(tmp_path, {"name": "p", "labels": {"0": "background", "1": "ball"}, "test": [row]})
    done = hrseg("evaluate", "--model", folder / "flat.safetensors", "--data", data, "-o", tmp_path / "out")
    assert done.code == 0
    metrics = json.loads((tmp_path / "out/metrics.json").read_text(encoding="utf-8"))
    assert metrics["mean"]["dice"] == 1
    assert metrics["data"]["unit"] == "pixels"


def test_a_sharper_picture(hrseg: Any, folder: Path, tmp_path: Path) -> None:
    done = segment(hrseg, folder, tmp_path / "mask.png", "--save-super-resolved", tmp_path / "sharp.png")
    assert done.code == 0
    sharp = read_image(tmp_path / "sharp.png").array
    assert (sharp.dtype, sharp.shape) == (np.uint8, (3, 1, 48, 80))


def test_what_a_picture_cannot_hold(hrseg: Any, folder: Path, tmp_path: Path) -> None:
    done = segment(hrseg, folder, tmp_path / "mask.png", "--save-probability", tmp_path / "p.png")
    assert done.code == 2
    assert '"p.png"' in done.error
    assert "probabilities" in done.error
    done = segment(hrseg, folder, tmp_path / "mask.png", image="scan.nii.gz", model="deep")
    assert done.code == 2
    assert done.error == (
        'The model "tiny" makes volumes, which the picture "mask.png" cannot hold; '
        "choose a name that ends in one of .nii.gz, .nii, .nrrd, .mha."
    )


def test_masks_of_a_folder_as_png(hrseg: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "in" / name).write_bytes((folder / "photo.png").read_bytes())
    for _ in range(2):
        command = ["segment", tmp_path / "in", "--model", folder / "flat.safetensors", "-o", tmp_path / "out"]
        done = hrseg(*command, "--format", "png")
        assert done.code == 0
    assert "2 skipped" in done.out
    masks = sorted(path.name for path in (tmp_path / "out").iterdir() if path.suffix == ".png")
    assert masks == ["a.png", "b.png"]
    refused = hrseg(*command[:3], folder / "deep.safetensors", *command[4:5], tmp_path / "other", "--format", "png")
    assert 'makes volumes, which the picture "IMAGE.png" cannot hold' in refused.error


def test_the_report_has_no_milliliters_of_pictures(hrseg: Any, folder: Path, tmp_path: Path) -> None:
    segment(hrseg, folder, tmp_path / "mask.png", "--report", tmp_path / "r.json")
    (label,) = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["labels"]
    assert set(label) == {"value", "name", "voxels"}
