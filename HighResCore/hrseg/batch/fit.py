"""How many processes fit into the memory side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk
import torch

from hrseg import memory
from hrseg.errors import HrsegError
from hrseg.image import read_image
from hrseg.memory import GIB
from hrseg.methods import Method, Options
from hrseg.runtime import CPU

#: So many images are tried, from the largest on, until the memory of one can be forecast.
_TRIES = 3
#: What a process needs of a GPU's memory besides: the driver's context and the code of the kernels.
_GPU_CONTEXT = 600 * memory.MIB
#: Each GPU computes one case at a time; a second process reads and writes files meanwhile.
_MOST_ON_GPU = 2


@dataclass(frozen=True)
class Fit:
    """How a batch is spread over processes.

    Attributes:
        jobs: processes.
        memory_budget: bytes that each may use beyond the image; None: what is available.
        threads: of each; None: as many as there are.
        notice: why there are fewer than asked for, if so.
    """

    jobs: int
    memory_budget: int | None = None
    threads: int | None = None
    notice: str = ""


@dataclass(frozen=True)
class Need:
    """Bytes that a process needs: main memory for itself and the image, and the device's memory for the work."""

    base: int
    work: int


def fit(
    jobs: int, images: Sequence[Path], method: Method, options: Options, device: torch.device, budget: int | None
) -> Fit:
    """So many processes as are asked for, or as fit.

    Args:
        jobs: wanted; 0: as many as threads and memory allow.
        images: all of the batch; the largest one decides.
        method: the model.
        options: what is asked of it.
        device: where it runs.
        budget: bytes that all processes together may use beyond their images; None: what is available.
    """
    threads = torch.get_num_threads()
    most = threads if device.type == "cpu" else _MOST_ON_GPU
    wanted = min(jobs or most, len(images))
    if wanted <= 1:
        return Fit(1, budget)
    need = _need(images, method, options, device)
    possible, share = _possible(wanted, need, device, budget)
    notice = ""
    if jobs and possible < wanted:
        each = (need.base + need.work) / GIB
        notice = f"{wanted} processes of about {each:.1f} GiB do not fit into the memory; running {possible} at a time."
    return Fit(possible, share, max(1, threads // possible), notice)


def _possible(wanted: int, need: Need, device: torch.device, budget: int | None) -> tuple[int, int | None]:
    """How many processes fit, and what each may use beyond its image; one is always tried, in smaller chunks."""
    room = memory.available(CPU)
    on_cpu = device.type == "cpu"
    extra = need.base if on_cpu else _GPU_CONTEXT
    work_room = room if on_cpu else memory.available(device)
    for count in range(wanted, 1, -1):
        share = work_room // count - extra
        if budget is not None:
            share = min(share, budget // count)
        if share >= need.work and need.base * count <= room:
            return count, share
    return 1, budget


def _need(images: Sequence[Path], method: Method, options: Options, device: torch.device) -> Need:
    """What the largest image needs of those that can be looked at; nothing is known where there is none."""
    before = memory.resident()
    for path in sorted(images, key=_size, reverse=True)[:_TRIES]:
        try:
            image = read_image(path)
            work = method.forecast(image, options, device)
        except (HrsegError, MemoryError):
            continue
        # While it is read the image is there twice.
        return Need(before + image.array.nbytes, max(work, image.array.nbytes))
    return Need(before, 0)


def _size(path: Path) -> int:
    """Voxels of an image by its header, times channels; of a DICOM series about. 0 where that cannot be read."""
    try:
        if path.is_dir():
            return sum(file.stat().st_size for file in path.iterdir() if file.is_file()) // 2
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        return math.prod(reader.GetSize()) * reader.GetNumberOfComponents()
    except (OSError, RuntimeError):
        return 0
