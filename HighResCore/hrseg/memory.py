"""Memory of this process: what is used, what the peak was, what is available."""

from __future__ import annotations

import ctypes
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hrseg.errors import OutOfMemory

MIB = 2**20
GIB = 2**30
# glibc's numbers of what mallopt sets, and its defaults.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -2, -3, -4
_DEFAULTS = {_M_TRIM_THRESHOLD: 2**17, _M_TOP_PAD: 2**17, _M_MMAP_MAX: 65536}
# Linux tells by itself; elsewhere psutil is among the requirements.
_STATUS = Path("/proc/self/status")
_MEMINFO = Path("/proc/meminfo")
_CLEAR = Path("/proc/self/clear_refs")
_CGROUPS = Path("/proc/self/cgroup")
_CGROUP = Path("/sys/fs/cgroup")
#: Where control groups of version 2 and 1 tell their limit and use, and the counter of files that can be dropped.
_VERSION_2 = "memory.max", "memory.current", "inactive_file"
_VERSION_1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"

# On Linux this lets torch use huge pages for large tensors, by which inference on a CPU takes a quarter less time, and
# training half of it. Torch reads it when it first allocates.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def return_freed_memory() -> None:
    """Makes the C library give freed memory back to the system: what it holds now, and large blocks from now on.

    By default glibc keeps blocks below 32 MiB, and their fragments can double the peak of a job, unforeseeably.
    """
    if _set_malloc({**_DEFAULTS, _M_MMAP_THRESHOLD: MIB}):
        ctypes.CDLL(None).malloc_trim(0)


def keep_freed_memory() -> None:
    """Makes the C library keep freed memory, until :func:`return_freed_memory`.

    Training asks for the same blocks at every step: new pages for them take an eighth of its time on a CPU.
    """
    _set_malloc({_M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 256 * MIB, _M_MMAP_MAX: 0})


def _set_malloc(options: dict[int, int]) -> bool:
    """Whether the C library could be told: others than glibc cannot."""
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None)
    if not (hasattr(library, "mallopt") and hasattr(library, "malloc_trim")):
        return False
    for name, value in options.items():
        library.mallopt(name, value)
    return True


class PeakMemory:
    """Peak of memory above what was in use when it began, on a device.

    On the GPU it is what torch allocated. On the CPU it is the resident memory of the process: Linux can reset the
    high-water mark; elsewhere the mark of the whole process is used, which can only be too high.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._base = torch.cuda.memory_allocated(device) if device.type == "cuda" else resident()
        self.restart()

    def restart(self) -> None:
        """Forgets the peak, but not where it began."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            with suppress(OSError):
                _CLEAR.write_text("5")

    def bytes(self) -> int:
        """Bytes above the beginning, at the highest point since the last :meth:`restart`."""
        cuda = self._device.type == "cuda"
        return max(0, (torch.cuda.max_memory_allocated(self._device) if cuda else high_water()) - self._base)


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
        # What torch holds in its cache counts as used for the driver, but is there for the next job.
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    return min(_main_memory_available(), _cgroup_headroom())


def check_room(need: int, room: int) -> None:
    """Raises OutOfMemory when more bytes are needed than may be used."""
    if need > room:
        raise OutOfMemory(
            f"This needs about {need / GIB:.2f} GiB of memory, but {max(0, room) / GIB:.2f} GiB may be used; "
            "close other programs, allow more, or choose a smaller image or model."
        )


def cpu_network_bytes(activations: int) -> int:
    """Resident bytes that a network needs on the CPU, from its :func:`activation_peak`.

    Beyond the tensors, the first run loads code: 30 MiB, measured over widths and sizes, with one and two threads. A
    tenth is for what other versions of torch's libraries may copy.
    """
    return int(1.1 * activations) + 40 * MIB


def activation_peak(work: Callable[[], Any]) -> int:
    """Bytes of tensors alive at the highest point of ``work``, which is run without gradients.

    Tensors made outside ``work`` (weights, inputs) do not count. What a network needs for an image grows with the
    number of voxels, so that running it on a small one tells what a large one will need.
    """
    with _LiveBytes() as live, torch.no_grad():
        work()
    return live.peak


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of storages that operations make, and takes them off when these are freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Otherwise torch imports its compiler, which takes seconds and 80 MB.
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # A view, or a result in place, shares the storage of an input.
        known = {storage._cdata for storage in _storages((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):
            if storage._cdata not in known:
                self._add(storage.nbytes())
                weakref.finalize(storage, self._add, -storage.nbytes())
        return result

    def _add(self, count: int) -> None:
        self.now += count
        self.peak = max(self.peak, self.now)


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _kilobytes(file: Path, key: str) -> int:
    line = next(line for line in file.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def _main_memory_available() -> int:
    if _MEMINFO.exists():
        return _kilobytes(_MEMINFO, "MemAvailable:")
    import psutil

    return psutil.virtual_memory().available


def _cgroup_headroom() -> int:
    """What the tightest limit leaves of the control groups that this process is in, such as a container."""
    return min((_left(folder, *names) for folder, names in _control_groups()), default=sys.maxsize)


def _control_groups() -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """Folders of the groups that may limit memory, from its own upward, and the names in them."""
    try:
        lines = _CGROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            mount, names = _CGROUP, _VERSION_2
        elif "memory" in controllers.split(","):
            mount, names = _CGROUP / "memory", _VERSION_1
        else:
            continue
        # In a container it may be the host's path, of which only the mount itself is there.
        own = mount / path.lstrip("/")
        yield from ((folder, names) for folder in (own, *own.parents) if folder.is_relative_to(mount))


def _left(folder: Path, limit: str, used: str, cached: str) -> int:
    """What a group's limit leaves; cached files can be dropped. Without a limit it is immense."""
    try:
        free = int((folder / limit).read_text()) - int((folder / used).read_text())
        counters = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return free + int(counters[cached])
    except (OSError, ValueError, KeyError):
        return sys.maxsize
