"""A model is one ``.safetensors`` file with a validated JSON header. Loading never executes or unpickles anything."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

import hrseg
from hrseg.errors import InputError, ModelError
from hrseg.geometry import Grid
from hrseg.image import replacing
from hrseg.labels import Label
from hrseg.model_header import METADATA_KEY, NAME_PATTERN, SUFFIX, read_header, read_tensor_table

MAX_PARAMETERS = 500_000_000
#: Types of numbers that weights may be stored in, as safetensors names them.
_STORED_TYPES = ("F16", "BF16", "F32", "F64")
Share = Annotated[float, Field(ge=0, le=1)]
PositiveMm = Annotated[float, Field(gt=0, le=1000)]
#: No run is to end in vain because a file's unit of length was another one.
ExtentMm = Annotated[float, Field(gt=0)]
Sentence = Annotated[str, Field(min_length=1, max_length=400)]
#: Where a model fails or was not tried, in words of its author.
Limitations = Annotated[list[Sentence], Field(max_length=12)]


class Strict(BaseModel):
    """Unknown keys are errors: a typing mistake must not pass silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Intensity(Strict):
    """How grey values become network input.

    ``window`` maps low..high to 0..1 and clips (CT, in HU; 8-bit images); ``percentile`` does so between the
    percentiles low and high; ``zscore`` subtracts the mean and divides by the standard deviation, both of the voxels
    above the lowest value, and sets those of that value to 0: they are padding. The last two are per channel, within
    the subject where it is cropped.
    """

    kind: Literal["window", "percentile", "zscore"]
    low: float = 0.5
    high: float = 99.5

    @model_validator(mode="after")
    def _ordered(self) -> Intensity:
        if self.kind == "window" and not {"low", "high"} <= self.model_fields_set:
            raise ValueError("a window needs low and high")
        if self.low >= self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        if self.kind == "percentile" and not 0 <= self.low < self.high <= 100:
            raise ValueError(f"the percentiles {self.low} and {self.high} must be 0 to 100")
        return self


class Preprocessing(Strict):
    """From a user's image to network input.

    Attributes:
        orientation: anatomical directions of i, j, k that the network was trained in; None: slices (2D)
            as viewers show them, rows and columns towards left, posterior or inferior; volumes as they are.
        spacing: in mm, (k, j, i) of that orientation; None: the image's own.
        shrink: how images with smaller voxels than that are shrunk: ``antialiased``, where neighbouring voxels count,
            too, or to the ``means`` over the larger voxels, which is nearer to what a scanner of such voxels sees.
        subject_above: crop to the voxels above this grey value first (CT: the patient in air); None: no crop.
        subject_margin: kept around the subject, in mm.
        intensity: normalisation of grey values.
    """

    orientation: str | None = None
    spacing: tuple[PositiveMm, PositiveMm, PositiveMm] | None = None
    shrink: Literal["antialiased", "means"] = "antialiased"
    subject_above: float | None = None
    subject_margin: Annotated[float, Field(ge=0, le=1000)] = 6.0
    intensity: Intensity

    @field_validator("orientation")
    @classmethod
    def _names_three_axes(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                Grid.from_spacing((1, 1, 1)).reorientation(value)
            except InputError as error:
                raise ValueError(str(error)) from error
        return value


class DataSource(Strict):
    """One data set that a model was trained on."""

    name: str
    licence: str
    citation: str = ""


class Provenance(Strict):
    """How a model was trained and how well it did on held-out cases.

    ``extent`` is the largest field of view of the volumes that it learned from, as the network sees them: in mm, (k, j,
    i) of its orientation; None: not known, or pictures.
    """

    data: list[DataSource] = []
    split: dict[str, int] = {}
    profile: str = ""
    seed: int = 0
    steps: int = 0
    command: str = ""
    metrics: dict[str, dict[str, Any]] = {}
    extent: tuple[ExtentMm, ExtentMm, ExtentMm] | None = None


class Header(Strict):
    """What a model file says of itself. ``network`` and ``inference`` are checked by the method."""

    format_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    title: str = ""
    method: Annotated[str, Field(max_length=80)]
    dimension: Literal[2, 3]
    channels: Annotated[list[str], Field(min_length=1, max_length=16)]
    labels: Annotated[list[Label], Field(min_length=1, max_length=254)]
    preprocessing: Preprocessing
    network: dict[str, Any]
    inference: dict[str, Any] = {}
    training: Provenance = Provenance()
    licence: str = ""
    citation: str = ""
    intended_use: str = "Research only; not for clinical decisions."
    limitations: Limitations = []
    created_with: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Header:
        if [label.value for label in self.labels] != list(range(1, len(self.labels) + 1)):
            raise ValueError("label values must be 1, 2, 3 ... in order")
        names = [label.name for label in self.labels]
        if "" in names or len(set(names)) < len(names):
            raise ValueError(f"label names must be different and not empty, not {short(names)}")
        for label in self.labels:
            if not all(0 <= part <= 255 for part in label.color):
                raise ValueError(f'the color {label.color} of "{label.name}" must be three numbers from 0 to 255')
        if self.dimension == 2 and self.preprocessing.orientation:
            raise ValueError("a 2D model takes slices as viewers show them; leave the orientation out")
        return self

    @property
    def classes(self) -> int:
        """Output channels: the labels and the background."""
        return len(self.labels) + 1


@dataclass(frozen=True)
class Model:
    """A network with its header, ready to run."""

    header: Header
    network: nn.Module

    def with_inference(self, changes: dict[str, Any]) -> Model:
        """The same network with other settings of inference, checked where its method is made of it."""
        inference = {**self.header.inference, **changes}
        return Model(self.header.model_copy(update={"inference": inference}), self.network)


def load_header(path: str | os.PathLike[str]) -> Header:
    """The validated header of a model file.

    Raises:
        ModelError: as :func:`read_header`, or a header that does not fit the format.
    """
    try:
        return Header.model_validate(read_header(path))
    except ValidationError as error:
        raise ModelError(f'The header of the model "{path}" is not valid: {first_problem(error)}.') from error


def load_model(path: str | os.PathLike[str]) -> Model:
    """The model in a file, in float32 on the CPU. Shapes are compared before anything is allocated.

    Raises:
        ModelError: as :func:`load_header`; an unknown method; network settings or tensors that do not fit it.
    """
    from hrseg.methods import method_class

    header = load_header(path)
    method = method_class(header.method)
    with torch.device("meta"):
        network = method.build(header)
    _check_tensors(path, network.state_dict())
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise ModelError(f'The tensors of the model "{path}" are damaged; copy or download it again.') from error
    bad = next((name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()), None)
    if bad:
        raise ModelError(
            f'The model "{path}" has values that are NaN or infinite in "{bad}"; train or download it again.'
        )
    network.load_state_dict(tensors, assign=True)
    return Model(header, network.eval().requires_grad_(False))


def save_model(path: str | os.PathLike[str], header: Header, network: nn.Module, *, half: bool = True) -> None:
    """Writes a model file in one step, its weights in half precision unless told otherwise or too large for that.

    Raises:
        ModelError: a name without ``.safetensors``.
        OutputError: the file cannot be written.
    """
    made = {"created_with": f"HighResSegmentation {hrseg.__version__}, torch {torch.__version__}"}
    weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    tensors = {name: _half(value) if half else value for name, value in weights.items()}
    write_model(path, header.model_copy(update=made), tensors)


def write_model(path: str | os.PathLike[str], header: Header, tensors: dict[str, torch.Tensor]) -> None:
    """Writes tensors under a header. Raises as :func:`save_model`."""
    path = Path(path)
    check_model_path(path)
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={METADATA_KEY: header.model_dump_json(exclude_none=True)})
        except SafetensorError as error:
            raise OSError(str(error)) from error


def check_model_path(path: Path) -> None:
    """Raises ModelError unless the name is one that models have."""
    if path.suffix != SUFFIX:
        raise ModelError(f'The model name "{path.name}" must end in {SUFFIX}.')


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def first_problem(error: ValidationError) -> str:
    """The first problem that pydantic found, in one line that names the place and quotes the value."""
    problem = error.errors(include_url=False)[0]
    # Unknown keys may have any name.
    place = ".".join(" ".join(str(part).split())[:60] for part in problem["loc"])
    text = f"{place}: " * bool(place) + problem["msg"].removeprefix("Value error, ")
    # Where something is missing, or does not fit the rest, the value would be all that is around it.
    return text if isinstance(problem["input"], dict) else f"{text} (found {short(problem['input'])})"


def _half(weight: torch.Tensor) -> torch.Tensor:
    half = weight.half()
    return half if half.isfinite().all() else weight


def _check_tensors(path: str | os.PathLike[str], expected: dict[str, torch.Tensor]) -> None:
    """Raises ModelError unless the file's tensors are those of a network, judged without reading them."""
    count = sum(value.numel() for value in expected.values())
    if count > MAX_PARAMETERS:
        raise ModelError(
            f'The network of the model "{path}" has {count:,} parameters, but at most {MAX_PARAMETERS:,} are '
            "supported; train a narrower one."
        )
    found, _ = read_tensor_table(path)
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or unknown:
        raise ModelError(
            f'The tensors of the model "{path}" do not fit its network: missing {short(missing)}, '
            f"unknown {short(unknown)}; train it again."
        )
    for name, value in expected.items():
        shape, kind = found[name].get("shape"), found[name].get("dtype")
        if shape != list(value.shape) or kind not in _STORED_TYPES:
            raise ModelError(
                f'The tensor "{name}" of the model "{path}" is {short(kind)} of the shape {short(shape)}, but '
                f"{list(value.shape)} of one of the types {', '.join(_STORED_TYPES)} was expected; train it again."
            )
