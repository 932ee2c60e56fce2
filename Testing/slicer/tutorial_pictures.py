"""Makes the pictures of the tutorials, and of them those that the Extensions Manager shows.

    python Testing/slicer/tutorial_pictures.py [crop_cascade] [sr_segmentation] [oss_net] [own_model]

Each tutorial's steps are done by clicks on the real panel and in real views, with the real worker. The models are found
by name as in Slicer, so that HRSEG_MODELS can name a folder with others. own_model trains one, which takes a while.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import studio
from numpy.typing import NDArray
from own_model_pictures import own_model
from studio import ROOT, Studio, slicer

from HighResSegmentationLib.SampleData import makePhantomCT

#: Below the checkout, or the folder of ``--output``. The Extensions Manager shows the screenshots.
PICTURES = "docs/tutorials/images"
SCREENSHOTS = "Resources/Screenshots"
#: A lesion in the liver of the phantom, RAS mm.
LESION = (72.0, 1.0, 24.0)


def crop_cascade(model: str, root: Path) -> None:
    """Boxes drawn by hand around cells, then proposed ones."""
    image, places = cells()
    studio.save(image[0], root / PICTURES / "cells.png")
    volume = slicer.util.addVolumeFromArray(image, np.diag([-1.0, -1.0, 1.0, 1.0]), "cells", "vtkMRMLVectorVolumeNode")
    view = studio.slice_view()
    view.show(volume)
    show = Studio("CropCascade", root / PICTURES, "crop_cascade")
    show.open(volume, model)
    ui, panel = show.panel.ui, show.panel
    show.fold("optionsButton")
    show.step(ui.inputSelector, panel.models.comboBox, beside=[view])
    for place in (places[3], places[12]):
        draw_box(show, view, place)
    show.step(ui.drawButton, beside=[view])
    rename(ui.boxTable, ("upper cell", "lower cell"))
    show.press(panel.run.applyButton)
    show.step(ui.boxTable, panel.run.applyButton, beside=[view])
    show.press(ui.proposeButton)
    show.step(ui.proposeButton, beside=[view])
    show.fold("inputsButton")
    ui.instancesCheckBox.click()
    show.press(panel.run.applyButton)
    show.step(ui.boxTable, ui.instancesCheckBox, panel.run.applyButton, beside=[view])
    show.fold("optionsButton")
    show.picture(root / SCREENSHOTS / "CropCascade.png", beside=[view])
    show.close()


def sr_segmentation(model: str, root: Path) -> None:
    """A guidance crop that is dragged elsewhere, a mask finer than the image, and lesions one by one."""
    volume = makePhantomCT()
    view = studio.slice_view("Green")
    view.show(volume)
    view.node.JumpSliceByOffsetting(*LESION)
    show = Studio("SRSegmentation", root / PICTURES, "sr_segmentation")
    show.open(volume, model)
    ui, panel = show.panel.ui, show.panel
    show.step(ui.inputSelector, panel.models.comboBox, panel.run.applyButton, beside=[view])
    show.press(panel.run.applyButton)
    view.node.JumpSliceByOffsetting(*show.parameters.crop.GetCenter())
    show.step(ui.cropLabel, beside=[view])
    drag_to(show.parameters.crop, LESION, view)
    show.fold("inputsButton")
    show.step(ui.cropLabel, ui.resetCropButton, beside=[view])
    show.press(panel.run.applyButton)
    show.step(ui.changeTable, ui.differenceButton, beside=[view])
    finer(show, volume, root)
    lesions(show, volume, view)
    show.close()


def drag_to(crop: Any, place: tuple[float, float, float], view: Any) -> None:
    """Drags the crop by its middle: in an axial slice, then up or down in a coronal one."""
    for orientation, directions in (("Axial", (0, 1)), ("Coronal", (2,)), ("Axial", ())):
        start = np.array(crop.GetCenter())
        end = np.where(np.isin(range(3), directions), place, start)
        view.node.SetOrientation(orientation)
        view.node.JumpSliceByOffsetting(*start)
        if directions:
            view.drag(view.pixel(start), view.pixel(end))


def finer(show: Studio, volume: Any, root: Path) -> None:
    """The mask finer than the image, and the super-resolved image beside the input."""
    ui, panel = show.panel.ui, show.panel
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLayoutNode")
    views = [studio.slice_view(name, 2) for name in ("Red", "Yellow")]
    for view in views:
        view.show(volume)
        studio.zoom(view, LESION, 90.0)
    ui.resolutionComboBox.setCurrentIndex(1)
    ui.superResolveCheckBox.click()
    show.press(panel.run.applyButton)
    show.step(ui.resolutionComboBox, ui.superResolveCheckBox, panel.run.applyButton, beside=views)
    show.fold()
    show.picture(root / SCREENSHOTS / "SRSegmentation.png", beside=views)


def lesions(show: Studio, volume: Any, view: Any) -> None:
    """SASR-Net in the same panel: a table of lesions, with a click on one."""
    ui, panel = show.panel.ui, show.panel
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        node.SetDisplayVisibility(False)
    ui.superResolveCheckBox.click()
    view.node.SetOrientation("Axial")
    show.fold("resultButton", "outputButton")
    show.open(volume, "phantom-ct-sasr")
    show.press(panel.run.applyButton)
    ui.lesionTable.selectRow(0)
    show.step(panel.models.comboBox, panel.run.applyButton, ui.lesionTable, beside=[view])


def oss_net(model: str, root: Path) -> None:
    """From the field to label maps of other resolutions, a slice that is followed, and surfaces."""
    volume = makePhantomCT()
    view = studio.slice_view()
    view.show(volume)
    view.node.JumpSliceByOffsetting(*LESION)
    show = Studio("OSSNet", root / PICTURES, "oss_net")
    show.open(volume, model)
    ui, panel = show.panel.ui, show.panel
    show.fold("closerButton")
    show.press(panel.run.applyButton)
    show.step(ui.inputSelector, panel.models.comboBox, panel.run.applyButton, beside=[view])
    show.fold("inputsButton")
    studio.zoom(view, LESION, 90.0)
    ui.drawRegionButton.click()
    for r, a in ((-20, -20), (20, 20)):
        view.click(*view.pixel(np.add(LESION, (r, a, 0.0))))
    ui.factorSlider.value = 4.0
    show.settle()
    show.step(ui.drawRegionButton, ui.factorSlider, ui.sizeLabel, beside=[view])
    show.press(ui.segmentationButton)
    show.step(ui.segmentationButton, beside=[view])
    looked_at(show, view, root)
    show.close()


def looked_at(show: Studio, view: Any, root: Path) -> None:
    """What else the field can be looked at as."""
    ui, parameters = show.panel.ui, show.parameters
    parameters.region.SetDisplayVisibility(False)
    parameters.sliceView = view.node
    ui.followCheckBox.click()
    show.settle()
    show.step(ui.followCheckBox, beside=[view])
    ui.followCheckBox.click()
    for segmentation in (parameters.result, parameters.part):
        segmentation.SetDisplayVisibility(False)
    ui.ownLevelCheckBox.click()
    ui.levelSlider.value = 0.3
    show.press(ui.probabilityButton)
    view.show(shown_probability())
    show.step(ui.ownLevelCheckBox, ui.probabilityButton, beside=[view])
    ui.ownLevelCheckBox.click()
    parameters.region = None
    ui.factorSlider.value = 1.0
    space = studio.three_d_view()
    show.press(ui.surfaceButton)
    for node in slicer.util.getNodesByClass("vtkMRMLModelNode"):
        if node.GetName().endswith(" liver"):
            node.GetDisplayNode().SetOpacity(0.4)
    space.renderer.ResetCamera()
    space.renderer.GetActiveCamera().Zoom(1.4)
    show.step(ui.surfaceButton, beside=[space])
    show.fold("outputButton")
    show.picture(root / SCREENSHOTS / "OSSNet.png", beside=[space])


def shown_probability() -> Any:
    """The volume of the lesions' probability, or of another label where the model knows no lesions."""
    volumes = [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if "probab" in node.GetName()]
    return next((node for node in volumes if "lesion" in node.GetName()), volumes[-1])


def draw_box(show: Studio, view: Any, place: tuple[float, float, float]) -> None:
    """Two clicks around a cell (i, j, radius)."""
    i, j, radius = place
    show.panel.ui.drawButton.click()
    for side in (-radius, radius):
        view.click(*view.pixel((-(i + side), -(j + side), 0.0)))


def rename(table: Any, names: tuple[str, ...]) -> None:
    """Writes names into the table of boxes, as a user does."""
    for row, name in enumerate(names):
        table.item(row, 0).setText(name)


def cells(shape: tuple[int, int] = (400, 400), count: int = 14) -> tuple[NDArray[np.uint8], list[Any]]:
    """Bright ellipses with soft borders on a dark, noisy ground, (1, J, I, 3); their places (i, j, radius)."""
    rng = np.random.default_rng(4)
    j, i = np.mgrid[: shape[0], : shape[1]]
    image, places = np.full(shape, 14.0), []
    for _ in range(count):
        y, x, a, b, turn = (*rng.uniform(30, np.array(shape) - 30), *rng.uniform(12, 22, 2), rng.uniform(0, np.pi))
        u, v = (j - y) * np.cos(turn) + (i - x) * np.sin(turn), (i - x) * np.cos(turn) - (j - y) * np.sin(turn)
        image += rng.uniform(70, 150) / (1 + np.exp(8 * (np.hypot(u / a, v / b) - 1)))
        places.append((x, y, 1.3 * max(a, b)))
    image += rng.normal(0, 4, shape)
    gray = image.clip(0, 255).astype(np.uint8)
    return np.repeat(gray[None, ..., None], 3, axis=-1), places


#: Tutorials by name: what makes their pictures, and with which model.
TUTORIALS: dict[str, tuple[Callable[[str, Path], None], str]] = {
    "crop_cascade": (crop_cascade, "nuclei-crop-cascade"),
    "sr_segmentation": (sr_segmentation, "phantom-ct-pfseg"),
    "oss_net": (oss_net, "phantom-ct-oss-net"),
    "own_model": (lambda model, root: own_model(model, root / PICTURES), "my-liver"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tutorials", nargs="*", metavar="TUTORIAL", help=", ".join(TUTORIALS))
    parser.add_argument("--model", help="another model than that of the tutorial, by its name")
    parser.add_argument("--output", type=Path, default=ROOT, help="where, instead of in this checkout; laid out alike")
    chosen = parser.parse_args()
    names = chosen.tutorials or list(TUTORIALS)
    if unknown := set(names) - set(TUTORIALS):
        parser.error(f"there is no tutorial {', '.join(sorted(unknown))}; choose from {', '.join(TUTORIALS)}")
    (chosen.output / PICTURES).mkdir(parents=True, exist_ok=True)
    if len(names) > 1:
        # Each on a scene, and with views, of its own.
        for name in names:
            subprocess.run([sys.executable, __file__, name, "--output", str(chosen.output)], check=True)
        return
    make, model = TUTORIALS[names[0]]
    make(chosen.model or model, chosen.output)


if __name__ == "__main__":
    main()
