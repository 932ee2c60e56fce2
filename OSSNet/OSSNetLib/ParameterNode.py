"""What a user chooses in the OSSNet module; it is saved with the scene."""

from typing import Annotated, Union

from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from OSSNetLib.Sampling import COARSEST, FINEST
from slicer import (
    vtkMRMLMarkupsROINode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLSliceNode,
    vtkMRMLVectorVolumeNode,
)


@parameterNodeWrapper
class OSSNetParameterNode:
    """The choices.

    Attributes:
        inputVolume: what is segmented.
        model: name of the model, not its place on this computer.
        device: as the worker names it, such as "auto", "cpu" or "cuda:0".
        outputSegmentation: segments are added to it; None: a new one is made.
        result: of the last look at the whole volume.
        part: of the last look at a region, if there was none at the whole since.
        factor: how many voxels a voxel of the input becomes along each axis, when looking closer.
        equalSpacing: the same spacing along all axes then.
        region: only there; None: everywhere.
        ownLevel: a place belongs to a label from ``level`` on, instead of where a label is the most probable class.
        level: probability.
        label: name of the only label that is wanted; empty for all.
        sliceView: which view is followed.
    """

    # The selector offers exactly these classes; Slicer knows no other way to write the union.
    inputVolume: Union[vtkMRMLScalarVolumeNode, vtkMRMLVectorVolumeNode, None]  # noqa: UP007
    model: str = ""
    device: str = "auto"
    outputSegmentation: vtkMRMLSegmentationNode
    result: vtkMRMLSegmentationNode
    part: vtkMRMLSegmentationNode
    factor: Annotated[float, WithinRange(COARSEST, FINEST)] = 2.0
    equalSpacing: bool = False
    region: vtkMRMLMarkupsROINode
    ownLevel: bool = False
    level: Annotated[float, WithinRange(0.05, 0.95)] = 0.5
    label: str = ""
    sliceView: vtkMRMLSliceNode
