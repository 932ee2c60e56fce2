from __future__ import annotations

import pytest
import torch

from hrseg import runtime
from hrseg.errors import Cancelled, OutOfMemory
from hrseg.memory import GIB
from hrseg.runtime import CPU, Run, halvings, is_out_of_memory, with_fallback

#: A device that needs no hardware to be named.
OTHER = torch.device("meta")


def test_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.memory, "available", lambda device: 100)
    assert Run().budget_on(CPU, held=30) == 100
    assert Run(memory_budget=80).budget_on(CPU) == 80
    assert Run(memory_budget=80).budget_on(CPU, held=30) == 50
    assert Run(memory_budget=500).budget_on(CPU, held=30) == 100


def test_what_the_process_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image, and what else is there at the moment, is taken off."""
    held = [60]
    monkeypatch.setattr(runtime.memory, "available", lambda device: 100)
    monkeypatch.setattr(runtime.memory, "resident", lambda: held[0])
    run = Run(memory_limit=90)
    assert run.budget_on(CPU) == 30
    held[0] = 20
    assert run.budget_on(CPU) == 70
    assert Run(memory_limit=90, memory_budget=50).budget_on(CPU, held=10) == 40
    assert run.budget_on(torch.device("cuda")) == 100


class Job:
    """Work that needs ten bytes per unit, on devices that hold ``real`` bytes."""

    def __init__(self, run: Run, real: dict[torch.device, int]) -> None:
        self.run, self.real = run, real
        self.tried: list[tuple[torch.device, int]] = []

    def __call__(self, chunks: list[int], held: int = 0) -> tuple[torch.device, int]:
        return with_fallback(self.run, chunks, lambda device, chunk: 10 * chunk, self.work, held)

    def work(self, device: torch.device, chunk: int) -> tuple[torch.device, int]:
        self.tried.append((device, chunk))
        if 10 * chunk > self.real[device]:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return device, chunk


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[torch.device, int]:
    """Bytes that the two devices say they have."""
    values = {CPU: 1000, OTHER: 1000}
    monkeypatch.setattr(runtime.memory, "available", values.__getitem__)
    return values


def test_largest_chunk_first(free: dict[torch.device, int]) -> None:
    job = Job(Run(), {CPU: 1000})
    assert job([8, 4, 2, 1]) == (CPU, 8)
    assert job.run.notices == []


def test_chunks_above_the_budget_are_not_tried(free: dict[torch.device, int]) -> None:
    job = Job(Run(memory_budget=70), {CPU: 1000})
    assert job([8, 4, 2, 1], held=40) == (CPU, 2)
    assert job.tried == [(CPU, 2)]
    assert job.run.notices == ["The memory of cpu does not suffice for large chunks; using smaller ones."]


def test_memory_that_runs_out_all_the_same(free: dict[torch.device, int]) -> None:
    job = Job(Run(OTHER), {OTHER: 45, CPU: 1000})
    assert job([8, 4, 2, 1]) == (OTHER, 4)
    assert job.tried == [(OTHER, 8), (OTHER, 4)]
    assert job.run.notices == ["The memory of meta does not suffice for large chunks; using smaller ones."]


def test_the_cpu_comes_last(free: dict[torch.device, int]) -> None:
    job = Job(Run(OTHER), {OTHER: 0, CPU: 1000})
    assert job([2, 1]) == (CPU, 2)
    assert job.tried == [(OTHER, 2), (OTHER, 1), (CPU, 2)]
    assert job.run.notices[-1] == "The memory of meta does not suffice; running on cpu instead."


class Counter:
    """Peaks that a device says it has seen."""

    BYTES = {CPU: 70, OTHER: 5}

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def restart(self) -> None:
        """Nothing to forget."""

    def bytes(self) -> int:
        return self.BYTES[self.device]


def test_peak_memory_is_that_of_the_device_that_ran(
    free: dict[torch.device, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.memory, "PeakMemory", Counter)
    real = {OTHER: 1000, CPU: 1000}
    run = Run(OTHER)
    job = Job(run, real)

    def work(device: torch.device, chunk: int) -> None:
        with run.stage("inference"):
            job.work(device, chunk)

    with run.stage("preparing"):
        pass
    with_fallback(run, [1], lambda device, chunk: 0, work)
    assert run.peak_memory == {"preparing": 5, "inference": 5}
    real[OTHER] = 0
    with_fallback(run, [1], lambda device, chunk: 0, work)
    assert run.peak_memory == {"preparing": 70, "inference": 70}
    real[OTHER] = 1000
    with_fallback(run, [1], lambda device, chunk: 0, work)
    assert run.peak_memory == {"preparing": 5, "inference": 5}


def test_device_without_room_is_left_at_once(free: dict[torch.device, int]) -> None:
    free[OTHER] = 5
    job = Job(Run(OTHER), {CPU: 1000})
    assert job([2, 1]) == (CPU, 2)
    assert job.run.notices == ["The memory of meta does not suffice; running on cpu instead."]


def test_nothing_fits() -> None:
    run = Run(memory_budget=GIB)
    with pytest.raises(OutOfMemory, match=r"This needs about 3\.00 GiB of memory, but 1\.00 GiB may be used"):
        with_fallback(run, [2, 1], lambda device, chunk: 3 * GIB * chunk, lambda device, chunk: None)


def test_nothing_fitted(free: dict[torch.device, int]) -> None:
    job = Job(Run(OTHER), {OTHER: 0, CPU: 0})
    with pytest.raises(OutOfMemory, match="Memory ran out even in the smallest chunks; close other programs"):
        job([2, 1])
    assert len(job.tried) == 4


def test_memory_of_a_failed_attempt_is_free_in_the_next(free: dict[torch.device, int]) -> None:
    alive: list[int] = []

    class Big:
        def __init__(self) -> None:
            alive.append(1)

        def __del__(self) -> None:
            alive.pop()

    seen = []

    def work(device: torch.device, chunk: int) -> None:
        seen.append(len(alive))
        big = Big()
        if chunk > 1:
            raise MemoryError(big)

    with_fallback(Run(), [4, 2, 1], lambda device, chunk: 0, work)
    assert seen == [0, 0, 0]


@pytest.mark.parametrize("error", [RuntimeError("wrong shape"), Cancelled("stop"), ValueError("out of memory")])
def test_other_errors_pass(error: Exception, free: dict[torch.device, int]) -> None:
    def work(device: torch.device, chunk: int) -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        with_fallback(Run(), [2, 1], lambda device, chunk: 0, work)


def test_stage_inside_an_attempt(free: dict[torch.device, int]) -> None:
    run = Run()

    def work(device: torch.device, chunk: int) -> int:
        with run.stage("inference"):
            if chunk > 1:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")
        return chunk

    assert with_fallback(run, [2, 1], lambda device, chunk: 0, work) == 1


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemory("x"),
        torch.OutOfMemoryError("x"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("[enforce fail] not enough memory: you tried to allocate 8 bytes."),
        RuntimeError("MPS backend out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("unable to mmap 8 bytes: Cannot allocate memory (12)"),
    ],
)
def test_out_of_memory_in_many_words(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("size mismatch"))


def test_halvings() -> None:
    assert [halvings(n) for n in (1, 4, 5)] == [[1], [4, 2, 1], [5, 2, 1]]
