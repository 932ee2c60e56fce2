"""What a batch has to do, and what of it is done already."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from hrseg.batch.cases import Case
from hrseg.batch.outcome import Outcome, Task, failed
from hrseg.batch.record import look, made_by
from hrseg.batch.summary import SUMMARY
from hrseg.errors import InputError, OutputError
from hrseg.image import check_folder
from hrseg.methods import Method
from hrseg.segment_job import Job, check_distinct


def plan(
    cases: Sequence[Case], wanted: Job, method: Method, model_sha256: str, *, overwrite: bool = False
) -> tuple[list[Task], list[Outcome]]:
    """The tasks of a batch, and the outcomes of the cases that need no work or cannot be done.

    Args:
        cases: the images.
        wanted: what is to be written of each: all its outputs are folders, which are made; its image does not matter.
        method: the model, for its name and labels.
        model_sha256: of its file.
        overwrite: also do what is complete, and replace files that no batch has made.

    Raises:
        InputError: an output of a case is an input, or is written twice; something is wanted that belongs to one image,
            or that the method does not know.
        OutputError: a folder cannot be made or written.
    """
    if wanted.boxes:
        raise InputError(
            f'A boxes file belongs to one image; use "{wanted.boxes[0]}" with its image alone, and segment the others '
            "without it."
        )
    if wanted.guidance_center:
        raise InputError(
            "A guidance center belongs to one image; give it with its image alone, and segment the others without it."
        )
    wanted.check_method(method)
    wanted = _with_absolute_paths(wanted)
    wanted.make_folders()
    for folder in wanted.outputs:
        check_folder(folder / "x")
    jobs = [wanted.in_folders(case.image, case.name) for case in cases]
    labels = method.model.header.labels
    check_distinct(jobs, labels)
    summary = wanted.output / SUMMARY
    if any(summary in job.outputs for job in jobs):
        raise InputError(f'"{summary}" will be the summary of the batch; choose another folder for the reports.')
    run = uuid.uuid4().hex
    tasks, outcomes = [], []
    for case, job in zip(cases, jobs, strict=True):
        task = Task(case, job, made_by(job, method.model.header.name, model_sha256), run)
        state, numbers = look(job, job.files(labels), task.made_by)
        if state == "complete" and not overwrite:
            outcomes.append(Outcome(case, job.output, "skipped", numbers))
        elif state == "foreign" and not overwrite:
            text = (
                f'"{job.output}" or files beside it are there already and were not made by a batch, or were changed '
                "since; move them away, or use --overwrite."
            )
            outcomes.append(failed(task, text, OutputError.exit_code))
        else:
            tasks.append(task)
    return tasks, outcomes


def _with_absolute_paths(job: Job) -> Job:
    values = {field.name: getattr(job, field.name) for field in fields(job)}
    paths: dict[str, Any] = {name: value.absolute() for name, value in values.items() if isinstance(value, Path)}
    return replace(job, **paths)
