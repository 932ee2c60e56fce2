"""A case to be done, and what became of it: what processes tell each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hrseg.batch.cases import Case
from hrseg.errors import OutOfMemory
from hrseg.segment_job import Job


@dataclass(frozen=True)
class Task:
    """A case to be done.

    Attributes:
        case: the image.
        job: what is read and written.
        made_by: what the result depends on (:func:`hrseg.batch.record.made_by`).
        run: which call of the command it belongs to.
    """

    case: Case
    job: Job
    made_by: dict[str, Any]
    run: str


@dataclass(frozen=True)
class Numbers:
    """What is kept about a case.

    Attributes:
        seconds: in all.
        peak_memory_mib: beyond the image, in MiB.
        notices: what the user should know.
        run: which call of the command it was.
    """

    seconds: float
    peak_memory_mib: float
    notices: tuple[str, ...] = ()
    run: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        case: which one.
        output: its label map.
        result: ``skipped`` where it was complete already; ``not done`` where the batch was interrupted before.
        numbers: of a result, also one from before.
        error: sentence for the user; empty unless it failed.
        exit_code: that the command has with this image alone.
        trace: of an error that should not happen.
    """

    case: Case
    output: Path
    result: Literal["done", "skipped", "failed", "not done"]
    numbers: Numbers | None = None
    error: str = ""
    exit_code: int = 0
    trace: str = ""

    @property
    def out_of_memory(self) -> bool:
        """Whether it may go well where more memory is."""
        return self.exit_code == OutOfMemory.exit_code


#: Does a task, in any process: it can be pickled. Such as :func:`hrseg.batch.work.do` with a setting.
Work = Callable[[Task], Outcome]


def in_words(error: BaseException) -> str:
    """An error of a kind that is not ours, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def failed(task: Task, error: str, exit_code: int, trace: str = "") -> Outcome:
    """The outcome of a case that gave no result."""
    return Outcome(task.case, task.job.output, "failed", None, error, exit_code, trace)
