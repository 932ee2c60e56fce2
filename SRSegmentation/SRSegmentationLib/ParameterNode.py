"""What a user chooses in the SRSegmentation module, and what the last run made; it is saved with the scene."""

import enum
from typing import Union

from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper

from slicer import (
    vtkMRMLMarkupsROINode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTableNode,
    vtkMRMLVectorVolumeNode,
)


class Resolution(enum.Enum):
    """Of the result; the values are those of the core."""

    input = "input"
    fine = "fine"

    def label(self) -> str:
        """As users read it."""
        return _("As the image") if self is Resolution.input else _("Finer than the image")


@parameterNodeWrapper
class SRSegmentationParameterNode:
    """The choices, then what the last run made.

    Attributes:
        inputVolume: what is segmented.
        model: name of the model, not its place on this computer.
        device: as the worker names it, such as "auto", "cpu" or "cuda:0".
        resolution: of the result.
        superResolve: make the super-resolved image as well.
        showCrop: show the guidance crop in the views.
        outputSegmentation: segments are added to it; None: a new one is made.
        crop: where the network looks at full resolution.
        result: of the last run.
        resultSegments: identifiers of its segments, with commas between.
        resultVolume: what the last run segmented.
        resultOf: by which model, and at which resolution.
        comparable: whether the run before was of the same image and model.
        earlier: its result, then; None where it found nothing.
        earlierSegments: identifiers of its segments.
        superResolved: the sharper image.
        lesions: table of them.
    """

    # The selector offers exactly these classes; Slicer knows no other way to write the union.
    inputVolume: Union[vtkMRMLScalarVolumeNode, vtkMRMLVectorVolumeNode, None]  # noqa: UP007
    model: str = ""
    device: str = "auto"
    resolution: Resolution = Resolution.input
    superResolve: bool = False
    showCrop: bool = True
    outputSegmentation: vtkMRMLSegmentationNode
    crop: vtkMRMLMarkupsROINode
    result: vtkMRMLSegmentationNode
    resultSegments: str = ""
    resultVolume: vtkMRMLScalarVolumeNode
    resultOf: str = ""
    comparable: bool = False
    earlier: vtkMRMLSegmentationNode
    earlierSegments: str = ""
    superResolved: vtkMRMLScalarVolumeNode
    lesions: vtkMRMLTableNode
