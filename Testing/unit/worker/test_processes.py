from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import pytest

from hrseg.worker.processes import Process, describe_end, is_alive, was_out_of_memory

#: Starts the real work as Slicer's launcher does, and tells its number.
LAUNCHER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
child.wait()
"""


def soon(fact: Callable[[], object], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not fact() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(fact())


def python(script: str) -> Process:
    return Process([sys.executable, "-S", "-c", script], os.environ)


def collect(process: Process) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    assert soon(lambda: process.ended)
    lines.extend(process.lines())
    return lines


def test_lines_in_and_out() -> None:
    process = python("import sys; print(input().upper()); print('oh: ä', file=sys.stderr); print(input()); sys.exit(3)")
    process.send("first")
    process.send("second")
    lines = collect(process)
    assert [text for name, text in lines if name == "out"] == ["FIRST", "second"]
    assert [text for name, text in lines if name == "err"] == ["oh: ä"]
    assert process.returncode == 3
    assert list(process.lines()) == []


def test_bytes_that_are_no_text() -> None:
    process = python(r"import os; os.write(1, b'\xff\x00abc\r\nlast')")
    assert collect(process) == [("out", "�\0abc"), ("out", "last")]


def test_large_message_to_a_process_that_does_not_read() -> None:
    process = python("import time; time.sleep(60)")
    began = time.monotonic()
    process.send("x" * 10_000_000)
    process.kill()
    assert time.monotonic() - began < 5
    assert soon(lambda: process.ended)


def test_output_faster_than_it_is_read_does_not_hold_the_reader() -> None:
    process = python("while True: print('garbage')")
    lines: list[tuple[str, str]] = []
    assert soon(lambda: lines.extend(process.lines()) or len(lines) > 1000)
    process.kill()
    assert process.wait(10)


@pytest.mark.skipif(os.name != "posix", reason="process groups")
def test_killing_ends_the_tree() -> None:
    process = python(LAUNCHER)
    lines: list[tuple[str, str]] = []
    assert soon(lambda: lines.extend(process.lines()) or lines)
    child = int(lines[0][1])
    assert is_alive(child)
    process.kill()
    assert soon(lambda: process.ended)
    assert soon(lambda: gone(child))
    assert process.returncode == -9
    # A second time there is nothing to do, and nothing happens to others.
    process.kill()


@pytest.mark.skipif(os.name != "posix", reason="process groups")
def test_killing_ends_what_a_dead_launcher_left() -> None:
    process = python(LAUNCHER)
    lines: list[tuple[str, str]] = []
    assert soon(lambda: lines.extend(process.lines()) or lines)
    os.kill(process.pid, 9)
    # The pipes are held open, but its end is noticed all the same.
    assert soon(lambda: process.ended)
    process.kill()
    assert soon(lambda: gone(int(lines[0][1])))


def gone(pid: int) -> bool:
    """Dead, or a zombie where nobody reaps the orphans."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return not is_alive(pid)


def test_which_processes_live() -> None:
    assert is_alive(os.getpid())
    process = python("")
    assert process.wait(10)
    assert not is_alive(process.pid)
    assert process.returncode == 0


def test_no_such_program() -> None:
    with pytest.raises(OSError, match="No such file"):
        Process(["/no/python"], {})


def test_ends_in_words() -> None:
    assert [describe_end(code) for code in (3, -11, -9, -99)] == ["exit code 3", "SIGSEGV", "SIGKILL", "exit code -99"]
    assert [was_out_of_memory(code) for code in (-9, 137, 3221225495, -11, 1, 0)] == [True] * 3 + [False] * 3
