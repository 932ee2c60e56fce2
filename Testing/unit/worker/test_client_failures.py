"""The client with workers that behave badly, or are told to stop: scripts without torch, which start at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hrseg.errors import Cancelled, OutOfMemory
from hrseg.worker.client import WorkerClient
from hrseg.worker.connection import WorkerError
from hrseg.worker.messages import DevicesRequest, Done, Failed

Make = Callable[..., Any]
posix = pytest.mark.skipif(os.name != "posix", reason="signals")

#: Does as it should: the result is the job's number.
GOOD = """
say(Ready({"python": "3"}))
while not isinstance(request := hear(), Shutdown):
    say(Done(request.id, {"pid": os.getpid(), "id": request.id}))
"""
ARRAY = np.zeros((1, 2, 3, 4), np.uint8)


def job(client: WorkerClient) -> Any:
    client.submit(DevicesRequest())
    return client.wait(20).result


# ---- workers that fail ----


def test_garbage_on_its_output_goes_to_the_log(scripted: Make) -> None:
    client = scripted(r"""
request = hear()
os.write(1, b'\xff\xfe 50%|####\r 100%\n\n{"version": 9}\n{"version": 1, "type": "done", "id": "a"}\n')
os.write(2, b"a warning\n")
say(Done(request.id + 1, {"not": "ours"}))
say(Done(request.id, {}))
hear()
""")
    client.submit(DevicesRequest())
    event, log = client.end()
    assert event == Done(1, {})
    assert "�� 50%|####\r 100%" in log
    assert '{"version": 9}' in log


def test_crash(scripted: Make) -> None:
    client = scripted('print("no such luck", file=sys.stderr); hear(); sys.exit(3)')
    client.submit(DevicesRequest())
    event, log = client.end()
    assert isinstance(event, Failed)
    assert (event.id, event.kind, event.message) == (1, "crashed", "The worker crashed (exit code 3).")
    assert "look into the log" in event.advice
    assert log == ["no such luck"]
    assert (client.busy, client.warm, client.pid) == (False, False, None)


def test_crash_at_the_start(scripted: Make) -> None:
    client = scripted("import no_such_module")
    client.submit(DevicesRequest())
    event, log = client.end()
    assert isinstance(event, Failed)
    assert event.message == "The worker crashed (exit code 1)."
    assert log[-1] == "ModuleNotFoundError: No module named 'no_such_module'"


def test_what_it_said_before_it_died_counts(scripted: Make) -> None:
    client = scripted("r = hear(); say(Done(r.id, {})); os._exit(1)")
    assert job(client) == {}


@posix
def test_killed_in_the_middle(scripted: Make, temporary: Path) -> None:
    client = scripted("begin(); live_on()")
    image = client.image_file("a", ARRAY, np.eye(4))
    client.start()
    pid = client.pid
    assert pid
    (Path(image.path).parent / ".job1-label_map.npy.part").write_bytes(b"half")
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(OutOfMemory, match=r"worker was killed \(SIGKILL\), probably because the memory .* Close other"):
        client.wait(20)
    assert sorted(path.name for path in Path(image.path).parent.iterdir()) == ["image1.npy", "owner"]
    client.start()
    assert client.pid != pid


@posix
def test_killed_while_it_waits(scripted: Make) -> None:
    client = scripted(GOOD)
    pid = job(client)["pid"]
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 20
    while client.warm:
        assert client.poll() == []
        assert time.monotonic() < end
        time.sleep(0.01)
    assert job(client)["pid"] != pid


@posix
def test_hang(scripted: Make) -> None:
    client = scripted("begin(); live_on()", silence=0.6)
    client.start()
    pid = client.pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    event, _ = client.end()
    assert isinstance(event, Failed)
    assert (event.kind, event.message) == ("crashed", "The worker did not answer for 0.6 seconds and was ended.")
    assert client.pid is None


def test_signs_of_life_are_enough(scripted: Make) -> None:
    client = scripted("begin(); live_on()", silence=0.3)
    client.start()
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        assert client.poll() == []
        time.sleep(0.01)
    assert client.busy


def test_sleep_of_the_computer_is_no_silence(scripted: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    client = scripted("begin(); hear()")
    client.start()
    clock = time.monotonic
    monkeypatch.setattr("hrseg.worker.connection.time.monotonic", lambda: clock() + 3600)
    assert client.poll() == []
    assert client.busy


def test_error_that_should_not_happen_ends_the_worker(scripted: Make) -> None:
    client = scripted("""
request = hear()
say(Log("Traceback"))
say(Failed(0, "internal", f"Broken {os.getpid()}.", "Report it."))
hear()
""")
    client.submit(DevicesRequest())
    event, log = client.end()
    assert isinstance(event, Failed)
    assert (event.id, event.kind, event.advice, log) == (1, "internal", "Report it.", ["Traceback"])
    assert client.pid is None


def test_no_such_python(temporary: Path) -> None:
    client = WorkerClient("/no/python")
    with pytest.raises(WorkerError, match=r'The Python "/no/python" cannot be started: No such .*; choose another'):
        client.submit(DevicesRequest())
    assert not client.busy
    client.close()
    assert list(temporary.iterdir()) == []


# ---- cancelling ----


def test_worker_that_acknowledges_a_cancel_stays(scripted: Make) -> None:
    client = scripted('begin(); assert hear() == Cancel(id=1); say(Failed(1, "cancelled", "Canceled.")); hear()')
    client.start()
    pid = client.pid
    client.cancel()
    event, _ = client.end()
    assert event == Failed(1, "cancelled", "Canceled; nothing was changed.")
    assert (client.busy, client.warm, client.pid) == (False, True, pid)


def test_worker_that_does_not_is_ended(scripted: Make) -> None:
    client = scripted("begin(); live_on()")
    client.start()
    began = time.monotonic()
    client.cancel()
    client.cancel()
    with pytest.raises(Cancelled, match="nothing was changed"):
        client.wait(20)
    assert 0.8 <= time.monotonic() - began < 1
    assert (client.busy, client.warm, client.pid) == (False, False, None)


@pytest.mark.parametrize("answer", ["Done(1, {})", 'Failed(1, "bad_input", "No.")', "None"])
def test_other_ends_of_a_cancelled_job(scripted: Make, answer: str) -> None:
    """A result that comes too late is not wanted; a crash is the end that was asked for."""
    client = scripted(f"begin(); hear()\nif {answer}: say({answer})\nos._exit(1)")
    client.start()
    client.cancel()
    event, _ = client.end()
    assert event == Failed(1, "cancelled", "Canceled; nothing was changed.")


def test_cancel_without_a_job(scripted: Make) -> None:
    client = scripted(GOOD)
    client.cancel()
    job(client)
    client.cancel()
    assert job(client)["id"] == 2
