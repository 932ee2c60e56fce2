"""The client's side: starts the worker when there is work, hands it jobs, and never blocks.

Standard library and numpy only; Slicer calls :meth:`WorkerClient.poll` from a timer.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrseg.errors import Cancelled, HrsegError, InputError, ModelError, OutOfMemory, OutputError
from hrseg.worker.arrays import SUFFIX, read_array, write_array
from hrseg.worker.connection import Connection, WorkerError
from hrseg.worker.folder import clear_folder, is_private, make_folder, remove_folder
from hrseg.worker.messages import Answer, Cancel, Done, Failed, ImageFile, Kind, Log, Progress, ProtocolError, Request
from hrseg.worker.processes import describe_end, was_out_of_memory

Event = Progress | Log | Done | Failed
#: Seconds that a worker has to acknowledge a cancel.
_GRACE = 0.8
#: Seconds that the imports of a worker may take in which it shows no sign of life.
_START = 120.0
_CORE = Path(__file__).parents[2]
_ERRORS: dict[Kind, type[HrsegError]] = {
    "cancelled": Cancelled,
    "no_memory": OutOfMemory,
    "bad_model": ModelError,
    "bad_input": InputError,
    "output": OutputError,
}


class Busy(HrsegError):
    """A job is running."""


class WorkerClient:
    """A worker process that is started with the first job, and again after it died.

    Args:
        python: an interpreter of Python 3.11 or later that has torch; by default the one that runs this.
        paths: put in front of its module search path; by default the folder that holds ``hrseg``.
        environment: all of its environment variables; by default those of this process.
        silence: a worker that says nothing for so many seconds during a job is ended.
    """

    def __init__(
        self,
        python: str | os.PathLike[str] | None = None,
        paths: Sequence[str | os.PathLike[str]] = (_CORE,),
        environment: Mapping[str, str] | None = None,
        *,
        silence: float = 30.0,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        self._python = os.fspath(python or sys.executable)
        self._paths, self._environment, self._silence = [*map(Path, paths)], environment, silence
        self._parent = folder
        self._folder: Path | None = None
        self._image: ImageFile | None = None
        self._written = self._submitted = 0
        self._worker: Connection | None = None
        self._job: int | None = None
        self._cancelled_at: float | None = None

    @property
    def busy(self) -> bool:
        """Whether a job runs: its end has not been polled yet."""
        return self._job is not None

    @property
    def warm(self) -> bool:
        """Whether a worker has started, and waits or works."""
        return bool(self.versions)

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the worker's Python, torch ...; empty unless it is warm."""
        return self._worker.versions if self._worker else {}

    @property
    def pid(self) -> int | None:
        """Number of the worker's process."""
        return self._worker.pid if self._worker else None

    def has_image(self, key: str) -> bool:
        """Whether the image of that ``key`` is there, so that :meth:`image_file` has nothing to write."""
        return self._image is not None and self._image.key == key and Path(self._image.path).exists()

    def image_file(self, key: str, array: NDArray, affine: ArrayLike, name: str = "") -> ImageFile:
        """The image as a file that the worker can read; written only if ``key`` is not that of the last one.

        Args:
            key: changes whenever the array does.
            array: (C, K, J, I), any view.
            affine: 4x4, (i, j, k, 1) to RAS mm.
            name: for messages.

        Raises:
            Busy: a job runs on another image.
            OutputError: the temporary folder is full or read-only.
        """
        rows = tuple(tuple(map(float, row)) for row in np.asarray(affine))
        folder = self._open_folder()
        if self._image and self.has_image(key):
            self._image = replace(self._image, affine=rows, name=name)
            return self._image
        self._check_free()
        if self._image:
            # There may not be room for both. Where the worker has it open and Windows refuses, it goes later.
            with suppress(OSError):
                os.remove(self._image.path)
            self._image = None
        self._written += 1
        path = folder / f"image{self._written}{SUFFIX}"
        write_array(path, array)
        self._image = ImageFile(key, str(path), rows, name)
        return self._image

    def submit(self, request: Request) -> int:
        """Starts a job; returns the ``id`` that the request gets. The arrays of the job before it go.

        Raises:
            Busy: a job runs.
            WorkerError: the worker cannot be started.
            OutputError: the temporary folder cannot be made.
        """
        self._check_free()
        folder = self._open_folder()
        self._tidy()
        if self._worker and self._worker.returncode is not None:
            self._drop_worker()
        if self._worker is None:
            environment = os.environ if self._environment is None else self._environment
            self._worker = Connection(self._command(folder), self._paths, environment)
        self._submitted += 1
        self._job = self._submitted
        self._worker.wake()
        self._worker.send(replace(request, id=self._job))
        return self._job

    def cancel(self) -> None:
        """Asks the job to stop. Within a second :meth:`poll` says that it failed as "cancelled", whatever happens."""
        if self._job is not None and self._worker and self._cancelled_at is None:
            self._cancelled_at = time.monotonic()
            self._worker.send(Cancel(id=self._job))

    def poll(self) -> list[Event]:
        """What has happened since the last call. Never blocks; to be called about every 100 ms."""
        if self._worker is None:
            return []
        # Asked first: what it said before its end is then among the answers.
        ended = self._worker.ended
        heard = [self._judged(answer) for answer in self._worker.answers()]
        failed = self._overdue(ended)
        return [event for event in [*heard, failed] if event]

    def wait(self, timeout: float | None = None, on_event: Callable[[Event], None] | None = None) -> Done:
        """Waits for the end of the job; for scripts and tests.

        Raises:
            HrsegError: of the class that the worker raised.
            WorkerError: the worker crashed, or the job did not end within ``timeout`` seconds (then it goes on).
        """
        end = time.monotonic() + (timeout or 0)
        while self.busy:
            events = self.poll()
            if on_event:
                for event in events:
                    on_event(event)
            for event in events:
                if isinstance(event, Done):
                    return event
                if isinstance(event, Failed):
                    raise _ERRORS.get(event.kind, WorkerError)(f"{event.message} {event.advice}".strip())
            if timeout is not None and time.monotonic() > end:
                raise WorkerError(f"The job did not end within {timeout:g} seconds.")
            time.sleep(0.02)
        raise WorkerError("There is no job to wait for.")

    def array(self, entry: dict[str, Any]) -> NDArray:
        """A copy of an array of the last result, given its entry.

        Raises:
            ProtocolError: it is no longer there, as after the next :meth:`submit`.
        """
        if self._folder is None:
            raise ProtocolError(f'The array "{entry.get("file")}" has gone with its folder; run the job again.')
        return read_array(self._folder, entry)

    def close(self) -> None:
        """Ends the worker and removes the private folder. A later job starts anew."""
        if self._worker:
            self._worker.close()
        self._worker = self._image = None
        self._job = self._cancelled_at = None
        if self._folder:
            remove_folder(self._folder)
        self._folder = None
        atexit.unregister(self.close)

    def _command(self, folder: Path) -> list[str]:
        return [self._python, "-m", "hrseg.worker", str(folder)]

    def _check_free(self) -> None:
        if self.busy:
            raise Busy("A job is running; wait until it ends, or cancel it.")

    def _judged(self, answer: Answer) -> Event | None:
        """An answer as an event; the end of a cancelled job is that it was cancelled."""
        if isinstance(answer, Failed) and answer.id == 0 and self._job is not None:
            # About a request that the worker could not read, or its own start.
            answer = replace(answer, id=self._job)
        if isinstance(answer, (Done, Failed)):
            if answer.id != self._job:
                return None
            if isinstance(answer, Failed) and answer.kind == "internal":
                # Nobody knows what state it is in, as after an error of CUDA.
                self._drop_worker()
            return self._ended(answer)
        return answer if isinstance(answer, (Progress, Log)) else None

    def _overdue(self, ended: bool) -> Event | None:
        """The end of the job where the worker can no longer tell of it."""
        worker, job = self._worker, self._job
        if worker is None:
            return None
        if job is None:
            if ended:
                self._drop_worker()
            return None
        limit = self._silence if self.warm else max(self._silence, _START)
        if ended:
            failed = _crashed(job, worker.returncode or 0)
        elif worker.silence > limit:
            failed = _hung(job, limit)
        elif self._cancelled_at is not None and time.monotonic() - self._cancelled_at > _GRACE:
            failed = _cancelled(job)
        else:
            return None
        self._drop_worker()
        self._tidy()
        return self._ended(failed)

    def _ended(self, event: Done | Failed) -> Done | Failed:
        cancelled = self._cancelled_at is not None
        self._job = self._cancelled_at = None
        return _cancelled(event.id) if cancelled else event

    def _drop_worker(self) -> None:
        if self._worker:
            self._worker.kill()
        self._worker = None

    def _open_folder(self) -> Path:
        if self._folder and (self.busy or is_private(self._folder)):
            return self._folder
        # There was none yet, or the system has cleaned it away: days can lie between two jobs.
        self.close()
        self._folder = make_folder(self._parent)
        atexit.register(self.close)
        return self._folder

    def _tidy(self) -> None:
        """Removes what jobs have left, but not the image."""
        if self._folder:
            clear_folder(self._folder, *([Path(self._image.path).name] if self._image else []))


def _cancelled(job: int) -> Failed:
    return Failed(job, "cancelled", "Canceled; nothing was changed.")


def _hung(job: int, seconds: float) -> Failed:
    message = f"The worker did not answer for {seconds:g} seconds and was ended."
    return Failed(job, "crashed", message, "Try again; if that happens again, save the log and report it, please.")


def _crashed(job: int, returncode: int) -> Failed:
    end = describe_end(returncode)
    if was_out_of_memory(returncode):
        message = f"The worker was killed ({end}), probably because the memory of the computer ran out."
        return Failed(job, "no_memory", message, "Close other programs, or choose a smaller image or model.")
    advice = "Try again; if it happens again, try the CPU, close other programs, and look into the log."
    return Failed(job, "crashed", f"The worker crashed ({end}).", advice)
