"""A field as a file: what was encoded, where it lies, and which model it needs."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field as Constraint
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hrseg import memory
from hrseg.errors import InputError, ModelError
from hrseg.geometry import Grid
from hrseg.image import replacing
from hrseg.methods import method_class
from hrseg.model_file import Header, Model, Strict, first_problem
from hrseg.oss_net.encoding import blank, restore
from hrseg.oss_net.field import Field
from hrseg.runtime import CPU

SUFFIX = ".field.safetensors"
_KEY = "hrseg_field"
Sides = tuple[Annotated[int, Constraint(ge=1)], Annotated[int, Constraint(ge=1)], Annotated[int, Constraint(ge=1)]]


class GridEntry(Strict):
    """A :class:`hrseg.geometry.Grid`."""

    shape: Sides
    affine: list[list[float]]

    @classmethod
    def of(cls, grid: Grid) -> GridEntry:
        """The entry of a grid."""
        return cls(shape=grid.shape, affine=grid.affine.tolist())

    def grid(self) -> Grid:
        """The grid of an entry. Raises InputError for a geometry that is not one."""
        return Grid(self.shape, self.affine)  # type: ignore[arg-type]


class FieldHeader(Strict):
    """What a field file says of itself.

    Attributes:
        model: name of the model that made the field.
        weights: :func:`fingerprint` of its network.
        grid: working grid.
        source: grid of the image.
    """

    format_version: Literal[1] = 1
    model: str
    weights: str
    grid: GridEntry
    source: GridEntry


def save_field(path: str | os.PathLike[str], field: Field) -> None:
    """Writes a field to a file in one step.

    Raises:
        InputError: a name without ``.field.safetensors``.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    if not path.name.endswith(SUFFIX):
        raise InputError(f'The field name "{path.name}" must end in {SUFFIX}.')
    header = FieldHeader(
        model=field.model.header.name,
        weights=fingerprint(field.model.network),
        grid=GridEntry.of(field.grid),
        source=GridEntry.of(field.source),
    )
    tensors = {name: value.cpu().contiguous() for name, value in field.encoding.tensors().items()}
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={_KEY: header.model_dump_json()})
        except SafetensorError as error:
            raise OSError(str(error)) from error


def field_header(path: str | os.PathLike[str]) -> FieldHeader:
    """What a field file says of itself.

    Raises:
        InputError: no such file, damaged, or not a field.
    """
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(_KEY)
    except (OSError, SafetensorError) as error:
        raise InputError(f'Cannot read the field "{path}": {error}; check the path or save it again.') from error
    if text is None:
        raise InputError(f'"{path}" is not a field of this extension; choose a file that ends in {SUFFIX}.')
    try:
        return FieldHeader.model_validate(json.loads(text))
    except ValidationError as error:
        raise InputError(f'The header of the field "{path}" is not valid: {first_problem(error)}.') from error
    except (ValueError, RecursionError) as error:
        raise InputError(f'The header of the field "{path}" is not valid JSON; encode the image again.') from error


def load_field(path: str | os.PathLike[str], model: Model, device: torch.device | None = None) -> Field:
    """A field as it was saved, with the model that made it.

    Raises:
        InputError: as :func:`field_header`; tensors that are missing, do not fit, or hold NaN.
        OutOfMemory: the image was larger, as the header has it, than a label map can be here.
        ModelError: another model, or the same one trained anew.
    """
    header = field_header(path)
    if header.weights != fingerprint(model.network):
        raise ModelError(
            f'The field "{path}" was made by the model "{header.model}" with other weights than those of '
            f'"{model.header.name}"; load that model, or encode the image again.'
        )
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f'The tensors of the field "{path}" are damaged ({error}); encode the image again.') from error
    grid, source = header.grid.grid(), header.source.grid()
    # A label map of the image has a byte per voxel.
    memory.check_room(source.size, memory.available(CPU))
    _check_tensors(path, tensors, model.header, grid)
    if device:
        tensors = {name: value.to(device) for name, value in tensors.items()}
    network = model.network.to(device) if device else model.network
    return Field(model, grid, source, restore(network, tensors))


def _check_tensors(path: str | os.PathLike[str], tensors: dict[str, Tensor], header: Header, grid: Grid) -> None:
    """Raises InputError unless the tensors are those of a field on ``grid``, of types and shapes that fit its model."""
    shape = (len(header.channels), *grid.shape)
    # First the image, on whose shape those of the others depend: a wrong one could be immense.
    _check_tensor(path, tensors, "image", shape, torch.float16)
    with torch.device("meta"):
        network = method_class(header.method).build(header).eval()
    for name, expected in blank(network, shape).items():
        _check_tensor(path, tensors, name, tuple(expected.shape), expected.dtype)


def _check_tensor(
    path: str | os.PathLike[str], tensors: dict[str, Tensor], name: str, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    found = tensors.get(name)
    if found is None:
        raise InputError(f'The tensors of the field "{path}" are damaged: "{name}" is missing; encode the image again.')
    if (tuple(found.shape), found.dtype) != (shape, dtype):
        raise InputError(
            f'The tensor "{name}" of the field "{path}" has the shape {tuple(found.shape)} ({found.dtype}), but '
            f"{shape} ({dtype}) was expected; encode the image again."
        )
    if not torch.isfinite(found).all():
        raise InputError(
            f'The tensor "{name}" of the field "{path}" has values that are NaN or infinite; encode the image again.'
        )


def fingerprint(network: nn.Module) -> str:
    """SHA-256 of a network's weights, whichever device they are on."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
