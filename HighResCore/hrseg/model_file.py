"""A model is one ``.safetensors`` file with a validated JSON header. Loading never executes or unpickles anything."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors.torch import load_file, save_file
from torch import nn

import hrseg
from hrseg.errors import ModelError
from hrseg.image import replacing
from hrseg.labels import Label
from hrseg.model_header import METADATA_KEY, SUFFIX, read_header, read_safetensors_json

MAX_PARAMETERS = 500_000_000
PositiveMm = Annotated[float, Field(gt=0, le=1000)]


class Strict(BaseModel):
    """Unknown keys are errors: a typing mistake must not pass silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Intensity(Strict):
    """How grey values become network input: ``window`` maps low..high to 0..1 and clips (CT, in HU; 8-bit images);
    ``percentile`` does so between two percentiles of the image; ``zscore`` subtracts the mean and divides by the
    standard deviation. The last two are per channel, within the subject where it is cropped.
    """

    kind: Literal["window", "percentile", "zscore"]
    low: float = 0.5
    high: float = 99.5

    @model_validator(mode="after")
    def _ordered(self) -> Intensity:
        if self.low >= self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        return self


class Preprocessing(Strict):
    """From a user's image to network input.

    Attributes:
        orientation: anatomical directions of i, j, k that the network was trained in; None: arrays as they come (2D).
        spacing: in mm, (k, j, i) of that orientation; None: the image's own.
        subject_above: crop to the voxels above this grey value first (CT: the patient in air); None: no crop.
        subject_margin: kept around the subject, in mm.
        intensity: normalisation of grey values.
    """

    orientation: Annotated[str, Field(pattern="^[RLAPSI]{3}$")] | None = None
    spacing: tuple[PositiveMm, PositiveMm, PositiveMm] | None = None
    subject_above: float | None = None
    subject_margin: Annotated[float, Field(ge=0, le=1000)] = 6.0
    intensity: Intensity


class DataSource(Strict):
    """One data set that a model was trained on."""

    name: str
    licence: str
    citation: str = ""


class Provenance(Strict):
    """How a model was trained and how well it did on held-out cases."""

    data: list[DataSource] = []
    split: dict[str, int] = {}
    profile: str = ""
    seed: int = 0
    steps: int = 0
    command: str = ""
    metrics: dict[str, Any] = {}


class Header(Strict):
    """What a model file says of itself. ``network`` and ``inference`` are checked by the method."""

    format_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,79}$")]
    title: str = ""
    method: str
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
    created_with: str = ""

    @model_validator(mode="after")
    def _labels_in_order(self) -> Header:
        if [label.value for label in self.labels] != list(range(1, len(self.labels) + 1)):
            raise ValueError("label values must be 1, 2, 3 ... in order")
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
    expected = {name: list(value.shape) for name, value in network.state_dict().items()}
    table, _, _ = read_safetensors_json(path)
    found = {name: entry.get("shape") for name, entry in table.items()}
    _compare(path, expected, found)
    if sum(value.numel() for value in network.state_dict().values()) > MAX_PARAMETERS:
        raise ModelError(f'The model "{path}" is larger than {MAX_PARAMETERS:,} parameters, which is not supported.')
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
    except Exception as error:
        raise ModelError(f'The tensors of the model "{path}" cannot be read: {error}.') from error
    bad = next((name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()), None)
    if bad:
        raise ModelError(
            f'The model "{path}" has values that are NaN or infinite in "{bad}"; train or download it again.'
        )
    network.load_state_dict(tensors, assign=True)
    return Model(header, network.eval().requires_grad_(False))


def save_model(path: str | os.PathLike[str], header: Header, network: nn.Module, *, half: bool = True) -> None:
    """Writes a model file in one step, its floats in half precision unless told otherwise.

    Raises:
        ModelError: a name without ``.safetensors``.
        OutputError: the file cannot be written.
    """
    made = {"created_with": f"HighResSegmentation {hrseg.__version__}, torch {torch.__version__}"}
    kind = torch.float16 if half else torch.float32
    tensors = {
        name: (value.to(kind) if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    write_model(path, header.model_copy(update=made), tensors)


def write_model(path: str | os.PathLike[str], header: Header, tensors: dict[str, torch.Tensor]) -> None:
    """Writes tensors under a header. Raises as :func:`save_model`."""
    path = Path(path)
    check_model_path(path)
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={METADATA_KEY: header.model_dump_json(exclude_none=True)})


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
    place = ".".join(str(part) for part in problem["loc"]) or "header"
    value = repr(problem["input"])
    return f"{place}: {problem['msg']} (found {value[:80]}{'…' if len(value) > 80 else ''})"


def _compare(path: str | os.PathLike[str], expected: dict[str, list[int]], found: dict[str, Any]) -> None:
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or extra:
        raise ModelError(
            f'The tensors of the model "{path}" do not fit its network: {len(missing)} missing '
            f"(first: {missing[:1]}), {len(extra)} unknown (first: {extra[:1]}); train it again."
        )
    for name, shape in expected.items():
        if shape != found[name]:
            raise ModelError(
                f'The tensor "{name}" of the model "{path}" has the shape {found[name]}, expected {shape}; '
                "train it again."
            )
