from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

from hrseg.errors import Cancelled, InputError, OutOfMemory
from hrseg.memory import MIB
from hrseg.runtime import CPU, Run, autocast, choose_device

# ---- devices ----


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device() == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    assert choose_device("mps") == torch.device("mps")
    assert choose_device("cpu") == choose_device("cpu:0") == CPU
    with pytest.raises(InputError, match='"cuda:2" is not there: 2 CUDA devices found; use cpu'):
        choose_device("cuda:2")


def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    for name in ("cuda", "cuda:0", "mps"):
        with pytest.raises(InputError, match=f'"{name}" is not there: 0 CUDA|"{name}" is not there; use cpu'):
            choose_device(name)


@pytest.mark.parametrize("name", ["", "gpu", "cuda:x", "CUDA", "xla", "meta"])
def test_unknown_devices(name: str) -> None:
    with pytest.raises(InputError, match=f'There is no device "{name}"; choose auto, cpu'):
        choose_device(name)


def test_precision() -> None:
    with autocast(CPU):
        assert (torch.ones(1, 2) @ torch.ones(2, 1)).dtype == torch.float32


# ---- stages ----


def test_progress_of_a_stage() -> None:
    told: list[tuple[str, int, int]] = []
    run = Run(progress=lambda *step: told.append(step))
    with run.stage("a", 3) as advance:
        advance(2)
        advance(1)
    with run.stage("b"):
        pass
    with run.stage("c", 2) as advance:
        advance(5)
    assert told == [("a", 0, 3), ("a", 2, 3), ("a", 3, 3), ("b", 0, 1), ("b", 1, 1), ("c", 0, 2), ("c", 2, 2)]


def test_seconds_and_peak_memory_of_each_stage() -> None:
    run = Run()
    with run.stage("large"):
        array = np.ones(64 * MIB, dtype=np.uint8)
        del array
    with run.stage("slow"):
        time.sleep(0.05)
    with run.stage("small"):
        kept = np.ones(8 * MIB, dtype=np.uint8)
    with run.stage("slow"):
        time.sleep(0.05)
    assert kept.all()
    assert list(run.seconds) == list(run.peak_memory) == ["large", "slow", "small"]
    assert 0.1 <= run.seconds["slow"] < 2
    assert run.peak_memory["large"] == pytest.approx(64 * MIB, abs=4 * MIB)
    assert run.peak_memory["small"] == pytest.approx(8 * MIB, abs=4 * MIB)
    # Counted from the start of the job: what an earlier stage keeps is there in a later one.
    assert run.peak_memory["slow"] == pytest.approx(8 * MIB, abs=4 * MIB)


def test_cancel_stops_at_the_next_step() -> None:
    cancel = threading.Event()
    done = []
    run = Run(cancel=cancel)

    def work() -> None:
        with run.stage("a", 9) as advance:
            for n in range(9):
                done.append(n)
                if n == 3:
                    cancel.set()
                advance(1)

    with pytest.raises(Cancelled, match="nothing was written"):
        work()
    assert done == [0, 1, 2, 3]
    assert run.seconds["a"] >= 0
    with pytest.raises(Cancelled), run.stage("b"):
        done.append(99)
    assert 99 not in done


def test_stage_that_runs_out_of_memory_says_so() -> None:
    with (
        pytest.raises(OutOfMemory, match='Memory ran out at the stage "preparing"; close other'),
        Run().stage("preparing"),
    ):
        np.ones(2**60, dtype=np.uint8)
    with pytest.raises(RuntimeError, match="shape mismatch"), Run().stage("preparing"):
        raise RuntimeError("shape mismatch")


def test_notices_are_told_once() -> None:
    run = Run()
    for text in ("a", "b", "a"):
        run.notice(text)
    assert run.notices == ["a", "b"]
