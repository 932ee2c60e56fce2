"""A model of a few hundred weights for tests, and ways to damage its file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hrseg.errors import ModelError
from hrseg.labels import Label
from hrseg.methods import method_class
from hrseg.model_file import Header, Intensity, Model, Preprocessing, load_model, save_model
from image_helpers import one_line

LABELS = [Label(1, "liver", (221, 130, 101)), Label(2, "spine", (226, 202, 134))]
#: How grey values are normalized, one of each kind.
KINDS = [
    Intensity(kind="window", low=0, high=80),
    Intensity(kind="percentile", low=2, high=98),
    Intensity(kind="zscore"),
]


def tiny_header(**changes: Any) -> Header:
    """A patch-based model of two levels; ``changes`` replace fields. 2D where ``dimension=2``."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "method": "patch_based",
        "dimension": 3,
        "channels": ["CT"],
        "labels": LABELS,
        "preprocessing": Preprocessing(intensity=Intensity(kind="window", low=0, high=100)),
        "network": {"widths": [2, 3]},
        "inference": {"window": [8] * changes.get("dimension", 3)},
    }
    return Header(**{**fields, **changes})


def cascade_header(coarse: dict[str, Any], fine: dict[str, Any], dimension: int = 2, **inference: Any) -> Header:
    """A grey cascade of one label with inputs of 16 voxels; ``inference`` adds to its settings."""
    return Header(
        name="tiny",
        method="crop_cascade",
        dimension=dimension,  # type: ignore[arg-type]
        channels=["grey"],
        labels=[Label(1, "object", (200, 0, 0))],
        preprocessing=Preprocessing(intensity=Intensity(kind="window", low=0, high=1)),
        network={"coarse": coarse, "fine": fine},
        inference={"size": [16] * dimension, **inference},
    )


def tiny_model(**changes: Any) -> Model:
    """A model with the same random weights at each call."""
    header = tiny_header(**changes)
    torch.manual_seed(0)
    return Model(header, method_class(header.method).build(header).eval().requires_grad_(False))


def tiny_file(path: Path, *, half: bool = True, **changes: Any) -> Path:
    """A model file."""
    model = tiny_model(**changes)
    save_model(path, model.header, model.network, half=half)
    return path


def safetensors_bytes(table: Any, data: bytes = b"") -> bytes:
    """A safetensors file with any JSON for its table."""
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    return len(text).to_bytes(8, "little") + text + data


def edited(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The file rewritten after ``change`` of its model header, in place; the tensors stay as they are."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    table = json.loads(content[8 : 8 + length])
    header = json.loads(table["__metadata__"]["hrseg"])
    change(header)
    table["__metadata__"]["hrseg"] = json.dumps(header)
    path.write_bytes(safetensors_bytes(table, content[8 + length :]))
    return path


def refusal(path: Path) -> str:
    """What is wrong with a model file: one line of moderate length."""
    with pytest.raises(ModelError) as error:
        load_model(path)
    text = one_line(error, path) if str(path) in str(error.value) else str(error.value)
    assert "\n" not in text
    assert len(text) < 500 + len(str(path))
    return text
