"""A child process with all that it starts in turn: lines in, lines out, and an end that spares nobody.

Standard library only, for Windows, too: pipes are read and written by threads, and nothing here blocks.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any, Literal

#: How long the output of a process may still come after its end, in seconds: something that it started may hold it.
_LAST_WORDS = 0.5
#: Windows' exit code where memory was refused.
_STATUS_NO_MEMORY = 0xC0000017


class Process:
    """A running child in a process group of its own.

    Slicer's Python is a launcher that starts the real interpreter, so what has to be ended is a tree.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self._popen = subprocess.Popen(command, env=dict(environment), **pipes, **_own_group())
        self._heard: SimpleQueue[tuple[Literal["out", "err"], str]] = SimpleQueue()
        self._unsent: SimpleQueue[str | None] = SimpleQueue()
        self._ended_at: float | None = None
        out, err = self._popen.stdout, self._popen.stderr
        self._readers = [
            Thread(target=self._read, args=(stream, name), daemon=True) for stream, name in ((out, "out"), (err, "err"))
        ]
        for thread in [*self._readers, Thread(target=self._write, args=(self._popen.stdin,), daemon=True)]:
            thread.start()

    @property
    def pid(self) -> int:
        """Number of the process that was started."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        return self._popen.poll()

    @property
    def ended(self) -> bool:
        """Whether it has ended, and all that it said can be had from :meth:`lines`."""
        if self._popen.poll() is None:
            return False
        self._ended_at = self._ended_at or time.monotonic()
        return self._gone or time.monotonic() - self._ended_at > _LAST_WORDS

    def send(self, line: str) -> None:
        """Has a line written to its standard input."""
        self._unsent.put(line + "\n")

    def lines(self) -> Iterator[tuple[Literal["out", "err"], str]]:
        """What it has said since the last call, on its standard output or error."""
        # Not more than there is now: something that talks faster than we listen must not hold us.
        for _ in range(self._heard.qsize()):
            with suppress(Empty):
                yield self._heard.get_nowait()

    def wait(self, seconds: float) -> bool:
        """Waits for its end, at most so long; returns whether it came."""
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(seconds)
        return self._popen.returncode is not None

    def kill(self) -> None:
        """Ends it and all that it started."""
        self._unsent.put(None)
        if self._gone:
            # Nothing of it is left, and its number may be another process's by now.
            return
        if sys.platform == "win32":
            command = ["taskkill", "/T", "/F", "/PID", str(self.pid)]
            none: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
            with suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(command, **none, timeout=2, check=False, creationflags=subprocess.CREATE_NO_WINDOW)
            self._popen.kill()
        else:
            # A group lives as long as one of its members, whether or not its first one does.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    @property
    def _gone(self) -> bool:
        """Whether neither it nor anything that shares its output is left."""
        return self._popen.poll() is not None and not any(thread.is_alive() for thread in self._readers)

    def _read(self, stream: IO[bytes], name: Literal["out", "err"]) -> None:
        with stream:
            for line in stream:
                self._heard.put((name, line.decode("utf-8", errors="replace").rstrip("\r\n")))
        # Reaps it, so that no zombie stays where nobody asks any more.
        self._popen.wait()

    def _write(self, stream: IO[bytes]) -> None:
        with suppress(OSError), stream:
            while (line := self._unsent.get()) is not None:
                stream.write(line.encode())
                stream.flush()


def is_alive(pid: int) -> bool:
    """Whether there is a process of that number."""
    if sys.platform == "win32":
        import ctypes

        synchronize, timeout = 0x00100000, 0x102
        handle = ctypes.windll.kernel32.OpenProcess(synchronize, False, pid)
        if not handle:
            return False
        waited = ctypes.windll.kernel32.WaitForSingleObject(handle, 0)
        ctypes.windll.kernel32.CloseHandle(handle)
        return waited == timeout
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def describe_end(returncode: int) -> str:
    """An exit code in words: "exit code 3", "SIGSEGV"."""
    with suppress(ValueError):
        if returncode < 0:
            return signal.Signals(-returncode).name
    return f"exit code {returncode}"


def was_out_of_memory(returncode: int) -> bool:
    """Whether a process that nobody here has killed probably had to give way because memory ran out."""
    # 137 is what shells and launchers make of the signal 9.
    return returncode in (-9, 137, _STATUS_NO_MEMORY)


def _own_group() -> dict[str, Any]:
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}
