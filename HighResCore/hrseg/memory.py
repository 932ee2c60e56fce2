"""Memory of this process: what is used, what the peak was, what is available."""

from __future__ import annotations

import ctypes
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MIB = 2**20
_M_MMAP_THRESHOLD = -3
# Linux tells by itself; elsewhere psutil is among the requirements.
_STATUS = Path("/proc/self/status")
_MEMINFO = Path("/proc/meminfo")
_CLEAR = Path("/proc/self/clear_refs")


def return_freed_memory() -> None:
    """Makes the C library give large blocks back to the system as soon as they are freed.

    By default glibc keeps blocks below 32 MiB, and their fragments can double the peak of a job, unforeseeably.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt:
            mallopt(_M_MMAP_THRESHOLD, MIB)


class PeakMemory:
    """Peak of memory above what was in use when it began, on a device.

    On the GPU it is what torch allocated. On the CPU it is the resident memory of the process: Linux can reset the
    high-water mark; elsewhere the mark of the whole process is used, which can only be too high.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._base = torch.cuda.memory_allocated(device)
        else:
            _reset_high_water()
            self._base = resident()

    def bytes(self) -> int:
        """Bytes above the beginning, at the highest point since."""
        if self._device.type == "cuda":
            return max(0, torch.cuda.max_memory_allocated(self._device) - self._base)
        return max(0, high_water() - self._base)


def resident() -> int:
    """Bytes of main memory that this process holds now."""
    if _STATUS.exists():
        return _kilobytes(_STATUS, "VmRSS:")
    import psutil

    return psutil.Process().memory_info().rss


def high_water() -> int:
    """The most bytes of main memory that this process has held."""
    if _STATUS.exists():
        return _kilobytes(_STATUS, "VmHWM:")
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def available(device: torch.device) -> int:
    """Bytes that a job on this device may use: free GPU memory, or main memory that is free or reclaimable."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min(_main_memory_available(), _cgroup_headroom())


def cpu_network_bytes(activations: int) -> int:
    """Resident bytes that a network needs on the CPU, from its :func:`activation_peak`.

    Beyond the tensors, oneDNN makes reordered copies and scratch space per thread, and the first run loads code and
    warms caches. Both terms were measured over widths and sizes with one and two threads.
    """
    return int(1.6 * activations) + 100 * MIB


def activation_peak(work: Callable[[], Any]) -> int:
    """Bytes of tensors alive at the highest point of ``work``, run on ``meta`` tensors: nothing is computed.

    Tensors made outside ``work`` (weights, inputs) do not count.
    """
    with _LiveBytes() as live, torch.no_grad():
        work()
    return live.peak


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of storages that operations make, and takes them off when these are freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: weakref.WeakSet = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inputs = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in inputs:
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._release, storage.nbytes())

    def _release(self, count: int) -> None:
        self.now -= count


def _reset_high_water() -> None:
    try:
        _CLEAR.write_text("5")
    except OSError:
        return


def _kilobytes(file: Path, key: str) -> int:
    line = next(line for line in file.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def _main_memory_available() -> int:
    if _MEMINFO.exists():
        return _kilobytes(_MEMINFO, "MemAvailable:")
    import psutil

    return psutil.virtual_memory().available


def _cgroup_headroom() -> int:
    """What a container's limit leaves, where there is one."""
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        return limit - int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):
        return sys.maxsize
