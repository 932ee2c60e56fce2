from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hrseg import memory
from hrseg.errors import OutOfMemory
from hrseg.memory import (
    GIB,
    MIB,
    PeakMemory,
    activation_peak,
    available,
    check_room,
    cpu_network_bytes,
    return_freed_memory,
)

CPU = torch.device("cpu")


# ---- forecast of activations ----


def test_one_new_tensor() -> None:
    x = torch.zeros(1000)
    assert activation_peak(lambda: x + 1) == 4000


def test_inputs_views_and_work_in_place_cost_nothing() -> None:
    x = torch.zeros(10, 100)
    assert activation_peak(lambda: x.t()[3:].relu_().add_(1)) == 0


def test_freed_tensors_do_not_add_up() -> None:
    x = torch.zeros(1000)

    def work() -> None:
        y = x + 1
        for _ in range(5):
            y = y * 2  # the old and the new one coexist for a moment

    assert activation_peak(work) == 8000


def test_kept_tensors_add_up() -> None:
    x = torch.zeros(1000)
    assert activation_peak(lambda: [x + n for n in range(5)]) == 20_000


def test_views_keep_their_storage_alive() -> None:
    x = torch.zeros(1000)

    def work() -> None:
        part = (x + 1)[:10]
        del part
        part = (x + 1)[:10]
        (x + part[0]).sum()

    assert activation_peak(work) == 8000 + 4


def test_convolution() -> None:
    x, weight = torch.zeros(1, 2, 8, 8), torch.zeros(5, 2, 3, 3)
    assert activation_peak(lambda: F.conv2d(x, weight, padding=1)) == 4 * 5 * 64


def test_several_results_and_types() -> None:
    x = torch.zeros(1000)
    assert activation_peak(lambda: x.max(dim=0)) == 4 + 8
    assert activation_peak(lambda: x.half()) == 2000


def test_network_on_the_cpu_needs_somewhat_more() -> None:
    assert cpu_network_bytes(0) < 100 * MIB
    assert GIB < cpu_network_bytes(GIB) - cpu_network_bytes(0) < 1.3 * GIB


# ---- what is used and what there is ----


@pytest.fixture
def settled() -> None:
    """What earlier tests have left is given back now, not while a test counts."""
    gc.collect()
    return_freed_memory()


@pytest.mark.usefixtures("settled")
def test_peak_sees_an_array_after_it_is_gone() -> None:
    peak = PeakMemory(CPU)
    array = np.ones(64 * MIB, dtype=np.uint8)
    del array
    assert peak.bytes() == pytest.approx(64 * MIB, abs=4 * MIB)


@pytest.mark.usefixtures("settled")
def test_what_was_there_before_does_not_count() -> None:
    array = np.ones(64 * MIB, dtype=np.uint8)
    peak = PeakMemory(CPU)
    assert peak.bytes() < 4 * MIB
    assert array.all()


@pytest.mark.usefixtures("settled")
def test_restart_forgets_the_peak_but_not_the_start() -> None:
    peak = PeakMemory(CPU)
    kept = np.ones(32 * MIB, dtype=np.uint8)
    gone = np.ones(64 * MIB, dtype=np.uint8)
    del gone
    peak.restart()
    assert peak.bytes() == pytest.approx(32 * MIB, abs=4 * MIB)
    assert kept.all()


def test_available() -> None:
    assert 0 < available(CPU) < 2**50


#: What version 1 has for no limit.
NO_LIMIT = str(2**63 - 4096)


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where control groups are; :func:`within` says in which ones this process is."""
    monkeypatch.setattr(memory, "_CGROUP", tmp_path / "mount")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(memory, "_main_memory_available", lambda: GIB)
    return tmp_path / "mount"


def within(mount: Path, *lines: str) -> None:
    (mount.parent / "groups").write_text("\n".join(lines) + "\n")


def version_2(folder: Path, limit: str, used: int, cached: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\n")


def version_1(folder: Path, limit: str, used: int, cached: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"inactive_file 1\ntotal_inactive_file {cached}\n")


def test_limit_of_a_container(mount: Path) -> None:
    assert available(CPU) == GIB
    within(mount, "0::/")
    version_2(mount, str(10 * MIB), 8 * MIB, 3 * MIB)
    assert available(CPU) == 5 * MIB
    version_2(mount, "max", 8 * MIB, 3 * MIB)
    assert available(CPU) == GIB


def test_the_tightest_of_nested_groups_counts(mount: Path) -> None:
    within(mount, "1:name=systemd:/", "0::/user.slice/job.scope")
    version_2(mount / "user.slice" / "job.scope", str(20 * MIB), 8 * MIB, 0)
    assert available(CPU) == 12 * MIB
    version_2(mount / "user.slice", str(30 * MIB), 26 * MIB, 3 * MIB)
    assert available(CPU) == 7 * MIB
    version_2(mount / "user.slice", "max", 26 * MIB, 3 * MIB)
    assert available(CPU) == 12 * MIB


def test_limits_of_version_1(mount: Path) -> None:
    within(mount, "5:cpuset:/job", "4:cpu,memory:/slurm/job", "0::/job")
    # What lies above the mount is of no group.
    version_1(mount, "1", 0, 0)
    version_1(mount / "memory", NO_LIMIT, 900 * MIB, 0)
    assert available(CPU) == GIB
    version_1(mount / "memory" / "slurm" / "job", str(20 * MIB), 8 * MIB, 3 * MIB)
    assert available(CPU) == 15 * MIB
    version_1(mount / "memory" / "slurm", str(14 * MIB), 8 * MIB, 3 * MIB)
    assert available(CPU) == 9 * MIB


def test_groups_that_a_container_sees_only_the_end_of(mount: Path) -> None:
    within(mount, "4:memory:/docker/1234", "0::/../../other")
    version_1(mount / "memory", str(20 * MIB), 8 * MIB, 3 * MIB)
    assert available(CPU) == 15 * MIB


def test_room() -> None:
    check_room(5, 5)
    with pytest.raises(OutOfMemory, match=r"needs about 2\.00 GiB of memory, but 0\.50 GiB may be used; close"):
        check_room(2 * GIB, GIB // 2)
    with pytest.raises(OutOfMemory, match=r"but 0\.00 GiB may be used"):
        check_room(GIB, -5)


# ---- freed memory ----

_HELD = """
import torch
from hrseg.memory import MIB, keep_freed_memory, resident, return_freed_memory

def held():
    before = resident()
    torch.ones(64 * MIB // 4)
    return (resident() - before) // MIB

torch.ones(1)
return_freed_memory()
given_back = held()
keep_freed_memory()
kept, before = held(), resident()
return_freed_memory()
print(given_back, kept, (before - resident()) // MIB, held())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_memory_is_kept_and_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", _HELD], capture_output=True, text=True, check=True)
    given_back, kept, freed, again = (int(word) for word in done.stdout.split())
    assert max(given_back, again) < 16
    assert min(kept, freed) > 48


_HUGE = """
import re
from pathlib import Path
import torch
import hrseg.memory

def huge():
    return int(re.search(r"AnonHugePages: +([0-9]+)", Path("/proc/self/smaps_rollup").read_text())[1])

before = huge()
tensor = torch.ones(2**24)
print(huge() - before)
"""


_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_ON_REQUEST = _SETTING.exists() and "[madvise]" in _SETTING.read_text()


@pytest.mark.skipif(not _ON_REQUEST, reason="huge pages on request only are what some Linux systems have")
def test_large_tensors_lie_in_huge_pages() -> None:
    kilobytes = []
    for allowed in ({}, {"THP_MEM_ALLOC_ENABLE": "0"}):
        environment = {key: value for key, value in os.environ.items() if key != "THP_MEM_ALLOC_ENABLE"} | allowed
        done = subprocess.run(
            [sys.executable, "-c", _HUGE], capture_output=True, text=True, env=environment, check=True
        )
        kilobytes.append(int(done.stdout))
    assert kilobytes[0] > 32 * 1024
    assert kilobytes[1] == 0
