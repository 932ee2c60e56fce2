"""Model files and saved fields with damaged headers and tensors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, load_file, save

from field_models import TINY, ball_image, random_model
from fuzzing import damaged, damaged_json, fuzzed, json_text, outcome
from hrseg.errors import HrsegError, InputError, ModelError
from hrseg.methods import method_of
from hrseg.model_file import load_header, load_model, save_model
from hrseg.model_header import read_header
from hrseg.oss_net.field import Field
from hrseg.oss_net.field_file import load_field
from hrseg.oss_net.method import OssNet
from hrseg.runtime import Run
from model_helpers import cascade_header, edited, safetensors_bytes, tiny_header, tiny_model

PUBLISHED = {"variant": "O-Net", "published": {"sides": [8, 8, 8], "widths": [2, 2], "hidden": 4}}
CHOICE = {"width": 1, "depth": 1}
HEADERS = {
    "patch_based": tiny_header(),
    "crop_cascade": cascade_header(CHOICE, CHOICE),
    "oss_net": tiny_header(method="oss_net", network=TINY, inference={}),
    "published": tiny_header(method="oss_net", network=PUBLISHED, inference={}),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A model of each kind."""
    folder, found = tmp_path_factory.mktemp("models"), {}
    for kind, header in HEADERS.items():
        made = tiny_model(**header.model_dump())
        save_model(folder / f"{kind}.safetensors", made.header, made.network)
        found[kind] = (folder / f"{kind}.safetensors").read_bytes()
    return found


def taken_apart(content: bytes) -> tuple[dict[str, Any], bytes]:
    length = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:length]), content[length:]


def check_model(path: Path) -> None:
    for read in (read_header, load_header):
        outcome(read, path)
    if model := outcome(load_model, path):
        outcome(method_of, model)


@pytest.mark.parametrize("kind", HEADERS)
def test_undamaged_model(kind: str, files: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(files[kind])
    assert method_of(load_model(tmp_path / "a.safetensors")).model.header.name == "tiny"


@given(data=st.data())
@fuzzed(100)
def test_bytes_of_a_model(files: dict[str, bytes], tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(data.draw(damaged(files["patch_based"], list(files.values()))))
    check_model(path)


@given(data=st.data())
@fuzzed(100)
def test_table_of_tensors(files: dict[str, bytes], tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.safetensors"
    table, tensors = taken_apart(files["patch_based"])
    path.write_bytes(safetensors_bytes(json_text(data.draw(damaged_json(table))).encode(), tensors))
    check_model(path)


@pytest.mark.parametrize("kind", HEADERS)
@given(data=st.data())
@fuzzed(80)
def test_header_of_a_model(kind: str, files: dict[str, bytes], tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.safetensors"
    table, tensors = taken_apart(files[kind])
    header = json.loads(table["__metadata__"]["hrseg"])
    table["__metadata__"]["hrseg"] = json_text(data.draw(damaged_json(header)))
    path.write_bytes(safetensors_bytes(table, tensors))
    check_model(path)


FIELDS: dict[str, dict[str, Any]] = {"field": {}, "published": {"network": PUBLISHED}}


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A saved field of each of the kinds of OSS-Net."""
    path, found = tmp_path_factory.mktemp("fields") / "a.field.safetensors", {}
    for kind, changes in FIELDS.items():
        OssNet(random_model(**changes)).field(ball_image((8, 9, 10), 3, 1.5), Run()).save(path)
        found[kind] = path.read_bytes()
    return found


def check_field(path: Path, kind: str) -> None:
    def opened() -> Field:
        return load_field(path, random_model(**FIELDS[kind]))

    if field := outcome(opened):
        assert field.encoding.image.shape[1:] == field.grid.shape
        with torch.no_grad():
            assert np.isfinite(field.probability(field.grid)).all()


@pytest.mark.parametrize("kind", FIELDS)
def test_undamaged_field(kind: str, fields: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "a.field.safetensors").write_bytes(fields[kind])
    check_field(tmp_path / "a.field.safetensors", kind)
    assert load_field(tmp_path / "a.field.safetensors", random_model(**FIELDS[kind])).grid.shape == (8, 9, 10)


@pytest.mark.parametrize("kind", FIELDS)
@given(data=st.data())
@fuzzed(40)
def test_bytes_of_a_field(kind: str, fields: dict[str, bytes], tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.field.safetensors"
    path.write_bytes(data.draw(damaged(fields[kind], list(fields.values()))))
    check_field(path, kind)


@pytest.mark.parametrize("kind", FIELDS)
@given(data=st.data())
@fuzzed(80)
def test_header_of_a_field(kind: str, fields: dict[str, bytes], tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.field.safetensors"
    table, tensors = taken_apart(fields[kind])
    header = json.loads(table["__metadata__"]["hrseg_field"])
    table["__metadata__"]["hrseg_field"] = json_text(data.draw(damaged_json(header)))
    path.write_bytes(safetensors_bytes(table, tensors))
    check_field(path, kind)


@pytest.mark.parametrize("kind", FIELDS)
@given(data=st.data())
@fuzzed(40)
def test_tensors_of_a_field(kind: str, fields: dict[str, bytes], tmp_path: Path, data: st.DataObject) -> None:
    path, whole = tmp_path / "a.field.safetensors", tmp_path / "whole.safetensors"
    whole.write_bytes(fields[kind])
    tensors = load_file(whole)
    name = data.draw(st.sampled_from(sorted(tensors)))
    shape = data.draw(st.lists(st.sampled_from([0, 1, 2, 3, 5, 8, 9, 10]), max_size=5))
    dtype = data.draw(st.sampled_from([torch.float16, torch.float32, torch.float64, torch.int64, torch.bool]))
    value = data.draw(st.sampled_from([0.0, 1.0, float("nan"), float("inf"), 6e4]))
    if data.draw(st.booleans()):
        tensors[name] = torch.full(shape, value, dtype=torch.float32).to(dtype)
    else:
        tensors[name] = tensors[name].to(dtype)
    table, _ = taken_apart(fields[kind])
    path.write_bytes(save(tensors, table["__metadata__"]))
    check_field(path, kind)


# ---- found once ----


def test_long_key_in_a_model(files: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(files["patch_based"])
    edited(path, lambda header: header.update({"9" * 5000 + "\n": 0}))
    with pytest.raises(ModelError, match=r"is not valid: 9{60}: Extra inputs are not permitted"):
        load_header(path)


def field_with(content: bytes, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], None]) -> bytes:
    """A field file after ``change`` of its header and tensors."""
    table, _ = taken_apart(content)
    header, tensors = json.loads(table["__metadata__"]["hrseg_field"]), load(content)
    change(header, tensors)
    return save(tensors, {"hrseg_field": json.dumps(header)})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda h, t: h["grid"].update(affine=[[1, 2], [3]]), "not an invertible 4x4 matrix"),
        (lambda h, t: h["grid"].update(affine=(1e308 * np.eye(4)).tolist()), "not an invertible 4x4 matrix"),
        (lambda h, t: h["grid"].update(shape=[2**70] * 3), r'"image" of the field .* has the shape \(1, 8, 9, 10\)'),
        (lambda h, t: h["source"].update(shape=[2**20] * 3), "GiB of memory"),
        (lambda h, t: t.update(maps=t["maps"][:, :0]), '"maps" of the field .* has the shape'),
        (
            lambda h, t: t.update(maps=t["maps"].float()),
            r'"maps" of the field .*\(torch.float32\), but .*\(torch.float16\)',
        ),
        (lambda h, t: t["condition"].fill_(np.nan), '"condition" of the field .* NaN or infinite'),
    ],
)
def test_found_in_fields(fields: dict[str, bytes], tmp_path: Path, change: Any, problem: str) -> None:
    path = tmp_path / "a.field.safetensors"
    path.write_bytes(field_with(fields["field"], change))
    with pytest.raises(HrsegError, match=problem):
        load_field(path, random_model())


def test_deep_header_of_a_field(fields: dict[str, bytes], tmp_path: Path) -> None:
    table, tensors = taken_apart(fields["field"])
    table["__metadata__"]["hrseg_field"] = "[" * 5000
    (tmp_path / "a.field.safetensors").write_bytes(safetensors_bytes(table, tensors))
    with pytest.raises(InputError, match="is not valid JSON"):
        load_field(tmp_path / "a.field.safetensors", random_model())
