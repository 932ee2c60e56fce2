"""A batch in several processes on this computer.

Each process does one task after another. One that the system kills loses its own task alone; that is why this is no
``ProcessPoolExecutor``, which gives up all of them.
"""

from __future__ import annotations

import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait

from hrseg.batch.outcome import Outcome, Task, Work, failed
from hrseg.errors import HrsegError, OutOfMemory
from hrseg.worker.processes import describe_end, was_out_of_memory

#: So long a process may take to tidy up after Ctrl-C, in seconds.
_GRACE = 5.0


def segment_here(
    tasks: Sequence[Task], work: Work, jobs: int, alone: Work, tell: Callable[[str], None]
) -> Generator[Outcome, None, None]:
    """The outcomes as they come. Close this generator to stop the processes.

    Tasks whose process ended, and those whose memory did not suffice beside others, are tried once more at the end, one
    by one.

    Args:
        tasks: to be done.
        work: that ``jobs`` processes do side by side.
        jobs: number of processes.
        alone: what a process does when it is the only one.
        tell: is told why something is tried once more.
    """
    again = []
    for task, answer in _in_lanes(tasks, work, jobs):
        if isinstance(answer, int):
            tell(f"{task.case.name}: its process ended ({describe_end(answer)}); it is tried once more at the end.")
            again.append(task)
        elif jobs > 1 and answer.out_of_memory:
            tell(f"{task.case.name}: too little memory beside the others; it is tried once more alone at the end.")
            again.append(task)
        else:
            yield answer
    for task, answer in _in_lanes(again, alone, 1):
        yield _ended(task, answer) if isinstance(answer, int) else answer


def _ended(task: Task, code: int) -> Outcome:
    """The outcome of a task whose process ended with that exit code every time."""
    if was_out_of_memory(code):
        text = (
            f"The process was ended by the system ({describe_end(code)}) again, most likely because memory ran out; "
            "close other programs, or choose a smaller image or model."
        )
        return failed(task, text, OutOfMemory.exit_code)
    text = f"The process ended unexpectedly ({describe_end(code)}) again; segment this image by itself to see more."
    return failed(task, text, HrsegError.exit_code)


class _Lane:
    """A process that does one task after another."""

    def __init__(self, work: Work) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, work), daemon=True)
        with _interrupts_held():
            self._process.start()
        # The end that the process holds is then the only one, so that its death is noticed.
        theirs.close()

    def give(self, task: Task) -> None:
        """Has it do a task."""
        self.task = task
        # Where it has died by now, its answer tells.
        with suppress(OSError):
            self.connection.send(task)

    def answer(self) -> Outcome | int:
        """The outcome of its task, or the exit code of the process if that has ended instead."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            return self._process.exitcode or 0

    def stop(self) -> None:
        """Asks it to end."""
        self._process.terminate()

    def end(self) -> None:
        """Ends it if it has not ended in time."""
        self._process.join(_GRACE)
        self._process.kill()
        self.connection.close()


def _in_lanes(tasks: Sequence[Task], work: Work, count: int) -> Iterator[tuple[Task, Outcome | int]]:
    """Each task with its outcome, or with the exit code of its process if that has ended instead."""
    waiting = deque(tasks)
    lanes: list[_Lane] = []
    try:
        while waiting or lanes:
            while waiting and len(lanes) < count:
                lanes.append(_Lane(work))
                lanes[-1].give(waiting.popleft())
            ready = wait([lane.connection for lane in lanes])
            for lane in [lane for lane in lanes if lane.connection in ready]:
                task, answer = lane.task, lane.answer()
                if waiting and not isinstance(answer, int):
                    lane.give(waiting.popleft())
                else:
                    lane.stop()
                    lane.end()
                    lanes.remove(lane)
                yield task, answer
    finally:
        for lane in lanes:
            lane.stop()
        for lane in lanes:
            lane.end()


def _serve(connection: Connection, work: Work) -> None:
    """What a process does: tasks in, outcomes out, until the other side is gone."""
    # Ctrl-C reaches all processes of a terminal. The first one sees to it that the others end, by SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with suppress(EOFError, OSError):
        while True:
            connection.send(work(connection.recv()))


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C takes effect only afterwards: a process started inside is deaf to it from its first moment on."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
