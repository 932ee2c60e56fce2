"""A running worker as its client sees it: requests go in, answers come out, and silence is measured."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hrseg.errors import HrsegError
from hrseg.worker.messages import Alive, Answer, Log, ProtocolError, Ready, Request, Shutdown, from_json, to_json
from hrseg.worker.processes import Process

#: The most that one look counts as silence, in seconds: the computer, or the caller, may have slept in between.
_TICK = 1.0
#: Seconds that a worker has to end when asked to.
_FAREWELL = 1.0


class WorkerError(HrsegError):
    """The worker crashed, or cannot work."""


class Connection:
    """A worker process, from its start to its end.

    Args:
        command: how it is started.
        paths: put in front of its module search path.
        environment: its environment variables.

    Attributes:
        versions: of Python, torch ...; empty until the worker is ready.
        silence: seconds since it last said anything.

    Raises:
        WorkerError: it cannot be started.
    """

    def __init__(self, command: Sequence[str], paths: Sequence[Path], environment: Mapping[str, str]) -> None:
        inherited = environment.get("PYTHONPATH")
        path = os.pathsep.join([*map(str, paths), *([inherited] if inherited else [])])
        # A file torch.py in the folder where the caller happens to be is not what the worker should import.
        ours = {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
        # Where the user interface, or anything else, needs a core, threads that spin until the others are done hold
        # each other up: small steps take ten times as long.
        environment = {"OMP_WAIT_POLICY": "PASSIVE", **environment, **ours}
        try:
            self._process = Process(command, environment)
        except OSError as error:
            raise WorkerError(
                f'The Python "{command[0]}" cannot be started: {error.strerror or error}; choose another one.'
            ) from error
        self.versions: dict[str, str] = {}
        self.silence = 0.0
        self._looked_at = time.monotonic()

    @property
    def pid(self) -> int:
        """Number of its process."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.returncode

    @property
    def ended(self) -> bool:
        """Whether it has ended, and :meth:`answers` has all that it said."""
        return self._process.ended

    def send(self, request: Request) -> None:
        """Hands it a request; it is up to the worker when it reads it."""
        self._process.send(to_json(request))

    def answers(self) -> list[Answer]:
        """What it has said since the last call; what is no answer, and its standard error, as log lines."""
        # Inside Slicer the threads that read get their turn only while Python code of the main one gives way.
        time.sleep(0)
        lines = list(self._process.lines())
        now = time.monotonic()
        self.silence = 0.0 if lines else self.silence + min(now - self._looked_at, _TICK)
        self._looked_at = now
        answers: list[Answer] = []
        for source, line in lines:
            answer = _read(line) if source == "out" else Log(line)
            if isinstance(answer, Ready):
                self.versions = answer.versions
            elif not isinstance(answer, Alive):
                answers.append(answer)
        return answers

    def wake(self) -> None:
        """Silence counts from now: there was nothing to say before."""
        self.silence, self._looked_at = 0.0, time.monotonic()

    def close(self) -> None:
        """Ends it in a friendly way, or, where that takes too long, with all that it started."""
        self.send(Shutdown())
        self._process.wait(_FAREWELL)
        self.kill()

    def kill(self) -> None:
        """Ends it, and all that it started, at once."""
        self._process.kill()


def _read(line: str) -> Answer:
    try:
        return from_json(line, Answer)
    except ProtocolError:
        # A library that writes to the file descriptor itself.
        return Log(line)
