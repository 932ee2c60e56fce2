"""Images for tutorials and tests, made on the spot: no network, no licence, and the truth is known exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

import slicer

CATEGORY = "HighResSegmentation"
NAME = "PhantomCT"
#: Far from the seeds that models are trained, validated and tested with.
SEED = 20_260
THUMBNAIL = Path(__file__).resolve().parents[1] / "Resources" / "Icons" / "HighResCorePhantomCT.png"


def registerSampleData() -> None:
    """Adds the phantom to Slicer's Sample Data; to be called when Slicer has started."""
    import SampleData

    logic = SampleData.SampleDataLogic
    if hasattr(logic, "registerCustomSampleDataCategory"):  # Slicer 5.12 and newer
        logic.registerCustomSampleDataCategory(category=CATEGORY, title=CATEGORY)
    logic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=NAME,
        # Slicer wants an address and a file name, but its panel calls customDownloader instead. Its downloadSample
        # does not, and fails: scripts call makePhantomCT.
        uris="file:",
        fileNames=f"{NAME}.nrrd",
        nodeNames=NAME,
        customDownloader=_onSampleChosen,
        thumbnailFileName=str(THUMBNAIL),
    )


def makePhantomCT(size: tuple[int, int, int] = (128, 128, 96), spacing: float = 2.0, seed: int = SEED) -> Any:
    """A volume node with a synthetic CT of the upper abdomen; 10 seconds or so at the default size.

    Args:
        size: voxels (i, j, k).
        spacing: mm.
        seed: of the anatomy.
    """
    from hrseg.phantom import Torso, default_grid  # not needed before somebody asks for it

    grid = default_grid(size, spacing)
    array = Torso.random(seed).image(grid).array[0]
    matrix = slicer.util.vtkMatrixFromArray(grid.affine)
    node = slicer.util.addVolumeFromArray(array, ijkToRAS=matrix, name=slicer.mrmlScene.GenerateUniqueName(NAME))
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    # Soft tissue, in which lesions of the liver are seen.
    display.SetWindowLevelMinMax(-160, 240)
    return node


def _onSampleChosen(source: Any) -> list[Any]:
    slicer.util.showStatusMessage(_("Making the phantom, some 10 seconds..."), 20000)
    with slicer.util.WaitCursor():
        node = makePhantomCT()
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    slicer.util.showStatusMessage(_("The phantom is there."), 3000)
    return [node]
