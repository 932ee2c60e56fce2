"""What client and worker say to each other, damaged."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from field_models import field_header
from fuzzing import HANG, damaged, damaged_json, fuzzed, json_bytes, json_text, little_memory, outcome
from hrseg.errors import HrsegError
from hrseg.methods import method_class
from hrseg.model_file import save_model
from hrseg.worker.arrays import read_array, write_array
from hrseg.worker.connection import _read
from hrseg.worker.folder import make_folder
from hrseg.worker.jobs import Jobs, failure
from hrseg.worker.messages import Answer, DescribeRequest, Log, ProtocolError, Request, from_json, to_json
from hrseg.worker.processes import Process
from model_helpers import cascade_header, tiny_header

EYE = np.eye(4).tolist()
BOX = {"name": "a", "center": [5, 5, 0], "size": [4, 4, 2], "axes": np.eye(3).tolist()}
ANSWERS: list[dict[str, Any]] = [
    {"version": 1, "type": "ready", "versions": {"torch": "2.4"}},
    {"version": 1, "type": "alive"},
    {"version": 1, "type": "progress", "id": 7, "stage": "crops", "done": 2, "total": 9, "seconds": 0.25},
    {"version": 1, "type": "log", "text": "a line"},
    {"version": 1, "type": "done", "id": 7, "result": {"label_map": {"file": "a.npy", "shape": [1], "dtype": "uint8"}}},
    {"version": 1, "type": "failed", "id": 7, "kind": "no_memory", "message": "It ran out.", "advice": "Buy some."},
]


def image(shape: tuple[int, ...]) -> dict[str, Any]:
    return {"key": "a", "path": f"image{len(shape)}-{shape[1]}.npy", "affine": EYE, "name": "CT"}


def requests(folder: Path) -> list[dict[str, Any]]:
    """One of each kind that segments, with models in ``folder``."""
    about = {"version": 1, "id": 1, "device": "cpu", "inference": {}}
    flat = {**about, "image": image((1, 1, 16, 16)), "model": str(folder / "crop_cascade.safetensors")}
    deep = {**about, "image": image((1, 8, 8, 8)), "model": str(folder / "patch_based.safetensors")}
    field = {**deep, "model": str(folder / "oss_net.safetensors")}
    grid = {"shape": [4, 4, 4], "affine": EYE}
    return [
        {**flat, "type": "segment", "boxes": [BOX], "propose": False, "instances": True, "lesions": True},
        {**deep, "type": "segment", "keep_probability": True, "options": {"resolution": "input"}},
        {**field, "type": "segment", "options": {"spacing": [2, 2, 2], "guidance_center": None}},
        {**flat, "type": "propose"},
        {**deep, "type": "forecast", "inference": {"overlap": 0.25}},
        {**field, "type": "sample", "grid": grid, "what": "probability", "labels": [1], "level": 0.5},
        {**field, "type": "surface", "grid": grid, "labels": [2, 1], "level": None},
        {"version": 1, "id": 3, "type": "describe", "model": deep["model"]},
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models and images."""
    folder, choice = tmp_path_factory.mktemp("jobs"), {"width": 1, "depth": 1}
    for header in (tiny_header(), cascade_header(choice, choice), field_header()):
        save_model(folder / f"{header.method}.safetensors", header, method_class(header.method).build(header))
    rng = np.random.default_rng(0)
    for shape in ((1, 1, 16, 16), (1, 8, 8, 8)):
        write_array(folder / image(shape)["path"], rng.random(shape, np.float32))
    return folder


def text_of(content: bytes) -> str:
    return content.decode("utf-8", errors="replace")


@given(content=st.one_of(*(json_bytes(answer) for answer in ANSWERS)))
@fuzzed(120)
def test_answers(content: bytes) -> None:
    line = text_of(content)
    answer = outcome(from_json, line, Answer)
    assert _read(line) == (Log(line) if answer is None else answer)
    if answer:
        json.loads(json.dumps(answer.__dict__, default=list))


@given(data=st.data())
@fuzzed(150)
def test_requests(folder: Path, data: st.DataObject) -> None:
    content = data.draw(json_bytes(data.draw(st.sampled_from(requests(folder)))))
    outcome(from_json, text_of(content), Request)


@given(data=st.data())
@fuzzed(120)
def test_jobs_of_odd_requests(folder: Path, data: st.DataObject) -> None:
    valid = data.draw(st.sampled_from(requests(folder)))
    request = outcome(from_json, json_text(data.draw(damaged_json(valid))), Request)
    if request is not None:
        done(Jobs(folder), request)


def done(jobs: Jobs, request: Request) -> None:
    """What the worker does with a request: a result that can be sent, or a failure that it can explain."""
    try:
        json.dumps(outcome(jobs.do, request, lambda *_: None, threading.Event(), lines=20), allow_nan=False)
    except Exception as error:
        failed = failure(request.id, error)
        if failed.kind == "internal":
            raise
        to_json(failed)


def test_undamaged_jobs(folder: Path) -> None:
    for content in requests(folder):
        json.dumps(Jobs(folder).do(from_json(json.dumps(content), Request), lambda *_: None, threading.Event()))


class Worker:
    """A real worker, kept between examples."""

    def __init__(self, folder: Path) -> None:
        self._process = Process([sys.executable, "-m", "hrseg.worker", str(make_folder())], environment())
        self._model = str(folder / "patch_based.safetensors")
        self._asked = 10**6

    def hears(self, line: str) -> None:
        self._process.send(line)

    def answers(self) -> None:
        """Waits until it has answered one more request, which it can only do if it is well."""
        self._asked += 1
        self._process.send(to_json(DescribeRequest(id=self._asked, model=self._model)))
        end = time.monotonic() + HANG
        while time.monotonic() < end and self._process.returncode is None:
            for source, line in self._process.lines():
                if source == "err" and "Traceback" in line:
                    raise AssertionError(line)
                if source == "out" and json.loads(line).get("id") == self._asked:
                    assert json.loads(line)["type"] == "done"
                    return
            time.sleep(0.01)
        raise AssertionError(f"the worker does not answer; its exit code is {self._process.returncode}")

    def close(self) -> None:
        self._process.kill()


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "HighResCore")}


@pytest.fixture(scope="module")
def worker(folder: Path) -> Iterator[Worker]:
    with little_memory():
        worker = Worker(folder)
    worker.answers()
    yield worker
    worker.close()


@given(data=st.data())
@fuzzed(100)
def test_worker_that_hears_nonsense(worker: Worker, folder: Path, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        content = data.draw(json_bytes(data.draw(st.sampled_from(requests(folder)))))
        if b"shutdown" not in content:
            worker.hears(text_of(content))
    worker.answers()


@given(data=st.data())
@fuzzed(150)
def test_array_files(tmp_path: Path, data: st.DataObject) -> None:
    whole = tmp_path / "whole.npy"
    entry = write_array(whole, np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    (tmp_path / "a.npy").write_bytes(data.draw(damaged(whole.read_bytes(), [b"PK\x03\x04", b""])))
    outcome(read_array, tmp_path, {**entry, "file": "a.npy"})
    odd = data.draw(damaged_json(entry))
    if isinstance(odd, dict):
        outcome(read_array, tmp_path, odd)


# ---- found once ----


def test_two_jobs_of_the_same_number(worker: Worker, folder: Path) -> None:
    for _ in range(3):
        worker.hears(to_json(DescribeRequest(id=5, model=str(folder / "patch_based.safetensors"))))
    worker.answers()


@pytest.mark.parametrize(
    ("which", "changes", "problem"),
    [
        (1, {"options": {"resolution": 5}}, '"options.resolution" is 5'),
        (1, {"options": {"resolution": "finest"}}, "\"options.resolution\" is 'finest'"),
        (2, {"options": {"spacing": "x" * 9000}}, r"\"options.spacing\" is 'xxx.{1,60}$"),
        (2, {"options": {"spacing": [1, 2]}}, r'"options.spacing" is \[1, 2\]'),
        (2, {"options": {"spacing": [1e-320] * 3}}, "must be positive millimeters"),
        (2, {"options": {"spacing": [10**400] * 3}}, "is not a float"),
        (1, {"options": {"boxes": []}}, "not known to any method"),
        (
            0,
            {"boxes": [{**BOX, "axes": [[1.0], [], []]}]},
            r'The axes of the box "a" is \(\(1.0,\), \(\), \(\)\); it must',
        ),
        (0, {"boxes": [{**BOX, "size": [1, 1]}]}, r'The size of the box "a" is \(1.0, 1.0\); it must'),
        (5, {"grid": {"shape": [4, 4], "affine": EYE}}, "must be three numbers"),
        (5, {"grid": {"shape": [2**40] * 3, "affine": EYE}}, "choose a coarser resolution"),
        (5, {"grid": {"shape": [4, 4, 4], "affine": [[1.0], []]}}, "not an invertible 4x4 matrix"),
        (1, {"image": {**image((1, 8, 8, 8)), "affine": []}}, "not an invertible 4x4 matrix"),
        (1, {"image": {**image((1, 8, 8, 8)), "path": "cube.npy"}}, "must be three numbers"),
        (1, {"image": {**image((1, 8, 8, 8)), "path": "words.npy"}}, "must be numbers"),
        (1, {"image": {**image((1, 8, 8, 8)), "path": "none.npy"}}, "There is no array in .*: No such file"),
    ],
)
def test_found_in_requests(folder: Path, which: int, changes: dict[str, Any], problem: str) -> None:
    write_array(folder / "cube.npy", np.zeros((2, 2, 2), np.float32))
    write_array(folder / "words.npy", np.full((1, 8, 8, 8), "word"))
    line = json.dumps({**requests(folder)[which], **changes})
    with pytest.raises(HrsegError, match=problem) as error:
        Jobs(folder).do(from_json(line, Request), lambda *_: None, threading.Event())
    assert failure(1, error.value).kind in ("bad_input", "no_memory")


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00\x05\x00{'a':", b"\x93NUMPY\x01\x00\x03\x00(\0)"]
)
def test_found_in_arrays(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ProtocolError, match=r"There is no array in .*a\.npy\": the file is damaged\."):
        read_array(tmp_path, {"file": "a.npy", "shape": [1], "dtype": "int16"})


@pytest.mark.parametrize("name", ["a\nb", "x" * 9000, "\0"])
def test_odd_names_of_arrays(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProtocolError, match="is not in the private folder") as error:
        read_array(tmp_path, {"file": name})
    assert len(str(error.value)) < 200
