"""The client with workers that are scripts without torch, so that each starts at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hrseg
from hrseg.errors import ModelError, OutputError
from hrseg.worker.client import Busy, WorkerClient
from hrseg.worker.connection import WorkerError
from hrseg.worker.messages import DevicesRequest, Log, Progress, ProtocolError

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


# ---- a worker that does as it should ----


def test_one_process_for_all_jobs(scripted: Make) -> None:
    client = scripted(GOOD)
    assert (client.warm, client.busy, client.pid, client.versions) == (False, False, None, {})
    assert client.poll() == []
    first = job(client)
    assert (client.warm, client.busy, client.versions) == (True, False, {"python": "3"})
    assert job(client) == {"pid": first["pid"], "id": 2}
    assert client.pid == first["pid"]


def test_second_job_is_refused_while_one_runs(scripted: Make) -> None:
    client = scripted(GOOD)
    image = client.image_file("a", ARRAY, np.eye(4))
    client.submit(DevicesRequest())
    with pytest.raises(Busy, match="A job is running; wait until it ends, or cancel it"):
        client.submit(DevicesRequest())
    with pytest.raises(Busy):
        client.image_file("b", ARRAY, np.eye(4))
    assert client.image_file("a", ARRAY, np.eye(4)) == image
    # The first one is not disturbed.
    assert client.wait(20).result["id"] == 1


def test_waiting_for_nothing_and_for_too_long(scripted: Make) -> None:
    client = scripted("begin(); live_on()")
    with pytest.raises(WorkerError, match="no job to wait for"):
        client.wait(1)
    client.submit(DevicesRequest())
    with pytest.raises(WorkerError, match=r"did not end within 0\.1 seconds"):
        client.wait(0.1)
    assert client.busy


def test_errors_of_jobs_keep_their_class(scripted: Make) -> None:
    client = scripted('request = hear(); say(Failed(request.id, "bad_model", "No model.", "Get one.")); hear()')
    client.submit(DevicesRequest())
    with pytest.raises(ModelError, match=r"^No model. Get one.$"):
        client.wait(20)
    assert not client.busy


def test_events_on_the_way(scripted: Make) -> None:
    client = scripted('r = hear(); say(Progress(r.id, "a", 1, 2, 0.5)); say(Log("hm")); say(Done(r.id, {})); hear()')
    number = client.submit(DevicesRequest())
    seen: list[Any] = []
    done = client.wait(20, seen.append)
    assert seen == [Progress(number, "a", 1, 2, 0.5), Log("hm"), done]


# ---- the private folder ----


def test_image_is_written_once_per_key(scripted: Make, temporary: Path) -> None:
    client = scripted(GOOD)
    first = client.image_file("a", ARRAY, np.eye(4), "CT")
    assert np.load(first.path).shape == ARRAY.shape
    assert client.image_file("a", ARRAY + 1, 2 * np.eye(4), "CT 2").path == first.path
    assert not np.load(first.path).any()
    second = client.image_file("b", ARRAY + 1, np.eye(4))
    assert not Path(first.path).exists()
    assert np.load(second.path).all()
    assert client.image_file("a", ARRAY, np.eye(4)).path not in (first.path, second.path)


def test_folder_goes_with_the_client(scripted: Make, temporary: Path) -> None:
    client = scripted(GOOD)
    assert list(temporary.iterdir()) == []
    client.image_file("a", ARRAY, np.eye(4))
    pid = job(client)["pid"]
    client.close()
    assert list(temporary.iterdir()) == []
    assert client.pid is None
    client.close()
    # It can be used again.
    assert job(client)["pid"] != pid


def test_arrays_of_a_result_stay_until_the_next_job(scripted: Make) -> None:
    client = scripted("""
import numpy as np
from pathlib import Path
from hrseg.worker.arrays import write_array
while not isinstance(request := hear(), Shutdown):
    say(Done(request.id, write_array(Path(sys.argv[1], f"job{request.id}.npy"), np.arange(3) + request.id)))
""")
    first = job(client)
    assert client.array(first).tolist() == client.array(first).tolist() == [1, 2, 3]
    second = job(client)
    assert client.array(second).tolist() == [2, 3, 4]
    with pytest.raises(ProtocolError, match="There is no array in"):
        client.array(first)
    client.close()
    with pytest.raises(ProtocolError, match=r'array "job2.npy" has gone with its folder; run the job again'):
        client.array(second)


def test_full_temporary_folder(scripted: Make, temporary: Path, full_disk: Callable[[int], Any]) -> None:
    client = scripted(GOOD)
    with full_disk(500), pytest.raises(OutputError, match=r"Cannot write to the temporary folder .*; free some space"):
        client.image_file("a", np.zeros((1, 9, 9, 9)), np.eye(4))
    (folder,) = temporary.iterdir()
    assert [path.name for path in folder.iterdir()] == ["owner"]
    # There is room again.
    assert np.load(client.image_file("a", np.zeros((1, 9, 9, 9)), np.eye(4)).path).size == 729


def test_folder_that_the_system_cleans_away(scripted: Make, temporary: Path) -> None:
    client = scripted(GOOD)
    first = client.image_file("a", ARRAY, np.eye(4))
    job(client)
    Path(first.path).unlink()
    assert np.load(client.image_file("a", ARRAY, np.eye(4)).path).shape == ARRAY.shape
    shutil.rmtree(Path(first.path).parent)
    assert np.load(client.image_file("a", ARRAY, np.eye(4)).path).shape == ARRAY.shape
    assert job(client)["pid"] == client.pid
    (folder,) = temporary.iterdir()
    assert folder != Path(first.path).parent


# ---- importing ----

IMPORT = """
import sys, threading, time
for name in ("torch", "safetensors", "pydantic", "monai", "SimpleITK", "qt", "psutil"):
    sys.modules[name] = None
import numpy
import hrseg.worker.client, hrseg.worker.messages
client = hrseg.worker.client.WorkerClient()
assert threading.active_count() == 1
assert client.pid is None and client.poll() == []
"""


def test_importing_needs_and_starts_nothing(temporary: Path) -> None:
    environment = {"PYTHONPATH": str(Path(hrseg.__file__).parents[1]), "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", IMPORT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(temporary.iterdir()) == []


def test_folder_goes_when_the_program_ends(temporary: Path) -> None:
    script = "import numpy as np; from hrseg.worker.client import WorkerClient; c = WorkerClient()\n"
    script += "print(c.image_file('a', np.zeros((1, 2, 3, 4)), np.eye(4)).path)"
    environment = {"PYTHONPATH": str(Path(hrseg.__file__).parents[1]), "TMPDIR": str(temporary)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(temporary / "hrseg-"))
    assert list(temporary.iterdir()) == []
