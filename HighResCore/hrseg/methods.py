"""What every segmentation method offers, and the table of methods."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from torch import nn

from hrseg.errors import InputError, ModelError
from hrseg.geometry import Grid
from hrseg.image import Image, LabelMap
from hrseg.labels import Label
from hrseg.model_file import Header, Model, first_problem
from hrseg.preprocess import Prepared, prepare
from hrseg.prompts import RegionBox
from hrseg.resample import resample_labels
from hrseg.runtime import CPU, Run

#: Times as large as the largest image that a model learned from: a whole body given to a model of heads.
_LARGER = 2
S = TypeVar("S", bound=BaseModel)

if TYPE_CHECKING:
    from hrseg.training.task import Task


@dataclass(frozen=True)
class Options:
    """What a user may ask of any method.

    Attributes:
        keep_probability: also return the probability of each label.
        boxes: drawn by hand; what lies in them is segmented. Only for methods that take boxes.
        propose: let the method look for objects itself, too; where boxes are drawn, False leaves it to them alone.
        instances: also return which object belongs to which box.
        spacing: of the label map in mm, (k, j, i), over the image's field of view; None: the image's own grid. Only for
            methods with ``any_spacing``.
        remember: the method keeps what it found, so that asking again about the same :class:`Image` object computes
            only what changed, such as one box.
        resolution: ``input`` for a label map on the image's voxels, ``fine`` for one that is finer by the model's
            factor. Only for methods that make masks finer.
        super_resolved: also return the image made sharper, of methods that do so.
        guidance_center: RAS mm, where the guidance crop is to lie; None: where the method finds it best. Only for
            methods with ``takes_guidance``.
    """

    keep_probability: bool = False
    boxes: tuple[RegionBox, ...] = ()
    propose: bool = True
    instances: bool = False
    spacing: tuple[float, float, float] | None = None
    remember: bool = False
    resolution: Literal["input", "fine"] = "input"
    super_resolved: bool = False
    guidance_center: tuple[float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """What a method found.

    Attributes:
        label_map: on its own grid, which may be finer than the image's.
        labels: what its values mean.
        probability: float32 (labels, K, J, I) on the label map's grid, if asked for.
        boxes: around the objects that were segmented, drawn ones first, for methods that use boxes.
        instances: uint16 (K, J, I) on the label map's grid: n for the object of the n-th of ``boxes``, if asked
            for.
        super_resolved: the image made sharper, on a grid of its own, if asked for.
        guidance: the crop that the network saw at full resolution, of methods that use one.
        device: where the network ran at the end.
        seconds: per stage, and ``total``.
        peak_memory: bytes above the start of the job, at the highest point.
        stage_memory: the same for each stage.
        notices: what the user should know.
        continuous: the field that the label map was read from, of methods with ``any_spacing``.
    """

    label_map: LabelMap
    labels: list[Label]
    probability: NDArray[np.float32] | None = None
    boxes: list[RegionBox] = field(default_factory=list)
    instances: NDArray[np.uint16] | None = None
    super_resolved: Image | None = None
    guidance: RegionBox | None = None
    device: str = "cpu"
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory: int = 0
    stage_memory: dict[str, int] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    continuous: SavableField | None = None


class SavableField(Protocol):
    """A segmentation that can be looked at again later, at other resolutions."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes it to a file. Raises OutputError when that cannot be written."""


class Method(ABC):
    """A segmentation method with a model. Sub-classes name themselves and their settings."""

    name: ClassVar[str]
    title: ClassVar[str]
    #: Whether :attr:`Options.boxes` mean something to it.
    takes_boxes: ClassVar[bool] = False
    #: Whether :attr:`Options.spacing` means something to it.
    any_spacing: ClassVar[bool] = False
    #: Whether :attr:`Options.resolution` may be ``fine``; of a method with a model, whether that model can do so.
    makes_finer: bool = False
    #: Whether :attr:`Options.guidance_center` means something to it.
    takes_guidance: ClassVar[bool] = False
    #: Settings of the network, checked when a model is loaded.
    NetworkSettings: ClassVar[type[BaseModel]]
    #: Settings of inference that a model carries.
    InferenceSettings: ClassVar[type[BaseModel]]

    def __init__(self, model: Model) -> None:
        self.model = model

    @classmethod
    @abstractmethod
    def build(cls, header: Header) -> nn.Module:
        """A network with fresh weights. Raises ModelError when the header's settings do not fit."""

    @abstractmethod
    def segment(self, image: Image, options: Options, run: Run) -> Result:
        """The image segmented.

        Raises:
            InputError: an image that the model cannot take.
            OutOfMemory: no memory even in the smallest chunks.
            Cancelled: ``run.cancel`` was set.
        """

    def propose(self, image: Image, options: Options, run: Run) -> list[RegionBox]:
        """Boxes around the objects that :meth:`segment` would find itself, for a person to edit. Raises as that does.

        Raises:
            InputError: the method does not look for objects.
        """
        raise InputError(f'The method "{self.title}" does not propose boxes; choose a model that takes boxes.')

    @abstractmethod
    def forecast(self, image: Image, options: Options, device: torch.device) -> int:
        """Bytes of the device's memory that :meth:`segment` will need in the largest chunks that it would use there.

        Neither the image itself nor the loaded model count. It takes a moment: little more is computed than the
        subject's place.
        """

    @classmethod
    @abstractmethod
    def training_tasks(cls, header: Header, settings: dict[str, Any]) -> list[Task]:
        """The stages of this method's training, in order; ``settings`` is the ``training`` part of a recipe.

        The last one gives the model.
        """


_METHODS = {
    "patch_based": "hrseg.patch_based.method:PatchBased",
    "crop_cascade": "hrseg.crop_cascade.method:CropCascade",
    "pfseg": "hrseg.pfseg.method:PFSeg",
    "oss_net": "hrseg.oss_net.method:OssNet",
    "sasr": "hrseg.sasr.method:Sasr",
}


def method_names() -> list[str]:
    """Names of all methods, as in model headers and recipes."""
    return list(_METHODS)


def method_class(name: str) -> type[Method]:
    """The method of that name. Raises ModelError for an unknown one."""
    if name not in _METHODS:
        raise ModelError(f'The method "{name}" is unknown; this version has {", ".join(_METHODS)}.')
    module, attribute = _METHODS[name].split(":")
    return getattr(import_module(module), attribute)


def method_of(model: Model) -> Method:
    """The method that a model was made for, ready to segment."""
    return method_class(model.header.method)(model)


def segment_on(
    method: Method, image: Image, grid: Grid, options: Options, run: Run
) -> tuple[Result, NDArray[np.uint8]]:
    """An image segmented to be compared with a truth on ``grid``: the result, and its labels (K, J, I) on that grid.

    Where the truth is finer than the image, methods that can do so make a finer label map.
    """
    if grid.size > image.grid.size and method.makes_finer:
        options = replace(options, resolution="fine")
    if grid.shape != image.grid.shape and method.any_spacing:
        options = replace(options, spacing=grid.spacing)
    result = method.segment(image, options, run)
    found = result.label_map
    if found.grid.shape == grid.shape:
        return result, found.array
    return result, resample_labels(found.array, found.grid, grid)


def prepare_for(run: Run, image: Image, header: Header) -> Prepared:
    """:func:`hrseg.preprocess.prepare`, and raises as that does, in the memory that a run may use.

    The user is told of an image that is far larger than those that the model learned from.
    """
    prepared = prepare(image, header, run.budget_on(CPU))
    learned, extent = header.training.extent, np.multiply(prepared.grid.shape, prepared.grid.spacing)
    if learned and (extent > _LARGER * np.array(learned)).any():
        run.notice(
            f"The image shows {_millimeters(extent)} mm, far more than the images that the model learned from, of at "
            f"most {_millimeters(learned)} mm; crop it to the part that those show."
        )
    return prepared


def _millimeters(extent: Iterable[float]) -> str:
    return " x ".join(f"{side:.0f}" for side in reversed(tuple(extent)))


def settings(kind: type[S], values: dict[str, Any], header_name: str) -> S:
    """Settings of a model checked against their class. Raises ModelError that names what does not fit."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ModelError(
            f'The settings of the model "{header_name}" do not fit its method: {first_problem(error)}.'
        ) from error


def result_of(
    labels: NDArray[np.uint8],
    grid: Grid,
    header: Header,
    run: Run,
    device: torch.device,
    probability: NDArray[np.float32] | None = None,
    **found: Any,
) -> Result:
    """A :class:`Result` with what ``run`` recorded.

    Args:
        labels: (K, J, I) on ``grid``.
        grid: of the label map.
        header: of the model, for names of labels.
        run: with seconds, memory and notices.
        device: where the network ran.
        probability: (labels, K, J, I), if asked for.
        found: further fields of the result.
    """
    return Result(
        LabelMap(labels, grid, {label.value: label.name for label in header.labels}),
        header.labels,
        probability,
        device=str(device),
        seconds={**run.seconds, "total": sum(run.seconds.values())},
        peak_memory=max(run.peak_memory.values(), default=0),
        stage_memory=dict(run.peak_memory),
        notices=list(run.notices),
        **found,
    )
