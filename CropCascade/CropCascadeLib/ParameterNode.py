"""What a user chooses in the CropCascade module; it is saved with the scene."""

import enum
from typing import Annotated, Union

from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from slicer import (
    vtkMRMLMarkupsROINode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLVectorVolumeNode,
)


class Merge(enum.Enum):
    """How overlapping boxes are joined; the values are those of the core."""

    mean = "mean"
    max = "max"

    def label(self) -> str:
        """As users read it."""
        return _("Average of the probabilities") if self is Merge.mean else _("Highest probability")


@parameterNodeWrapper
class CropCascadeParameterNode:
    """The choices.

    Attributes:
        inputVolume: what is segmented.
        model: name of the model, not its place on this computer.
        device: as the worker names it, such as "auto", "cpu" or "cuda:0".
        boxes: those that are used; None stands for one that was deleted.
        addProposals: segment also what the model finds outside the boxes.
        context: share of a box's longest side that is looked at around it, in percent.
        threshold: of the coarse network's probability, from which a place is an object.
        merge: of overlapping boxes.
        instances: one more segmentation with one segment per box.
        outputSegmentation: segments are added to it; None: a new one is made.
        result: of the last run.
    """

    # The selector offers exactly these classes; Slicer knows no other way to write the union.
    inputVolume: Union[vtkMRMLScalarVolumeNode, vtkMRMLVectorVolumeNode, None]  # noqa: UP007
    model: str = ""
    device: str = "auto"
    boxes: list[vtkMRMLMarkupsROINode]
    addProposals: bool = False
    context: Annotated[float, WithinRange(0, 200)] = 15
    threshold: Annotated[float, WithinRange(0.01, 0.99)] = 0.4
    merge: Merge = Merge.mean
    instances: bool = False
    outputSegmentation: vtkMRMLSegmentationNode
    result: vtkMRMLSegmentationNode
