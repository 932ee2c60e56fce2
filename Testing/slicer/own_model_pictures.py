"""The pictures of docs/tutorials/own_model.md, whose commands are run as they stand there; for tutorial_pictures.py."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import studio
from studio import ROOT, Studio, slicer

from HighResSegmentationLib.Segmentations import segmentationFromResult
from hrseg.data_list import read_data_list
from hrseg.image import read_label_map
from hrseg.phantom.torso import LABELS


def own_model(model: str, pictures: Path) -> None:
    """The commands of docs/tutorials/own_model.md, and the model that they make, in the panel."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = partial(hrseg, folder=folder)
        run("phantom", "scans", "--cases", "12", "--size", "64", "64", "48", "--spacing", "4", "4", "4", "--seed", "5")
        recipe, data, file = str(ROOT / "docs/tutorials/own_model.yaml"), "datalist.json", f"{model}.safetensors"
        names = "1=liver,2=liver lesion,3=kidneys,4=spine,5=vessels"
        run("data-list", "scans", "--labels", names, "--output", data)
        run("train", recipe, "--data", data, "--output", file, "--profile", "cpu")
        run("evaluate", "--model", file, "--data", data, "--output", "results", "--record")
        shutil.copyfile(folder / f"{model}.training/curves.png", pictures / "own_model-2.png")
        report_picture(folder / "results/report.html", pictures / "own_model-3.png")
        os.environ["HRSEG_MODELS"] = str(folder)
        in_the_panel(folder, model, pictures)


def in_the_panel(folder: Path, model: str, pictures: Path) -> None:
    """A scan and its label map; then the model in the panel, and what it makes of a test case."""
    views = [studio.slice_view(name, 2) for name in ("Red", "Yellow")]
    case = read_data_list(folder / "datalist.json").cases("test")[-1]
    volume = loaded(case.image)
    truth = drawn(case.label, volume)
    truth.GetDisplayNode().AddViewNodeID(views[1].node.GetID())
    for view in views:
        view.show(volume)
    # The body lies in the middle of these narrow views.
    studio.save(studio.together([view.picture()[200:500] for view in views]), pictures / "own_model-1.png")
    slicer.mrmlScene.RemoveNode(truth)
    view = studio.slice_view("Green")
    view.show(volume)
    show = Studio("SRSegmentation", pictures, "own_model", first=4)
    show.open(volume, model)
    show.press(show.panel.run.applyButton)
    show.step(show.panel.models.comboBox, show.panel.run.applyButton, beside=[view])
    show.close()


def loaded(path: Path) -> Any:
    """A scan from a file, with a window for soft tissue."""
    volume = slicer.util.loadVolume(str(path))
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevelMinMax(-160, 240)
    return volume


def drawn(path: Path, volume: Any) -> Any:
    """The label map of a phantom as a segmentation."""
    labels = read_label_map(path)
    facts = [
        {"value": each.value, "name": each.name, "color": each.color, "terminology": each.terminology.entry}
        for each in LABELS
    ]
    return segmentationFromResult({"affine": labels.grid.affine.tolist(), "labels": facts}, labels.array, volume)


def report_picture(report: Path, target: Path) -> None:
    """The picture of the best case in a report."""
    found = re.search(r'src="data:image/png;base64,([^"]+)" alt="Contours', report.read_text(encoding="utf-8"))
    assert found is not None
    target.write_bytes(base64.b64decode(found[1]))


def hrseg(*arguments: str, folder: Path) -> None:
    """Runs the command line in a folder."""
    subprocess.run([sys.executable, "-m", "hrseg", *arguments], cwd=folder, check=True)
