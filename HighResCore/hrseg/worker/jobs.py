"""What the worker does for each request."""

from __future__ import annotations

import os
import platform
import threading
from dataclasses import asdict
from pathlib import Path
from reprlib import repr as short
from typing import Any, get_type_hints

import numpy as np
import torch

import hrseg
from hrseg import memory
from hrseg.errors import Cancelled, HrsegError, InputError, ModelError, OutOfMemory, OutputError
from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.labels import Label
from hrseg.lesions import lesions_of
from hrseg.methods import Method, Options, Result, method_class
from hrseg.model_file import load_header
from hrseg.prompts import RegionBox
from hrseg.runtime import CPU, Progress, Run, choose_device, is_out_of_memory
from hrseg.worker import fields
from hrseg.worker.arrays import SUFFIX, map_array, write_array
from hrseg.worker.checking import ProtocolError, checked
from hrseg.worker.loaded import PER_BOX, Loaded, LoadedModels
from hrseg.worker.messages import (
    BoxEntry,
    DescribeRequest,
    DevicesRequest,
    Failed,
    FieldRequest,
    ForecastRequest,
    ImageFile,
    ImageRequest,
    Kind,
    ProposeRequest,
    Request,
    SegmentRequest,
)

_KINDS: list[tuple[type[HrsegError], Kind]] = [
    (Cancelled, "cancelled"),
    (OutOfMemory, "no_memory"),
    (ModelError, "bad_model"),
    (InputError, "bad_input"),
    (OutputError, "output"),
    (ProtocolError, "bad_input"),
]


class Jobs:
    """Jobs on images in a private folder. The last models and the last image stay, so that the next job is quick."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._models = LoadedModels()
        self._image: tuple[ImageFile, Image] | None = None

    def do(self, request: Request, progress: Progress, cancel: threading.Event) -> dict[str, Any]:
        """The result of a request, ready for JSON.

        That of a segmentation has ``label_map`` (entry of an array (K, J, I)), ``affine`` (4x4, of its grid, which may
        be finer than the image's), ``labels`` (``value``, ``name``, ``color``, ``terminology`` as Slicer writes it),
        ``probability`` (labels, K, J, I) and ``instances`` (K, J, I) (entries, or None), ``boxes`` (``name``,
        ``center``, ``size``, ``axes``), ``super_resolved`` (entry of an array (C, K, J, I) with its own ``affine``, or
        None), ``guidance`` (the crop, like one of the boxes, or None), ``lesions`` (fields of
        :class:`hrseg.lesions.Lesion`, the largest first, or None), ``device``, ``seconds`` per stage, ``peak_memory``
        (bytes), ``notices``, and ``model``.

        Raises:
            HrsegError: what the user should know.
        """
        match request:
            case ForecastRequest():
                return self._forecast(request, progress, cancel)
            case SegmentRequest():
                return self._segment(request, progress, cancel)
            case ProposeRequest():
                return self._propose(request, progress, cancel)
            case FieldRequest():
                return self._ask_field(request, progress, cancel)
            case DescribeRequest():
                return _describe(request)
            case DevicesRequest():
                return {"devices": devices(), "versions": versions()}
        raise InputError(f"The worker cannot do {type(request).__name__}.")

    def _segment(self, request: SegmentRequest, progress: Progress, cancel: threading.Event) -> dict[str, Any]:
        crops = 0

        def counted(stage: str, done: int, total: int) -> None:
            nonlocal crops
            crops = done if stage == PER_BOX else crops
            progress(stage, done, total)

        loaded, image, run = self._ready(request, counted, cancel)
        result = loaded.method.segment(image, _options(request, loaded.method), run)
        loaded.pace(request.options).learn(run.seconds, image.grid.size, crops, len(result.boxes))
        lesions = _lesions(result, run) if request.lesions else None
        with run.stage("saving"):
            arrays = self._saved(request, result)
        guidance = None if result.guidance is None else _box(result.guidance)
        return {
            **arrays,
            "affine": result.label_map.grid.affine.tolist(),
            "labels": list(map(_label, result.labels)),
            "guidance": guidance,
            "lesions": lesions,
            **_about(result.boxes, run, result.device, loaded),
        }

    def _propose(self, request: ProposeRequest, progress: Progress, cancel: threading.Event) -> dict[str, Any]:
        loaded, image, run = self._ready(request, progress, cancel)
        boxes = loaded.method.propose(image, Options(remember=True), run)
        loaded.pace({}).learn(run.seconds, image.grid.size)
        return _about(boxes, run, str(run.used), loaded)

    def _ask_field(self, request: FieldRequest, progress: Progress, cancel: threading.Event) -> dict[str, Any]:
        loaded, image, run = self._ready(request, progress, cancel)
        arrays = fields.answer(request, loaded, image, run, self._folder)
        if request.grid is None:
            loaded.pace({}).learn(run.seconds, image.grid.size, boxes=0)
        labels = fields.chosen_labels(request, loaded.model.header.labels)
        return {**_about([], run, arrays.pop("device"), loaded), **arrays, "labels": list(map(_label, labels))}

    def _forecast(self, request: ForecastRequest, progress: Progress, cancel: threading.Event) -> dict[str, Any]:
        loaded, image, run = self._ready(request, progress, cancel)
        boxes = None if request.propose else len(request.boxes)
        return {
            "bytes": loaded.method.forecast(image, _options(request, loaded.method), run.device),
            "free_bytes": memory.available(run.device),
            "seconds": loaded.pace(request.options).expect(image.grid.size, boxes),
            "device": str(run.device),
        }

    def _ready(self, request: ImageRequest, progress: Progress, cancel: threading.Event) -> tuple[Loaded, Image, Run]:
        run = Run(choose_device(request.device), progress=progress, cancel=cancel)
        progress("loading", 0, 1)
        loaded = self._models.get(request.model, run.device, request.inference)
        image = self._opened(request.image)
        progress("loading", 1, 1)
        run.count_memory_from_here()
        return loaded, image, run

    def _opened(self, file: ImageFile) -> Image:
        """The image in a file: the same object for the same file, by which a method knows what it remembers."""
        if self._image is None or self._image[0] != file:
            # What methods remember of the image before is of no use any more, and may be large.
            self._models.forget()
            array = map_array(self._folder / Path(file.path).name)
            self._image = file, Image(array, Grid(array.shape[1:], file.affine), file.name)  # type: ignore[arg-type]
        return self._image[1]

    def _saved(self, request: SegmentRequest, result: Result) -> dict[str, Any]:
        sharp = result.super_resolved
        arrays = {
            "label_map": result.label_map.array,
            "probability": result.probability if request.keep_probability else None,
            "instances": result.instances,
            "super_resolved": None if sharp is None else sharp.array,
        }
        entries: dict[str, Any] = {
            name: None if array is None else write_array(self._folder / f"job{request.id}-{name}{SUFFIX}", array)
            for name, array in arrays.items()
        }
        if sharp is not None:
            entries["super_resolved"]["affine"] = sharp.grid.affine.tolist()
        return entries


def failure(number: int, error: Exception) -> Failed:
    """What to answer when a job raised an error."""
    for kind, name in _KINDS:
        if isinstance(error, kind):
            return Failed(number, name, str(error))
    if is_out_of_memory(error):
        return Failed(
            number, "no_memory", "Memory ran out.", "Close other programs, or choose a smaller image, model or device."
        )
    return Failed(
        number,
        "internal",
        f"An error that should not happen: {type(error).__name__}: {error}",
        "Save the log and report it, please.",
    )


def versions() -> dict[str, str]:
    """Versions of what inference depends on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "",
        "numpy": np.__version__,
        "hrseg": hrseg.__version__,
    }


def devices() -> list[dict[str, Any]]:
    """The devices that :func:`hrseg.runtime.choose_device` knows on this computer, the fastest first."""
    found = []
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        device = torch.device("cuda", number)
        properties = torch.cuda.get_device_properties(device)
        found.append(_device(str(device), properties.name, properties.total_memory, memory.available(device)))
    if torch.backends.mps.is_available():
        found.append(_device("mps", "Apple GPU", _main_memory(), memory.available(CPU)))
    cores = f"CPU ({os.cpu_count()} cores)"
    return [*found, _device("cpu", cores, _main_memory(), memory.available(CPU))]


def leave_a_core() -> None:
    """Keeps torch from using all cores, where there are more than two: the user interface needs one."""
    cores = os.cpu_count() or 1
    if cores > 2:
        torch.set_num_threads(min(torch.get_num_threads(), cores - 1))


def _options(request: SegmentRequest, method: Method) -> Options:
    boxes = tuple(RegionBox(b.center, b.size, b.axes, b.name, b.proposed) for b in request.boxes)  # type: ignore[arg-type]
    kinds = get_type_hints(Options)
    known = {name: checked(value, kinds.get(name, Any), f"options.{name}") for name, value in request.options.items()}
    try:
        options = Options(
            # The mean probability of a lesion needs it, too.
            keep_probability=request.keep_probability or request.lesions,
            boxes=boxes,
            propose=request.propose,
            instances=request.instances,
            remember=True,
            **known,
        )
    except TypeError as error:
        raise InputError(
            f"The options {short(request.options)} are not known to any method ({error!s:.200})."
        ) from error
    if (options.resolution != "input" or options.super_resolved) and not method.makes_finer:
        raise InputError(
            f'The model "{method.model.header.name}" makes neither finer masks nor sharper images; choose another one.'
        )
    if options.guidance_center is not None and not method.takes_guidance:
        raise InputError(f'The method "{method.title}" uses no guidance crop; choose another model.')
    return options


def _lesions(result: Result, run: Run) -> list[dict[str, Any]]:
    try:
        with run.stage("lesions", len(result.labels)) as advance:
            labels = result.label_map
            found, count = lesions_of(labels.array, labels.grid, result.labels, result.probability, advance=advance)
    except OutOfMemory:
        run.notice("Memory ran out while the lesions were measured: the segmentation is complete, their list is empty.")
        return []
    if count > len(found):
        run.notice(f"{count} lesions were found, of which the {len(found)} largest are listed.")
    return [asdict(lesion) for lesion in found]


def _describe(request: DescribeRequest) -> dict[str, Any]:
    header = load_header(request.model)
    method = method_class(header.method)
    content = header.model_dump(mode="json", exclude_none=True)
    return {"header": content, "method": method.title, "takes_boxes": method.takes_boxes}


def _about(boxes: list[RegionBox], run: Run, device: str, loaded: Loaded) -> dict[str, Any]:
    return {
        "boxes": list(map(_box, boxes)),
        "device": device,
        "seconds": {**run.seconds, "total": sum(run.seconds.values())},
        "peak_memory": max(run.peak_memory.values(), default=0),
        "notices": run.notices,
        "model": loaded.about(),
    }


def _label(label: Label) -> dict[str, Any]:
    entry = label.terminology.entry if label.terminology else None
    return {"value": label.value, "name": label.name, "color": list(label.color), "terminology": entry}


def _box(box: RegionBox) -> dict[str, Any]:
    return asdict(BoxEntry.of(box))


def _device(name: str, title: str, total: int, free: int) -> dict[str, Any]:
    return {"name": name, "title": title, "total_bytes": total, "free_bytes": min(free, total)}


def _main_memory() -> int:
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    import psutil

    return psutil.virtual_memory().total
