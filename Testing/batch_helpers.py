"""Cases of batches, and work on them that goes wrong.

Processes that tests start import it, too: what takes its time to import, such as torch, is imported where it is used.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hrseg.batch.cases import Case
from hrseg.batch.outcome import Numbers, Outcome, Task, failed
from hrseg.geometry import Grid
from hrseg.image import write_image
from hrseg.segment_job import Job

if TYPE_CHECKING:
    from hrseg.batch.work import Setting


def write_scan(path: Path, seed: int = 0) -> Path:
    """An image of the kind that the tiny model is for."""
    from training_helpers import scene

    path.parent.mkdir(parents=True, exist_ok=True)
    array = scene(seed)[0]
    write_image(path, array, Grid.from_spacing(array.shape))
    return path


def task_of(folder: Path, name: str) -> Task:
    """A case that nothing is known of."""
    image, output = folder / f"{name}.nii", folder / f"{name}-out.nii.gz"
    return Task(Case(name, image), Job(image, output), {}, "run")


def act(task: Task, folder: Path) -> Outcome:
    """Does what the case's name says. The notice of its outcome is the number of the process."""
    name = task.case.name
    tries = folder / f"{name}.tries"
    with tries.open("a") as file:
        file.write("x")
    first = tries.stat().st_size == 1
    if name.startswith("dies") or (name.startswith("killed") and first):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("large") and first:
        return failed(task, "Too large.", 3)
    if name.startswith("waits"):
        try:
            (folder / "waiting").touch()
            time.sleep(60)
        finally:
            (folder / "tidied").touch()
    return Outcome(task.case, task.job.output, "done", Numbers(1.0, 2.0, (str(os.getpid()),)))


def do_or_die(task: Task, setting: Setting, name: str, marker: Path) -> Outcome:
    """As :func:`do`, but the process is killed when it has written half of that case's results for the first time."""
    from hrseg import segment_file
    from hrseg.batch.work import do

    if task.case.name == name and not marker.exists():
        write = segment_file.write_label_map

        def write_and_die(*arguments: object) -> None:
            write(*arguments)
            marker.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)

        segment_file.write_label_map = write_and_die
    return do(task, setting)


def act_in(task: Task, setting: Setting, folder: Path) -> Outcome:
    """As :func:`act`, in the place of :func:`do`; folders in a case's name do not count."""
    name = task.case.name.replace("/", "-")
    return replace(act(replace(task, case=replace(task.case, name=name)), folder), case=task.case)
