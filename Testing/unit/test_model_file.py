from __future__ import annotations

import math
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import hrseg
from hrseg import model_file
from hrseg.errors import ModelError, OutputError
from hrseg.model_file import Header, file_sha256, load_header, load_model, save_model, write_model
from hrseg.model_header import METADATA_KEY, read_header
from model_helpers import LABELS, edited, refusal, tiny_file, tiny_header, tiny_model

quiet = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tiny_file(tmp_path / "tiny.safetensors")


# ---- round trips ----


def test_single_precision_round_trip(tmp_path: Path) -> None:
    model = tiny_model(title="A tiny model", citation="Ä. Müller")
    save_model(tmp_path / "a.safetensors", model.header, model.network, half=False)
    loaded = load_model(tmp_path / "a.safetensors")
    assert loaded.header == model.header.model_copy(update={"created_with": loaded.header.created_with})
    assert loaded.header.created_with.startswith(f"HighResSegmentation {hrseg.__version__}, torch ")
    for name, value in model.network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], value)
    assert not loaded.network.training
    assert not any(weight.requires_grad for weight in loaded.network.parameters())


def test_half_precision_round_trip(file: Path) -> None:
    stored, loaded, made = load_file(file), load_model(file).network.state_dict(), tiny_model().network.state_dict()
    assert {value.dtype for value in stored.values()} == {torch.float16}
    assert {value.dtype for value in loaded.values()} == {torch.float32}
    for name, value in made.items():
        assert torch.equal(loaded[name], value.half().float())


def test_weights_too_large_for_half_precision_stay_single(tmp_path: Path) -> None:
    model = tiny_model()
    model.network.get_parameter("head.bias").fill_(1e5)
    save_model(tmp_path / "a.safetensors", model.header, model.network)
    assert load_model(tmp_path / "a.safetensors").network.get_parameter("head.bias").tolist() == [1e5] * 3


def test_loaded_model_gives_the_same_result(tmp_path: Path) -> None:
    model = tiny_model()
    save_model(tmp_path / "a.safetensors", model.header, model.network, half=False)
    x = torch.randn(1, 1, 8, 8, 8)
    assert torch.equal(load_model(tmp_path / "a.safetensors").network(x), model.network(x))


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


# ---- the tensors ----


def rewritten(file: Path, change: Any) -> Path:
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={METADATA_KEY: load_header(file).model_dump_json()})
    return file


def test_wrong_shape(file: Path) -> None:
    text = refusal(rewritten(file, lambda tensors: tensors.update({"head.bias": torch.zeros(4)})))
    assert f'The tensor "head.bias" of the model "{file}"' in text
    assert "shape [4]" in text
    assert "[3] of one of the types" in text


def test_shapes_are_compared_before_anything_is_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(model_file, "load_file")
    edited(file, lambda header: header.update(network={"widths": [4, 3]}))
    assert "shape" in refusal(file)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_wrong_type(dtype: torch.dtype, file: Path) -> None:
    text = refusal(rewritten(file, lambda tensors: tensors.update({"head.bias": torch.zeros(3).to(dtype)})))
    assert "one of the types F16, BF16, F32, F64 was expected" in text


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_floating_type_becomes_float32(dtype: torch.dtype, file: Path) -> None:
    rewritten(file, lambda tensors: tensors.update({"head.bias": torch.ones(3, dtype=dtype)}))
    bias = load_model(file).network.get_parameter("head.bias")
    assert (bias.dtype, bias.tolist()) == (torch.float32, [1, 1, 1])


def test_missing_and_unknown_tensors(file: Path) -> None:
    text = refusal(rewritten(file, lambda tensors: tensors.update({"tail.bias": tensors.pop("head.bias")})))
    assert "missing ['head.bias'], unknown ['tail.bias']" in text


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_numbers(value: float, file: Path) -> None:
    text = refusal(rewritten(file, lambda tensors: tensors["head.bias"].fill_(value)))
    assert 'NaN or infinite in "head.bias"' in text


def test_offsets_that_do_not_fit_the_shapes(file: Path) -> None:
    content = file.read_bytes()
    where = content.index(b'"head.bias":{"dtype":"F16"')
    file.write_bytes(content[:where] + content[where:].replace(b'"F16"', b'"F32"', 1))
    assert "are damaged" in refusal(file)


class Trap:
    """Leaves a file behind when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("dump", [pickle.dump, torch.save])
def test_nothing_is_unpickled(dump: Any, tmp_path: Path) -> None:
    file, trap = tmp_path / "a.safetensors", tmp_path / "sprung"
    with file.open("wb") as stream:
        dump(Trap(trap), stream)
    assert "not a model file" in refusal(file)
    assert not trap.exists()
    pickle.loads(pickle.dumps(Trap(trap)))
    assert trap.exists()


def test_no_source_unpickles() -> None:
    for name in ("model_header", "model_file", "model_store", "methods"):
        source = (Path(hrseg.__file__).parent / f"{name}.py").read_text()
        assert "torch.load" not in source
        assert "import pickle" not in source


# ---- damage of every kind: nothing but a ModelError ----


def problem(function: Callable[[Path], Any], path: Path) -> str:
    """What is wrong with the file; nothing, where it can be read all the same."""
    try:
        function(path)
    except ModelError as error:
        return str(error)
    return ""


@given(st.binary(max_size=200))
@quiet
def test_random_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    for function in (read_header, load_header, load_model):
        with pytest.raises(ModelError):
            function(path)


@given(st.data())
@quiet
def test_flipped_bits(file: Path, data: st.DataObject) -> None:
    content = bytearray(file.read_bytes())
    head = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        # Most of the meaning is in the header.
        where = data.draw(st.one_of(st.integers(0, head - 1), st.integers(0, len(content) - 1)))
        content[where] ^= 1 << data.draw(st.integers(0, 7))
    damaged = file.with_name("damaged.safetensors")
    damaged.write_bytes(content)
    for function in (read_header, load_header, load_model):
        assert "\n" not in problem(function, damaged)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(Header.model_fields)), JSON)
@quiet
def test_any_json_in_the_header(file: Path, key: str, value: Any) -> None:
    damaged = file.with_name("damaged.safetensors")
    damaged.write_bytes(file.read_bytes())
    edited(damaged, lambda header: header.update({key: value}))
    assert "\n" not in problem(load_model, damaged)


# ---- writing ----


@pytest.mark.parametrize("name", ["a", "a.pt", "a.safetensors.zip"])
def test_name_must_be_that_of_a_model(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"must end in \.safetensors"):
        save_model(tmp_path / name, tiny_header(), tiny_model().network)
    assert list(tmp_path.iterdir()) == []


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no folder"):
        save_model(tmp_path / "none" / "a.safetensors", tiny_header(), tiny_model().network)


def test_failure_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Any, path: Path, **__: Any) -> None:
        path.write_bytes(b"half a file")
        raise SafetensorError("No space left on device")

    before = file.read_bytes()
    monkeypatch.setattr(model_file, "save_file", full)
    with pytest.raises(OutputError, match="No space left"):
        write_model(file, tiny_header(), tiny_model().network.state_dict())
    assert os.listdir(file.parent) == [file.name]
    assert file.read_bytes() == before


def test_header_can_be_rewritten_alone(file: Path) -> None:
    header = load_header(file).model_copy(update={"title": "New"})
    write_model(file, header, load_file(file))
    assert load_model(file).header == header
    assert [label.name for label in load_header(file).labels] == [label.name for label in LABELS]
