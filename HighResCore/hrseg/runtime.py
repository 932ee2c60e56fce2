"""How a job runs: device, precision, memory budget, progress, cancelling, seconds and peak memory per stage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from hrseg import memory
from hrseg.errors import Cancelled, InputError, OutOfMemory

GIB = memory.GIB
CPU = torch.device("cpu")
#: Told the stage's name, units done, and units in all.
Progress = Callable[[str, int, int], None]
Chunk = TypeVar("Chunk")
Done = TypeVar("Done")
_OUT_OF_MEMORY = ("out of memory", "allocate memory", "not enough memory", "alloc_failed")


def no_progress(stage: str, done: int, total: int) -> None:
    """For callers who do not want to be told."""


@dataclass
class Run:
    """The conditions of one job, and what is recorded while it runs.

    Attributes:
        device: where the network runs; see :func:`choose_device`.
        memory_budget: bytes that the job may use beyond the image itself; None: what is available.
        progress: called as (stage, done, total).
        cancel: set it from another thread to stop the job at its next step.
        memory_limit: bytes of main memory that the whole process may hold, the image and all else included; None: no
            such limit.
        seconds: per stage.
        peak_memory: bytes above the start of the job, at the highest point of each stage, in the memory of the device
            where the network runs: the CPU's after a fall-back to it.
        notices: what the user should know, such as a fall-back to smaller chunks.
        used: the device where the network runs or ran: the CPU after a fall-back to it.
    """

    device: torch.device = CPU
    memory_budget: int | None = None
    progress: Progress = no_progress
    cancel: threading.Event = field(default_factory=threading.Event)
    memory_limit: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory: dict[str, int] = field(init=False)
    notices: list[str] = field(default_factory=list)
    used: torch.device = field(init=False)

    def __post_init__(self) -> None:
        self._peaks: dict[torch.device, dict[str, int]] = {device: {} for device in (self.device, CPU)}
        self.runs_on(self.device)
        self.count_memory_from_here()

    def runs_on(self, device: torch.device) -> None:
        """Says where the network runs from here on, on the job's device or the CPU: that memory is reported."""
        self.used = device
        self.peak_memory = self._peaks[device]

    def count_memory_from_here(self) -> None:
        """What is in use now, such as the image itself, does not count as the job's."""
        memory.return_freed_memory()
        self._memory = {device: memory.PeakMemory(device) for device in self._peaks}

    @contextmanager
    def stage(self, name: str, total: int = 1) -> Iterator[Callable[[int], None]]:
        """A named part of the job; the function that it gives is told of each unit done. Stages do not nest.

        Raises:
            Cancelled: at the beginning, or at a step, after ``cancel`` was set; not when all is done.
            OutOfMemory: memory ran out inside.
        """
        done = 0

        def advance(units: int) -> None:
            nonlocal done
            self.check_cancelled()
            done = min(done + units, total)
            self.progress(name, done, total)

        self.check_cancelled()
        self.progress(name, 0, total)
        for counter in self._memory.values():
            counter.restart()
        began = time.perf_counter()
        try:
            yield advance
        except (MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise OutOfMemory(
                    f'Memory ran out at the stage "{name}"; close other programs, or choose a smaller image or model.'
                ) from error
            raise
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began
            for device, peaks in self._peaks.items():
                peaks[name] = max(peaks.get(name, 0), self._memory[device].bytes())
        if done < total:
            self.progress(name, total, total)

    def check_cancelled(self) -> None:
        """Raises Cancelled once ``cancel`` is set."""
        if self.cancel.is_set():
            raise Cancelled("Canceled; nothing was written.")

    def budget_on(self, device: torch.device, held: int = 0) -> int:
        """Bytes that the job may still use on a device, where it holds some already."""
        room = memory.available(device)
        if self.memory_limit is not None and device.type != "cuda":
            room = min(room, self.memory_limit - memory.resident())
        return room if self.memory_budget is None else min(room, self.memory_budget - held)

    def notice(self, text: str) -> None:
        """Records something that the user should know."""
        if text not in self.notices:
            self.notices.append(text)


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name: ``auto`` (CUDA, or the CPU where there is none), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Raises:
        InputError: an unknown name, or a device that this computer does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise InputError(f'There is no device "{name}"; choose auto, cpu, cuda, cuda:0 (or another number) or mps.')
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f'The device "{name}" is not there: {torch.cuda.device_count()} CUDA devices found; use cpu.')
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError('The device "mps" is not there; use cpu.')
    return CPU if device.type == "cpu" else device


def with_fallback(
    run: Run,
    chunks: list[Chunk],
    cost: Callable[[torch.device, Chunk], int],
    work: Callable[[torch.device, Chunk], Done],
    held: int = 0,
) -> Done:
    """What ``work(device, chunk)`` gives with the first chunk that fits into memory; the CPU comes last.

    Chunks go from large to small. Those whose forecast ``cost(device, chunk)`` (bytes) is above the budget are not
    tried; where memory runs out all the same, the next one is. Smaller chunks, and leaving the job's device, become
    notices. ``held`` bytes of main memory are taken by the job already.

    Raises:
        OutOfMemory: nothing fits, or nothing fitted.
    """
    tried = False
    for device in dict.fromkeys([run.device, CPU]):
        room = run.budget_on(device, held if device == CPU else 0)
        for chunk in chunks:
            need = cost(device, chunk)
            if need > room:
                continue
            if device != run.device:
                run.notice(f"The memory of {run.device} does not suffice; running on {device} instead.")
            elif chunk != chunks[0]:
                run.notice(f"The memory of {device} does not suffice for large chunks; using smaller ones.")
            tried = True
            run.runs_on(device)
            try:
                return work(device, chunk)
            except (OutOfMemory, MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            # Only here is the error gone, and with it the frames that held the memory.
            if device.type == "cuda":
                torch.cuda.empty_cache()
    if not tried:
        memory.check_room(need, room)
    raise OutOfMemory("Memory ran out even in the smallest chunks; close other programs, or choose a smaller image.")


def halvings(count: int) -> list[int]:
    """count, count/2 ... 1: numbers of things to do at once, for :func:`with_fallback`."""
    return [count, *halvings(count // 2)] if count > 1 else [1]


def autocast(device: torch.device) -> AbstractContextManager:
    """Half precision where it is faster without changing masks: on CUDA devices. float32 elsewhere."""
    return torch.autocast("cuda", torch.float16) if device.type == "cuda" else nullcontext()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on any device."""
    if isinstance(error, (OutOfMemory, torch.OutOfMemoryError, MemoryError)):
        return True
    return any(words in str(error).lower() for words in _OUT_OF_MEMORY)
