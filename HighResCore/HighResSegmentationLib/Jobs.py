"""One job at a time in the worker process: started, polled from a timer, cancelled, ended by the closing of a scene."""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

import slicer
from hrseg.errors import Cancelled, HrsegError, InputError

if TYPE_CHECKING:
    from hrseg.worker.client import WorkerClient

#: Told (stage, done, total, seconds since the start).
OnProgress = Callable[[str, int, int, float], None]
#: Told why a job has no result: a HrsegError, or whatever a result could not be used for.
OnFailed = Callable[[Exception], None]
_KEPT_LINES = 2000


@dataclass(frozen=True)
class Job:
    """A request and who is told about it.

    Attributes:
        build: makes the request, given the client, which takes the image. It reads nodes, so it runs at the start.
        onDone: told the result, with ``Jobs.array`` at hand for the arrays that it names.
        onFailed: told the error.
        onProgress: told each step.
        background: a question, such as that for a forecast. It keeps no job of the user's from being accepted.
    """

    build: Callable[[WorkerClient], Any]
    onDone: Callable[[dict[str, Any]], None]
    onFailed: OnFailed = lambda error: None
    onProgress: OnProgress = lambda stage, done, total, seconds: None
    background: bool = False


class Jobs:
    """The worker as the modules use it. Nothing is started before the first job.

    Args:
        makeClient: makes the client of the worker process.
    """

    def __init__(self, makeClient: Callable[[], WorkerClient]) -> None:
        self._makeClient = makeClient
        self._client: WorkerClient | None = None
        self._current: Job | None = None
        self._waiting: list[Job] = []
        self._observed: tuple[Any, int] | None = None
        self._stage = ""
        self._stale = False
        self.log: list[str] = []

    @property
    def busy(self) -> bool:
        """Whether a job that the user started runs or waits."""
        return any(not job.background for job in self._all())

    @property
    def active(self) -> bool:
        """Whether :meth:`poll` has something to do: a job or a question runs or waits."""
        return bool(self._all())

    def start(self, job: Job) -> None:
        """Runs a job; a job of the user's goes before questions that wait.

        Raises:
            Busy: a job of the user's runs already.
        """
        if self.busy and not job.background:
            from hrseg.worker.client import Busy

            raise Busy(_("Another segmentation is still running; wait until it has finished, or cancel it."))
        self._waiting.append(job)
        self._waiting.sort(key=lambda waiting: waiting.background)
        self._observeScene()
        self._startNext()

    def poll(self) -> None:
        """Passes on what the worker has reported. Never waits; to be called about every 100 ms."""
        if self._client is None or self._current is None:
            self._startNext()
            return
        from hrseg.worker import messages

        for event in self._client.poll():
            if isinstance(event, messages.Log):
                self.write(event.text)
            elif isinstance(event, messages.Progress) and self._current is not None:
                self._progress(event.stage, event.done, event.total, event.seconds)
            elif isinstance(event, messages.Done):
                self._finish(event.result, None)
            elif isinstance(event, messages.Failed):
                text = f"{event.message} {event.advice}".strip()
                self._finish(None, Cancelled(text) if event.kind == "cancelled" else HrsegError(text))
        self._startNext()

    def cancel(self) -> None:
        """Asks the running job of the user's to stop; it ends within a second, as Cancelled."""
        waiting = [job for job in self._waiting if not job.background]
        self._waiting = [job for job in self._waiting if job.background]
        if self._client is not None and self._current is not None and not self._current.background:
            self._client.cancel()
        for job in waiting:
            self._fail(job, Cancelled(_("Canceled before it had started.")))

    def wait(self, tick: Callable[[], None] = lambda: None) -> None:
        """Polls until nothing is left to do, for scripts and tests; ``tick`` may keep a window alive."""
        while self.active:
            self.poll()
            tick()
            time.sleep(0.01)

    def array(self, entry: dict[str, Any]) -> Any:
        """The array that an entry of the last result names."""
        assert self._client is not None
        return self._client.array(entry)

    def sceneClosed(self) -> None:
        """Drops everything, for the nodes that it belongs to are gone."""
        self.drop(_("The scene was closed, so the run was canceled."))

    def drop(self, reason: str) -> None:
        """Stops all there is to do. Whoever waits is told now, as Cancelled, and never again."""
        dropped = self._all()
        self._waiting = []
        if self._current is not None and self._client is not None:
            # The worker, which stays warm, has yet to acknowledge; nobody is told then.
            self._current = Job(self._current.build, onDone=lambda result: None, background=True)
            self._client.cancel()
        for job in dropped:
            self._fail(job, Cancelled(reason))
        self._unobserveScene()

    def renew(self) -> None:
        """Has the next job start a fresh worker, as when another Python is to run it. What runs goes on."""
        self._stale = True

    def close(self) -> None:
        """Ends the worker process, if there is one; the next job starts a fresh one.

        Whoever waits is told now, as Cancelled, and never again.
        """
        client, self._client = self._client, None
        dropped, self._current, self._waiting = self._all(), None, []
        if client is not None:
            client.close()
        for job in dropped:
            self._fail(job, Cancelled(_("The run was canceled, as its worker process had to end; start it again.")))
        if not self.active:
            self._unobserveScene()

    def write(self, text: str) -> None:
        """Adds a line to the log."""
        self.log.append(f"{time.strftime('%H:%M:%S')} {text}")
        del self.log[:-_KEPT_LINES]

    def writeError(self, error: Exception) -> None:
        """Adds an error to the log, with its trace where it is none for users; then to Slicer's error log, too."""
        if isinstance(error, HrsegError):
            self.write(str(error))
            return
        trace = "".join(traceback.format_exception(error)).rstrip()
        self.write(trace)
        logging.error(trace)

    def saveLog(self, path: str | os.PathLike[str]) -> None:
        """Writes the log to a text file. Raises OutputError when that is not possible."""
        from hrseg.image import replacing

        with replacing(Path(path)) as temporary:
            temporary.write_text("\n".join(self.log) + "\n", encoding="utf-8")

    def _all(self) -> list[Job]:
        return [*([self._current] if self._current else []), *self._waiting]

    def _startNext(self) -> None:
        """Starts the next job that waits; one whose request cannot be made has failed."""
        while self._current is None and self._waiting:
            job = self._waiting.pop(0)
            try:
                client = self._readyClient()
                request = job.build(client)
                self._current, self._stage = job, ""
                client.submit(request)
            except Exception as error:
                self._current = None
                self._fail(job, error)
        if not self.active:
            self._unobserveScene()

    def _readyClient(self) -> WorkerClient:
        if self._client is not None and self._stale:
            self._client.close()
            self._client = None
        self._stale = False
        if self._client is None:
            self._client = self._makeClient()
        return self._client

    def _progress(self, stage: str, done: int, total: int, seconds: float) -> None:
        assert self._current is not None
        if stage != self._stage and not self._current.background:
            self.write(f"{stage} ...")
        self._stage = stage
        self._current.onProgress(stage, done, total, seconds)

    def _finish(self, result: dict[str, Any] | None, error: Exception | None) -> None:
        """The job is over before anyone is told, who may start the next one."""
        job, self._current = self._current, None
        if job is None:
            return
        if error is None:
            try:
                job.onDone(result or {})
            except Exception as unusable:
                error = unusable
        if error is not None:
            self._fail(job, error)

    def _fail(self, job: Job, error: Exception) -> None:
        self.writeError(error)
        job.onFailed(error)

    def _observeScene(self) -> None:
        if self._observed is None:
            scene = slicer.mrmlScene
            self._observed = scene, scene.AddObserver(scene.StartCloseEvent, lambda *_: self.sceneClosed())

    def _unobserveScene(self) -> None:
        if self._observed is not None:
            scene, tag = self._observed
            scene.RemoveObserver(tag)
            self._observed = None


@cache
def sharedJobs() -> Jobs:
    """The jobs of this Slicer: all modules share one worker."""
    return Jobs(_makeClient)


def _makeClient() -> WorkerClient:
    from HighResSegmentationLib.Environment import workerEnvironment
    from HighResSegmentationLib.PythonCheck import refusal
    from hrseg.worker.client import WorkerClient

    environment = workerEnvironment()
    check = refusal(environment.python)
    if check is not None:
        raise InputError(check.text)
    return WorkerClient(environment.python, environment=environment.variables, folder=slicer.app.temporaryPath)
