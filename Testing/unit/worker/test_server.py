"""The worker's process beside its jobs: whether it starts, listens, and keeps others' prints from the protocol."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hrseg
from hrseg.worker.connection import Connection
from hrseg.worker.folder import make_folder
from hrseg.worker.messages import Alive, DescribeRequest, to_json

CORE = Path(hrseg.__file__).parents[1]
#: A slow start on a busy computer is no failure.
LONG = 120.0

BROKEN = """
import sys
sys.modules["torch"] = None
from pathlib import Path
from hrseg.worker.server import main
main(Path(sys.argv[1]))
"""
SLOW = """
import sys, time
from pathlib import Path
class Slow:
    def find_spec(self, name, *_):
        if name == "torch":
            time.sleep(60)
sys.meta_path.insert(0, Slow())
from hrseg.worker import server
server._PULSE = 0.05
server.main(Path(sys.argv[1]))
"""
CHATTY = """
import os, sys
from pathlib import Path
from hrseg.worker import server
def serve(self):
    print("a library prints")
    os.write(1, b"and one that does so in C\\n")
    sys.exit(f"reads {sys.stdin.read()!r}")
server.Server.serve = serve
server.main(Path(sys.argv[1]))
"""


def test_python_without_torch(scripted: Callable[[str], Any]) -> None:
    client = scripted(BROKEN)
    client.submit(DescribeRequest(model="a"))
    failed, log = client.end()
    assert failed.kind == "internal"
    assert failed.message.startswith(f'The Python "{sys.executable}" cannot segment: import of torch halted')
    assert failed.advice == "Install what is missing, or choose another Python."
    assert "Traceback" in log[0]


def test_worker_lives_and_listens_while_it_is_occupied(temporary: Path) -> None:
    folder = make_folder()
    worker = Connection([sys.executable, "-c", SLOW, str(folder)], [CORE], os.environ)
    end = time.monotonic() + LONG
    while not (lines := list(worker._process.lines())):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert lines[0] == ("out", to_json(Alive()))
    time.sleep(0.3)
    assert len(list(worker._process.lines())) > 1
    worker.close()
    assert worker.returncode == 0
    assert not folder.exists()


def test_prints_of_libraries_do_not_reach_the_protocol(temporary: Path) -> None:
    worker = Connection([sys.executable, "-c", CHATTY, str(temporary)], [CORE], os.environ)
    end = time.monotonic() + LONG
    while not worker.ended:
        assert time.monotonic() < end
        time.sleep(0.01)
    lines = list(worker._process.lines())
    assert [text for source, text in lines if source == "out"] == []
    said = sorted(text for source, text in lines if source == "err")
    assert said == ["a library prints", "and one that does so in C", "reads ''"]


def test_other_folders_are_refused(temporary: Path) -> None:
    (temporary / "thesis.txt").write_text("precious")
    for arguments in ([], [str(temporary)]):
        command = [sys.executable, "-m", "hrseg.worker", *arguments]
        environment = {"PYTHONPATH": str(CORE)}
        done = subprocess.run(command, env=environment, input="", capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "is started by the extension" in done.stderr
    assert (temporary / "thesis.txt").exists()
