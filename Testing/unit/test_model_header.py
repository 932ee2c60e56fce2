from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hrseg
from hrseg.errors import ModelError
from hrseg.model_header import FORMAT_VERSION, read_header, read_tensor_table
from image_helpers import one_line
from model_helpers import edited, safetensors_bytes, tiny_file

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "safetensors", "pydantic", "numpy", "SimpleITK"):
            raise ImportError(name)
sys.meta_path.insert(0, Block())
"""
LIST_MODELS = """
from hrseg.model_header import read_header
from hrseg.model_store import stored_models
print(read_header(sys.argv[1])["labels"][0]["name"], "tiny" in [model.name for model in stored_models()])
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_file(tmp_path / "tiny.safetensors")


def test_header_and_tensor_table(model: Path) -> None:
    header = read_header(model)
    assert header["name"] == "tiny"
    assert header["labels"][1]["name"] == "spine"
    assert header["format_version"] == FORMAT_VERSION
    table, metadata = read_tensor_table(model)
    assert table["encoder.0.conv1.weight"]["shape"] == [2, 1, 3, 3, 3]
    assert list(metadata) == ["hrseg"]


def test_standard_library_is_enough(model: Path, tmp_path: Path) -> None:
    environment = {
        "PYTHONPATH": str(Path(hrseg.__file__).parents[1]),
        "HRSEG_MODELS": str(tmp_path),
        "HOME": "/nowhere",
    }
    command = [sys.executable, "-c", BLOCK + LIST_MODELS, str(model)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("liver True\n", "")


def refusal(path: Path, content: bytes | None = None) -> str:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError) as error:
        read_header(path)
    assert len(str(error.value)) < 400 + len(str(path))
    return one_line(error, path)


def test_no_such_file(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.safetensors")


def test_folder(tmp_path: Path) -> None:
    assert "directory" in refusal(tmp_path)


def test_name_that_no_file_can_have() -> None:
    with pytest.raises(ModelError, match="Cannot read"):
        read_header("a\0b.safetensors")


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 100, -1])
def test_truncated(size: int, model: Path) -> None:
    text = refusal(model, model.read_bytes()[:size])
    assert ("not a model file" if 0 <= size < 8 else "truncated") in text


@pytest.mark.parametrize("length", [0, 1, 2**24 + 1, 2**40, 2**64 - 1])
def test_absurd_header_length(length: int, tmp_path: Path) -> None:
    assert "not in the safetensors format" in refusal(tmp_path / "a", length.to_bytes(8, "little") + b"{}" * 9)


@pytest.mark.parametrize(
    "table",
    [
        b"{not json",
        b"[]",
        b'"text"',
        b"17",
        b"null",
        b"[" * 100_000,
        b"\xff\xfe{}",
        {"a": 1},
        {"a": {}},
        {"a": {"data_offsets": []}},
        {"a": {"data_offsets": [0, None]}},
        b'{"a": {"data_offsets": [0, Infinity]}}',
        b'{"a": {"data_offsets": [0, NaN]}}',
        {"__metadata__": 3},
        {"__metadata__": "hrseg"},
    ],
)
def test_damaged_table(table: Any, tmp_path: Path) -> None:
    assert "safetensors header is damaged" in refusal(tmp_path / "a", safetensors_bytes(table))


@pytest.mark.parametrize("metadata", [{}, {"format": "pt"}, {"hrseg": 3}])
def test_foreign_safetensors(metadata: dict[str, Any], tmp_path: Path) -> None:
    assert "not a model of this extension" in refusal(tmp_path / "a", safetensors_bytes({"__metadata__": metadata}))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1]", "not a JSON object"),
        ("{}", "format version None"),
        ('{"format_version": "1"}', "format version '1'"),
        ('{"format_version": true}', "format version True"),
        ('{"format_version": 0}', "format version 0"),
        ('{"format_version": 2}', "update the extension"),
        ('{"format_version": 1}', "the name None"),
        ('{"format_version": 1, "name": 4}', "the name 4"),
        ('{"format_version": 1, "name": "../../.bashrc"}', "the name '../../.bashrc'"),
        ('{"format_version": 1, "name": "%s"}' % ("a" * 10_000), "must be 1 to 80"),
        ('{"format_version": %s}' % ("9" * 4000), "update the extension"),
    ],
)
def test_bad_header(header: str, words: str, tmp_path: Path) -> None:
    assert words in refusal(tmp_path / "a", safetensors_bytes({"__metadata__": {"hrseg": header}}))


def test_newer_version_names_both(model: Path) -> None:
    edited(model, lambda header: header.update(format_version=FORMAT_VERSION + 1))
    assert f"format version {FORMAT_VERSION + 1}, but this version of the extension reads up to {FORMAT_VERSION}" in (
        refusal(model)
    )
