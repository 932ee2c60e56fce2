"""``hrseg segment`` with several images: what is shown while it runs and at the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

import hrseg
from hrseg.cli.console import console, output

if TYPE_CHECKING:
    from hrseg.batch.outcome import Outcome, Task
    from hrseg.batch.work import Setting
    from hrseg.methods import Method
    from hrseg.segment_job import Job


@dataclass(frozen=True)
class Choices:
    """How a batch is to run.

    Attributes:
        model: file.
        device: as :func:`hrseg.runtime.choose_device` takes it.
        memory_budget: bytes for all processes together, or for each worker of a cluster.
        jobs: processes; 0: as many as fit.
        dask: address of a scheduler; None: this computer.
        split: the part of data lists to take; None: all.
        overwrite: also segment what is complete, and replace files that no batch has made.
    """

    model: Path
    device: str
    memory_budget: int | None
    jobs: int
    dask: str | None
    split: str | None
    overwrite: bool


def segment_batch(images: Sequence[Path], wanted: Job, choices: Choices) -> int:
    """Segments images, with a line for each and a summary; returns the exit code of the command.

    Args:
        images: as :func:`hrseg.batch.cases.find_cases` takes them.
        wanted: what is to be written; all its outputs are folders.
        choices: how.
    """
    with console.status("Looking at the model and the images"):
        from hrseg.batch.cases import find_cases
        from hrseg.batch.outcome import Outcome
        from hrseg.batch.plan import plan
        from hrseg.batch.summary import SOME_FAILED, SUMMARY, counts, time_left, write_summary
        from hrseg.batch.work import Setting
        from hrseg.methods import method_of
        from hrseg.model_file import file_sha256, load_model

        cases = find_cases(images, wanted.outputs, choices.split)
        method = method_of(load_model(choices.model))
        setting = Setting(choices.model.absolute(), file_sha256(choices.model), choices.device, choices.memory_budget)
        tasks, known = plan(cases, wanted, method, setting.sha256, overwrite=choices.overwrite)
        stream, where = _start(tasks, setting, method, wanted, choices)
    about = {
        "hrseg": hrseg.__version__,
        "model": {"name": method.model.header.name, "file": str(setting.model), "sha256": setting.sha256},
        "device": choices.device,
        **where,
    }
    # The processes have models of their own.
    del method
    found = {task.case: Outcome(task.case, task.job.output, "not done") for task in tasks}
    found.update({outcome.case: outcome for outcome in known})
    summary = wanted.output / SUMMARY
    _show_known(known, len(cases))
    began = time.monotonic()
    try:
        with closing(stream) as outcomes:
            for done, outcome in enumerate(outcomes, start=1):
                # Kept first: Ctrl-C may come at any moment.
                found[outcome.case] = outcome
                left = len(tasks) - done
                rest = f" ({time_left(time.monotonic() - began, done, left)})" if left else ""
                console.print(f"[{len(cases) - left}/{len(cases)}] {outcome.case.name}: {_words(outcome)}{rest}")
    finally:
        rows = [found[case] for case in cases]
        write_summary(summary, rows, {**about, "seconds": round(time.monotonic() - began, 1)})
        count = counts(rows)
        if count["not done"]:
            console.print(f"{count['not done']} of {len(rows)} are not done; the same command goes on with them.")
    _show(rows)
    words = ", ".join(f"{number} {result}" for result, number in count.items() if number)
    output.print(f"{words}; summary: {summary}")
    return SOME_FAILED if count["failed"] else 0


def _start(
    tasks: list[Task], setting: Setting, method: Method, wanted: Job, choices: Choices
) -> tuple[Generator[Outcome, None, None], dict[str, object]]:
    """The outcomes to come, and where they come from."""
    from hrseg.batch.work import do

    if choices.dask is not None:
        from hrseg.batch.cluster import do_there, segment_there

        stream = segment_there(tasks, partial(do_there, setting=setting), choices.dask, _tell)
        # Its loggers would add tracebacks to what is told as outcomes here.
        for name in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        return stream, {"dask": choices.dask}
    from hrseg.batch.fit import fit
    from hrseg.batch.local import segment_here
    from hrseg.runtime import choose_device
    from hrseg.segment_file import options_of

    paths = [task.case.image for task in tasks]
    fitted = fit(choices.jobs, paths, method, options_of(wanted), choose_device(setting.device), setting.memory_budget)
    if fitted.notice:
        _tell(fitted.notice)
    share = replace(setting, memory_budget=fitted.memory_budget, threads=fitted.threads)
    work, alone = partial(do, setting=share), partial(do, setting=setting)
    return segment_here(tasks, work, fitted.jobs, alone, _tell), {"jobs": fitted.jobs}


def _show_known(known: Sequence[Outcome], total: int) -> None:
    """What is known before any work is done."""
    failed = [outcome for outcome in known if outcome.result == "failed"]
    if len(known) > len(failed):
        console.print(f"{len(known) - len(failed)} of {total} are complete already; they are skipped.")
    for outcome in failed:
        console.print(f"{outcome.case.name}: {_words(outcome)}")


def _words(outcome: Outcome) -> str:
    if outcome.numbers is None:
        return f"{outcome.result}: {outcome.error}"
    return f"{outcome.result}, {outcome.numbers.seconds:.1f} s, {outcome.numbers.peak_memory_mib:.0f} MiB"


def _show(rows: Sequence[Outcome]) -> None:
    table = Table("image", "result", "seconds", "peak MiB", "exit code", "error or notes", title_justify="left")
    for column in table.columns[2:5]:
        column.justify = "right"
    for row in rows:
        numbers = [f"{row.numbers.seconds:.1f}", f"{row.numbers.peak_memory_mib:.0f}"] if row.numbers else ["–", "–"]
        notes = " ".join(row.numbers.notices) if row.numbers else row.error
        table.add_row(row.case.name, row.result, *numbers, str(row.exit_code), notes)
    output.print(table)


def _tell(text: str) -> None:
    console.print(f"Note: {text}", style="yellow")
