from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from hrseg.worker.connection import Connection
from hrseg.worker.messages import Answer, Log

SHOW = """
import os, sys
print(os.environ["PYTHONPATH"])
print(os.environ["HOME_OF"])
print("" in sys.path or os.getcwd() in sys.path)
"""


def answers(connection: Connection) -> list[Answer]:
    """All that it says until it ends."""
    end = time.monotonic() + 20
    while not connection.ended:
        assert time.monotonic() < end
        time.sleep(0.01)
    return connection.answers()


@pytest.mark.parametrize(
    ("inherited", "path"), [({}, ["a", "b"]), ({"PYTHONPATH": ""}, ["a", "b"]), ({"PYTHONPATH": "c"}, ["a", "b", "c"])]
)
def test_environment_of_the_worker(inherited: dict[str, str], path: list[str]) -> None:
    command = [sys.executable, "-S", "-c", SHOW]
    connection = Connection(command, [Path("a"), Path("b")], {"HOME_OF": "a bear", **inherited})
    # The folder where the program happens to be is not searched.
    assert answers(connection) == [Log(os.pathsep.join(path)), Log("a bear"), Log("False")]


@pytest.mark.parametrize("inherited", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}])
def test_threads_of_the_worker_do_not_spin(inherited: dict[str, str]) -> None:
    """Unless the user wants it so."""
    command = [sys.executable, "-S", "-c", "import os; print(os.environ['OMP_WAIT_POLICY'])"]
    expected = inherited.get("OMP_WAIT_POLICY", "PASSIVE")
    assert answers(Connection(command, [], inherited)) == [Log(expected)]


def test_silence_is_measured_from_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("hrseg.worker.connection.time.monotonic", lambda: now[0])
    connection = Connection([sys.executable, "-S", "-c", "input(); print('hm'); input()"], [], os.environ)
    try:
        for _ in range(3):
            now[0] += 0.5
            assert connection.answers() == []
        assert connection.silence == 1.5
        connection.wake()
        assert connection.silence == 0
        now[0] += 0.5
        connection.answers()
        assert connection.silence == 0.5
        connection._process.send("speak")
        while not connection.answers():
            pass
        assert connection.silence == 0
    finally:
        connection.kill()
