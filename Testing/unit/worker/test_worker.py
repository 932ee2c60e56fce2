"""The genuine worker with torch. It starts in seconds, so that the tests share one where it survives them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hrseg
from hrseg.errors import Cancelled, InputError, ModelError, OutOfMemory
from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.methods import Options, method_of
from hrseg.model_file import load_model
from hrseg.prompts import RegionBox
from hrseg.runtime import Run
from hrseg.worker.client import Busy, WorkerClient
from hrseg.worker.messages import BoxEntry, DescribeRequest, Log, Progress, ProposeRequest, Request, SegmentRequest
from hrseg.worker.processes import is_alive
from model_helpers import tiny_file

CORE = Path(hrseg.__file__).parents[1]
NUCLEI = Path(__file__).parents[3] / "Resources" / "Models" / "nuclei-crop-cascade.safetensors"
#: A slow start on a busy computer is no failure.
LONG = 120.0


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("private")))
        shared = WorkerClient(paths=[CORE])
        yield shared
        shared.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def steps_model(folder: Path) -> Path:
    """A model whose inference takes thousands of small steps."""
    return tiny_file(folder / "steps.safetensors", inference={"window": [8] * 3, "overlap": 0.9})


@pytest.fixture(scope="module")
def heavy_model(folder: Path) -> Path:
    """A model with 3D convolutions that take many seconds each, in a single step."""
    widths = {"widths": [64, 2]}
    return tiny_file(folder / "heavy.safetensors", network=widths, inference={"window": [96] * 3})


def nuclei_image() -> Image:
    """A bright disc of 10 voxels radius in the dark, as a colour image of 96 x 128 voxels."""
    rows, columns = np.mgrid[:96, :128]
    gray = np.where((rows - 40) ** 2 + (columns - 50) ** 2 <= 100, 180, 15)
    gray = gray + np.random.default_rng(0).integers(-5, 6, gray.shape)
    affine = np.diag([-0.5, -0.5, 1.0, 1.0])
    affine[:3, 3] = (10, 20, 30)
    return Image(np.stack([gray] * 3)[:, None].astype(np.uint8), Grid((1, 96, 128), affine), "disc")


def volume_request(client: WorkerClient, model: Path) -> SegmentRequest:
    array = np.random.default_rng(0).integers(0, 100, (1, 24, 24, 24)).astype(np.int16)
    return SegmentRequest(image=client.image_file("volume", array, np.eye(4), "volume"), model=str(model), device="cpu")


def start(client: WorkerClient, request: Request, stage: str) -> None:
    """Starts a job, and waits until it is in the stage."""
    client.submit(request)
    end = time.monotonic() + LONG
    while not any(isinstance(event, Progress) and event.stage == stage for event in client.poll()):
        assert time.monotonic() < end
        assert client.busy
        time.sleep(0.01)


def dead(pid: int, seconds: float = 10) -> bool:
    """Whether a process dies within so many seconds; a zombie that nobody reaps is dead."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            if not is_alive(pid):
                return True
        time.sleep(0.02)
    return False


def test_round_trip_with_a_bundled_model(client: WorkerClient) -> None:
    image = nuclei_image()
    file = client.image_file("disc", image.array, image.grid.affine, image.name)
    seen: list[Any] = []
    client.submit(ProposeRequest(image=file, model=str(NUCLEI), device="cpu"))
    boxes = [RegionBox(**box) for box in client.wait(LONG, seen.append).result["boxes"]]
    stages = [event.stage for event in seen if isinstance(event, Progress)]
    assert list(dict.fromkeys(stages)) == ["loading", "preparing", "coarse", "boxes"]
    assert [event.text for event in seen if isinstance(event, Log)] == []
    assert len(boxes) == 1
    # Where the disc is, in mm.
    np.testing.assert_allclose(boxes[0].center, (10 - 25, 20 - 20, 30), atol=1)
    client.submit(SegmentRequest(image=file, model=str(NUCLEI), device="cpu", boxes=(BoxEntry.of(boxes[0]),)))
    result = client.wait(LONG).result
    mask = client.array(result["label_map"])
    disc = image.array[0] > 100
    dice = 2 * np.count_nonzero(mask & disc) / (np.count_nonzero(mask) + np.count_nonzero(disc))
    assert dice > 0.9
    expected = method_of(load_model(NUCLEI)).segment(image, Options(boxes=tuple(boxes)), Run())
    assert np.count_nonzero(mask != expected.label_map.array) <= 2
    assert np.array_equal(result["affine"], image.grid.affine)
    assert result["labels"][0]["name"] == "cell nucleus"
    assert result["labels"][0]["terminology"].startswith("Segmentation category and type")
    assert result["model"]["name"] == "nuclei-crop-cascade"
    assert client.versions["torch"] == torch.__version__


def test_problems_are_told_and_the_worker_stays(client: WorkerClient, steps_model: Path) -> None:
    client.submit(DescribeRequest(model="none.safetensors"))
    with pytest.raises(ModelError, match=r'Cannot read the model "none.safetensors": No such file'):
        client.wait(LONG)
    pid = client.pid
    flat = client.image_file("flat", np.zeros((1, 9, 9, 9), np.int16), np.eye(4), "flat")
    client.submit(SegmentRequest(image=flat, model=str(steps_model)))
    with pytest.raises(InputError, match='The image "flat" is constant'):
        client.wait(LONG)
    client.submit(DescribeRequest(model=str(steps_model)))
    assert client.wait(LONG).result["header"]["name"] == "tiny"
    assert client.pid == pid


def test_cancel_between_steps(client: WorkerClient, steps_model: Path) -> None:
    start(client, volume_request(client, steps_model), "inference")
    with pytest.raises(Busy):
        client.submit(DescribeRequest(model=str(steps_model)))
    pid = client.pid
    began = time.monotonic()
    client.cancel()
    with pytest.raises(Cancelled):
        client.wait(LONG)
    assert time.monotonic() - began < 1
    assert client.warm
    assert client.pid == pid
    client.submit(DescribeRequest(model=str(steps_model)))
    client.wait(LONG)
    assert client.pid == pid


def test_cancel_inside_a_convolution(client: WorkerClient, heavy_model: Path) -> None:
    start(client, volume_request(client, heavy_model), "inference")
    pid = client.pid
    assert pid
    began = time.monotonic()
    client.cancel()
    with pytest.raises(Cancelled):
        client.wait(LONG)
    assert time.monotonic() - began < 1
    assert dead(pid)
    assert not client.warm


def test_cancel_while_the_worker_starts(client: WorkerClient, heavy_model: Path) -> None:
    assert not client.warm
    client.submit(volume_request(client, heavy_model))
    began = time.monotonic()
    client.cancel()
    with pytest.raises(Cancelled):
        client.wait(LONG)
    assert time.monotonic() - began < 1


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_killed_inside_a_convolution(client: WorkerClient, heavy_model: Path) -> None:
    start(client, volume_request(client, heavy_model), "inference")
    assert client.pid
    os.kill(client.pid, signal.SIGKILL)
    with pytest.raises(OutOfMemory, match="probably because the memory of the computer ran out"):
        client.wait(LONG)


PARENT = """
import sys, time
import numpy as np
from hrseg.worker.client import WorkerClient
from hrseg.worker.messages import Progress, SegmentRequest
client = WorkerClient()
image = client.image_file("a", np.arange(24**3).reshape(1, 24, 24, 24) % 100, np.eye(4))
client.submit(SegmentRequest(image=image, model=sys.argv[1], device="cpu"))
while not any(isinstance(event, Progress) and event.stage == "inference" for event in client.poll()):
    time.sleep(0.01)
print(client.pid, flush=True)
time.sleep(60)
"""


def test_worker_ends_with_its_parent(temporary: Path, heavy_model: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(CORE), "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", PARENT, str(heavy_model)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        (private,) = temporary.iterdir()
        assert (private / "image1.npy").exists()
        # In the middle of a convolution, without a chance to say good-bye.
        parent.kill()
    assert dead(pid, 3)
    assert list(temporary.iterdir()) == []
