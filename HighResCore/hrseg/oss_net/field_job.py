"""A saved field looked at again, without its image and without encoding: which files are read, and what is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from hrseg.errors import InputError, ModelError
from hrseg.geometry import Grid
from hrseg.image import read_image
from hrseg.labels import Label
from hrseg.methods import Method, Options, Result
from hrseg.model_store import find_model
from hrseg.oss_net.field import Field
from hrseg.oss_net.field_file import FieldHeader, field_header, load_field
from hrseg.oss_net.method import OssNet
from hrseg.oss_net.surface_file import check_surface_name, write_surface
from hrseg.prompts import read_boxes
from hrseg.runtime import Run, with_fallback
from hrseg.segment_file import options_of, write_result
from hrseg.segment_job import Job, label_files


@dataclass(frozen=True)
class FieldJob(Job):
    """A saved field and what is written about it; see :class:`Job`.

    Attributes:
        image: the field's file.
        boxes: file with one box; only what it touches is looked at.
        like: image on whose grid the field is looked at; None: the grid of the field's own image, or ``spacing``.
        level: see :meth:`Field.label_map`.
        surface: triangles; where there are several labels, their names go into the files' names.
    """

    like: Path | None = None
    level: float | None = None
    surface: Path | None = None

    @property
    def inputs(self) -> list[Path]:
        """See :attr:`Job.inputs`."""
        return [*super().inputs, *([self.like] if self.like else [])]

    @property
    def outputs(self) -> list[Path]:
        """See :attr:`Job.outputs`."""
        return [*super().outputs, *([self.surface] if self.surface else [])]

    def files(self, labels: Sequence[Label]) -> list[Path]:
        """See :meth:`Job.files`; a label of which nothing is found has no surface."""
        others = [path for path in super().files(labels) if path != self.surface]
        return [*others, *(label_files(self.surface, labels) if self.surface else [])]

    def check(self) -> None:
        """See :meth:`Job.check`."""
        super().check()
        if self.surface:
            check_surface_name(self.surface)
        if self.like and self.spacing:
            raise InputError(
                f'Both the spacing {self.spacing[::-1]} and "{self.like}" say where the voxels are to be; give one.'
            )


def model_file(job: FieldJob, name: str | None = None) -> Path:
    """The file of a model by name or path; if left out, that of the model that made the field.

    Raises:
        InputError: as :func:`field_header`.
        ModelError: it is not here.
    """
    if name is not None:
        return find_model(name)
    made_by = field_header(job.image).model
    try:
        return find_model(made_by)
    except ModelError as error:
        raise ModelError(
            f'The field "{job.image}" was made by the model "{made_by}", which is not here; name its file by --model, '
            "or add it by `hrseg models add FILE`."
        ) from error


def read_field(job: FieldJob, method: Method, run: Run) -> dict[str, Any]:
    """Looks at a saved field and writes what is seen; returns the report, as of segmenting an image.

    Raises:
        InputError: a file that cannot be read, a region outside the field, or a decision level that is none.
        ModelError: a model other than the one that made the field.
        OutOfMemory, Cancelled: as ``run`` has it.
        OutputError: a file cannot be written.
    """
    header = field_header(job.image)
    if not isinstance(method, OssNet):
        raise ModelError(
            f'The model "{method.model.header.name}" makes no fields; "{job.image}" was made by the model '
            f'"{header.model}".'
        )
    # The box is where to look, and no prompt.
    replace(job, boxes=()).check_method(method)
    options = options_of(job)
    with run.stage("reading"):
        grid = _grid(job, header, run)
        run.count_memory_from_here()
        method.check_room(grid, options, run, surface=job.surface is not None)
        field = _loaded(job, method, header, grid, options, run)
    result = method.look(field, grid, options, run, level=job.level)
    if job.surface:
        _write_surfaces(job.surface, field, result, job.level, run)
        peak = max(run.peak_memory.values())
        result = replace(result, notices=run.notices, peak_memory=peak, stage_memory=run.peak_memory)
    surface = job.surface is not None
    forecast = method.look_bytes(field.grid, grid, options, torch.device(result.device), surface=surface)
    return write_result(job, method, result, run, forecast)


def _grid(job: FieldJob, header: FieldHeader, run: Run) -> Grid:
    """Where the field is looked at: a region of the field of view of its image, or of another one."""
    source = header.source.grid()
    grid = read_image(job.like).grid if job.like else source
    grid = grid.with_spacing(job.spacing) if job.spacing else grid
    if not job.boxes:
        return grid
    (path,) = job.boxes
    boxes = read_boxes(path, source)
    if len(boxes) > 1:
        raise InputError(f'There are {len(boxes)} boxes in "{path}", but one region can be looked at; keep one.')
    inner, clipped = boxes[0].voxels(grid)
    if clipped:
        run.notice(clipped)
    return grid.crop(inner)


def _loaded(job: FieldJob, method: OssNet, header: FieldHeader, grid: Grid, options: Options, run: Run) -> Field:
    working = header.grid.grid()

    def cost(device: torch.device, _: int) -> int:
        return method.look_bytes(working, grid, options, device, surface=job.surface is not None)

    def work(device: torch.device, _: int) -> Field:
        return load_field(job.image, method.model, device)

    return with_fallback(run, [1], cost, work)


def _write_surfaces(path: Path, field: Field, result: Result, level: float | None, run: Run) -> None:
    files = label_files(path, result.labels)
    for label, file in zip(result.labels, files, strict=True):
        found = result.label_map
        surface = field.surface(label.value, found.grid, level=level, label_map=found, run=run)
        if len(surface.triangles):
            write_surface(file, surface)
        else:
            run.notice(f'Nothing of "{label.name}" was found, so that its surface was not written.')
