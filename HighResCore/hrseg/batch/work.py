"""One case of a batch, in whatever process it is done."""

from __future__ import annotations

import threading
import time
import traceback
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import SimpleITK as sitk
import torch

from hrseg.batch.outcome import Numbers, Outcome, Task, failed, in_words
from hrseg.batch.record import look, recorded
from hrseg.errors import HrsegError, ModelError, OutOfMemory
from hrseg.image import make_folder
from hrseg.methods import Method, method_of
from hrseg.model_file import file_sha256, load_model
from hrseg.runtime import Run, choose_device, is_out_of_memory
from hrseg.segment_file import segment_file

#: Threads of one process take turns: they would share its memory, whose use could not be told apart.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Setting:
    """What the process that does a task must know besides.

    Attributes:
        model: file; every process loads it once.
        sha256: of that file, so that no other model is taken for it on another machine.
        device: as :func:`hrseg.runtime.choose_device` takes it.
        memory_budget: bytes beyond the image; None: what is available.
        memory_limit: bytes that the process may hold in all; None: no such limit.
        threads: of the process; None: as it is set up.
    """

    model: Path
    sha256: str
    device: str = "auto"
    memory_budget: int | None = None
    threads: int | None = None
    memory_limit: int | None = None


def do(task: Task, setting: Setting) -> Outcome:
    """Segments a case and writes its results. Errors become part of the outcome."""
    with _ONE_AT_A_TIME:
        try:
            return Outcome(task.case, task.job.output, "done", _segment(task, setting))
        except HrsegError as error:
            return failed(task, str(error), error.exit_code)
        except Exception as error:
            if is_out_of_memory(error):
                text = "Memory ran out; close other programs, or choose a smaller image or model."
                return failed(task, text, OutOfMemory.exit_code)
            text = f"An error that should not happen ({in_words(error)}); report it, please."
            return failed(task, text, HrsegError.exit_code, traceback.format_exc())


def _segment(task: Task, setting: Setting) -> Numbers:
    if setting.threads:
        torch.set_num_threads(setting.threads)
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(setting.threads)
    method = _method(setting.model, setting.sha256)
    began = time.perf_counter()
    files = task.job.files(method.model.header.labels)
    for file in files:
        make_folder(file.parent)
    done = look(task.job, files, task.made_by)[1]
    if done and done.run == task.run:
        # A process that had done it ended before it could tell.
        return done
    with recorded(task.job, files, task.made_by) as numbers:
        run = Run(choose_device(setting.device), setting.memory_budget, memory_limit=setting.memory_limit)
        content = segment_file(task.job, method, run)
        seconds = round(time.perf_counter() - began, 3)
        numbers.append(Numbers(seconds, content["peak_memory_mib"], tuple(content["notices"]), task.run))
    return numbers[0]


@lru_cache(maxsize=1)
def _method(model: Path, sha256: str) -> Method:
    """The model in memory, for all cases that this process does."""
    found = load_model(model)
    if file_sha256(model) != sha256:
        raise ModelError(
            f'The model file "{model}" is not the same here as where the batch was started; copy it again.'
        )
    return method_of(found)
