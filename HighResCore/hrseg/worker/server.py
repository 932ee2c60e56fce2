"""The worker's side: one thread reads requests, another one tells that the worker lives, the main one does the jobs.

Nothing heavy is imported before these threads run.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import IO, NoReturn

from hrseg.worker.folder import remove_folder
from hrseg.worker.messages import (
    Alive,
    Answer,
    Cancel,
    Done,
    Failed,
    Log,
    Progress,
    ProtocolError,
    Ready,
    Request,
    Shutdown,
    from_json,
    to_json,
)

#: Seconds between two signs of life.
_PULSE = 1.0
#: Seconds between two reports within a stage.
_STEP = 0.05


class Server:
    """Serves the requests of a stream until it ends.

    Args:
        folder: the private folder, removed when the stream ends: then the client has died.
        requests: from the client.
        answers: to the client.
    """

    def __init__(self, folder: Path, requests: IO[bytes], answers: IO[bytes]) -> None:
        self._folder, self._requests, self._answers = folder, requests, answers
        self._lock = Lock()
        self._queue: SimpleQueue[tuple[Request, Event]] = SimpleQueue()
        self._cancel: dict[int, Event] = {}

    def serve(self) -> NoReturn:
        """Does one job after the other, and ends the process where that is not possible."""
        for work in (self._read, self._tell_alive):
            Thread(target=work, daemon=True).start()
        try:
            # Seconds of imports; whatever goes wrong in them is a matter of the environment.
            from hrseg.worker.jobs import Jobs, failure, leave_a_core, versions
        except Exception as error:
            self._send(Log(traceback.format_exc()))
            message = f'The Python "{sys.executable}" cannot segment: {error}.'
            self._send(Failed(0, "internal", message, "Install what is missing, or choose another Python."))
            os._exit(1)
        leave_a_core()
        jobs = Jobs(self._folder)
        self._send(Ready(versions()))
        while True:
            request, cancel = self._queue.get()
            try:
                answer: Done | Failed = Done(request.id, jobs.do(request, self._progress(request.id), cancel))
            except Exception as error:
                answer = failure(request.id, error)
                if answer.kind == "internal":
                    self._send(Log(traceback.format_exc()))
            # Two jobs may have been given the same number.
            self._cancel.pop(request.id, None)
            self._send(answer)

    def _progress(self, number: int) -> Callable[[str, int, int], None]:
        began = time.monotonic()
        last = 0.0

        def tell(stage: str, done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if done in (0, total) or now - last >= _STEP:
                last = now
                self._send(Progress(number, stage, done, total, round(now - began, 3)))

        return tell

    def _read(self) -> None:
        """Takes requests in, until the client has gone or says that it is enough."""
        for line in self._requests:
            try:
                request = from_json(line.decode("utf-8", errors="replace"), Request)
            except ProtocolError as error:
                self._send(Failed(0, "internal", str(error)))
                continue
            if isinstance(request, Shutdown):
                break
            if isinstance(request, Cancel):
                if request.id in self._cancel:
                    self._cancel[request.id].set()
            else:
                self._cancel[request.id] = Event()
                self._queue.put((request, self._cancel[request.id]))
        remove_folder(self._folder)
        # The main thread may be in the middle of a long computation, which nothing else would end.
        os._exit(0)

    def _tell_alive(self) -> None:
        while True:
            self._send(Alive())
            time.sleep(_PULSE)

    def _send(self, answer: Answer) -> None:
        line = to_json(answer).encode() + b"\n"
        # Where the client has gone, the end of its requests ends the worker.
        with self._lock, suppress(OSError):
            self._answers.write(line)
            self._answers.flush()


def main(folder: Path) -> NoReturn:
    """Serves standard input and output. What libraries print goes to standard error instead, and they read nothing."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    Server(folder, requests, answers).serve()
