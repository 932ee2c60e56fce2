from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch

from hrseg.methods import method_class
from hrseg.model_file import save_model
from hrseg.worker.client import WorkerClient
from hrseg.worker.jobs import Jobs
from hrseg.worker.messages import DevicesRequest, Done, Failed, ImageFile, Log, Progress
from job_helpers import squares_file
from model_helpers import cascade_header

PRELUDE = '''
import os, sys, time
from hrseg.worker.messages import *
def say(answer):
    print(to_json(answer), flush=True)
def hear():
    return from_json(sys.stdin.readline(), Request)
def begin():
    """A job up to its first sign of progress."""
    say(Ready({"python": "3"}))
    request = hear()
    say(Progress(request.id, "convolving", 0, 1, 0.1))
def live_on():
    while True:
        say(Alive())
        time.sleep(0.05)
'''


class ScriptedClient(WorkerClient):
    """A client whose worker is a script without torch, which starts at once."""

    def __init__(self, script: str, silence: float = 30.0) -> None:
        super().__init__(silence=silence)
        self._script = PRELUDE + script

    def _command(self, folder: Path) -> list[str]:
        return [sys.executable, "-c", self._script, str(folder)]

    def start(self) -> None:
        """Starts a job, and polls until it has told of progress."""
        self.submit(DevicesRequest())
        end = time.monotonic() + 60
        while not any(isinstance(event, Progress) for event in self.poll()):
            assert time.monotonic() < end
            time.sleep(0.01)

    def end(self) -> tuple[Done | Failed, list[str]]:
        """How the job ends, and the log until then."""
        log: list[str] = []
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for event in self.poll():
                if isinstance(event, Log):
                    log.append(event.text)
                if isinstance(event, (Done, Failed)):
                    return event, log
            time.sleep(0.01)
        raise AssertionError("the job does not end")


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ScriptedClient]]:
    """Makes clients with scripts as workers; they are closed at the end."""
    # Many of them do not listen.
    monkeypatch.setattr("hrseg.worker.connection._FAREWELL", 0.1)
    clients: list[ScriptedClient] = []

    def make(script: str, silence: float = 30.0) -> ScriptedClient:
        clients.append(ScriptedClient(script, silence))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where private folders are made in a test."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """Files can have so many bytes at most, as on a disk that gets full."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def limited(count: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


@pytest.fixture(scope="session")
def cascade_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 2D cascade whose networks are sure of the label where the grey value is above a half.

    Their first and last convolutions pass the middle of their windows on; the levels below are not heard.
    """
    choice = {"width": 1, "depth": 1}
    header = cascade_header(choice, choice, context=0.1)
    network = method_class(header.method).build(header).eval()
    for name, weights in network.named_parameters():
        _, part, *_, kind = name.split(".")
        weights.requires_grad_(False)
        if part == "head":
            weights.copy_(torch.tensor([0.0, 40.0] if kind == "weight" else [0.0, -20.0]).reshape(weights.shape))
        elif weights.ndim == 4:
            weights.zero_()
            if part != "ups":
                # Of the decoder's two inputs the second one is the skip connection.
                weights[0, -1, 1, 1] = 1
    path = tmp_path_factory.mktemp("models") / "threshold.safetensors"
    save_model(path, header, network, half=False)
    return path


@pytest.fixture
def file(tmp_path: Path) -> ImageFile:
    return squares_file(tmp_path)


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path)
