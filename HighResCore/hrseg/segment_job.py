"""One image to be segmented: which files are read and written, checked before any work is done."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hrseg.errors import InputError
from hrseg.image import (
    IMAGE_SUFFIXES,
    VOLUME_SUFFIXES,
    check_folder,
    check_writable_suffix,
    file_stem,
    make_folder,
)
from hrseg.json_file import read_json
from hrseg.labels import Label
from hrseg.pictures import is_picture
from hrseg.segmentation_file import SEGMENTATION_SUFFIX, check_output_name, check_segment_names

if TYPE_CHECKING:
    from hrseg.methods import Method

#: What is written, by :class:`Job`'s fields: how the files are called after an image, in folders.
_ENDINGS = {
    "output": ".nii.gz",
    "report": ".json",
    "probability": "-probability.nii.gz",
    "save_boxes": "-boxes.mrk.json",
    "instances": "-instances.nii.gz",
    "save_field": ".field.safetensors",
    "super_resolved": "-super-resolved.nii.gz",
}


@dataclass(frozen=True)
class Job:
    """One image and what is written about it.

    Attributes:
        image: file, or folder with a DICOM series.
        output: label map or segmentation.
        report: JSON.
        probability: image; where there are several labels, their names go into the files' names.
        boxes: files to read; what lies in their boxes is segmented.
        propose: with ``boxes``, segment what the model finds by itself, too.
        save_boxes: markups (JSON) around the objects that were segmented.
        instances: 16-bit image; n where an object belongs to the n-th of these boxes.
        save_field: the field that the label map was read from.
        spacing: of the label map in mm, (k, j, i); None: the image's own grid.
        super_resolved: image made sharper, on the grid of the finest resolution that the model knows.
        resolution, guidance_center: as in :class:`Options`.
        ending: of label maps in folders.
    """

    image: Path
    output: Path
    report: Path | None = None
    probability: Path | None = None
    boxes: tuple[Path, ...] = ()
    propose: bool = False
    save_boxes: Path | None = None
    instances: Path | None = None
    save_field: Path | None = None
    spacing: tuple[float, float, float] | None = None
    super_resolved: Path | None = None
    resolution: Literal["input", "fine"] = "input"
    guidance_center: tuple[float, float, float] | None = None
    ending: str = _ENDINGS["output"]

    @property
    def inputs(self) -> list[Path]:
        """All files that are read."""
        return [self.image, *self.boxes]

    @property
    def outputs(self) -> list[Path]:
        """All files that are written."""
        return [path for name in _ENDINGS if (path := getattr(self, name))]

    def files(self, labels: Sequence[Label]) -> list[Path]:
        """All files that are there in the end, by a model with these labels: one per label with probabilities."""
        others = [path for path in self.outputs if path != self.probability]
        return [*others, *(label_files(self.probability, labels) if self.probability else [])]

    def make_folders(self) -> None:
        """Makes the folders that the outputs are to be, if missing.

        Raises:
            InputError: an output is named like a file.
            OutputError: a folder cannot be made.
        """
        for folder in self.outputs:
            if folder.name.lower().endswith((".json", _ENDINGS["save_field"], *IMAGE_SUFFIXES)):
                raise InputError(f'With several images "{folder}" must be a folder; leave the ending away.')
            make_folder(folder)

    def in_folders(self, image: Path, name: str) -> Job:
        """The same for an image of that name, where the outputs are folders; ``name`` may have folders in front."""
        endings = {**_ENDINGS, "output": self.ending}
        files = {key: folder / f"{name}{end}" for key, end in endings.items() if (folder := getattr(self, key))}
        return replace(self, image=image, **files)

    def check(self) -> None:
        """Finds out before any work is done what can go wrong.

        Raises:
            InputError: no such image, a boxes file that is not JSON, or a name with an ending that cannot be written.
            OutputError: a folder that cannot be written.
        """
        if not self.image.exists():
            raise InputError(f'There is no file "{self.image}"; check the path.')
        for path in self.boxes:
            read_json(path, "boxes file")
        check_output_name(self.output)
        for image in filter(None, (self.probability, self.instances, self.super_resolved)):
            check_writable_suffix(image)
        if self.save_boxes and not self.save_boxes.name.lower().endswith(".json"):
            raise InputError(f'Cannot write boxes to "{self.save_boxes.name}": the name must end in .mrk.json.')
        if self.save_field and not self.save_field.name.endswith(_ENDINGS["save_field"]):
            raise InputError(f'The field name "{self.save_field.name}" must end in {_ENDINGS["save_field"]}.')
        for path in self.outputs:
            check_folder(path)

    def check_method(self, method: Method) -> None:
        """Raises InputError when something is wanted of a method that knows no such thing, or that no picture holds."""
        self._check_pictures(method)
        if SEGMENTATION_SUFFIX in (self.ending, self.output.name[-len(SEGMENTATION_SUFFIX) :].lower()):
            check_segment_names(method.model.header.labels)
        if (self.spacing or self.save_field) and not method.any_spacing:
            raise InputError(
                f'The method "{method.name}" of the model "{method.model.header.name}" makes label maps on the '
                "image's grid alone; use an OSS-Net model for another spacing or a field."
            )
        if not method.takes_boxes and (self.boxes or self.propose or self.save_boxes or self.instances):
            raise InputError(
                f'The method "{method.name}" of the model "{method.model.header.name}" takes no boxes; '
                "use a crop cascade model."
            )
        if self.resolution == "fine" and method.any_spacing:
            raise InputError(
                f'The model "{method.model.header.name}" ({method.name}) makes label maps of any spacing; '
                'give the one that you want instead of the resolution "fine".'
            )
        if (self.resolution == "fine" or self.super_resolved) and not method.makes_finer:
            raise InputError(
                f'The model "{method.model.header.name}" ({method.name}) makes neither finer masks nor sharper images; '
                "use a PFSeg or SASR-Net model."
            )
        if self.guidance_center and not method.takes_guidance:
            raise InputError(
                f'The method "{method.name}" of the model "{method.model.header.name}" uses no guidance crop; '
                "use a PFSeg model, or leave the guidance center out."
            )

    def _check_pictures(self, method: Method) -> None:
        header = method.model.header
        wanted = [self.output, self.instances, self.super_resolved, Path(f"IMAGE{self.ending}")]
        pictures = [path.name for path in wanted if path and is_picture(path)]
        if pictures and header.dimension == 3:
            raise InputError(
                f'The model "{header.name}" makes volumes, which the picture "{pictures[0]}" cannot hold; '
                f"choose a name that ends in one of {', '.join(VOLUME_SUFFIXES)}."
            )
        if self.probability and is_picture(self.probability):
            raise InputError(
                f'The picture "{self.probability.name}" holds whole numbers, not probabilities; '
                f"choose a name that ends in one of {', '.join(VOLUME_SUFFIXES)}."
            )


def plan_job(job: Job) -> Job:
    """The job checked. Where its output is a folder, all outputs are, and the files there are named after the image.

    Folders that are missing are made.

    Raises:
        InputError: as :meth:`Job.check`; a file would be written twice, or over an input.
        OutputError: a folder that cannot be made or written.
    """
    if job.output.is_dir():
        job.make_folders()
        job = job.in_folders(job.image, file_stem(job.image.resolve()))
    check_distinct([job])
    job.check()
    return job


def check_distinct(jobs: Sequence[Job], labels: Sequence[Label] | None = None) -> None:
    """Raises InputError where a file would be written twice, or over an input of any of the jobs.

    ``labels`` are those of the model, where it is known already; files of single labels are called after them.
    """
    read = {path.resolve() for job in jobs for path in job.inputs}
    files = [path for job in jobs for path in (job.outputs if labels is None else job.files(labels))]
    written = Counter(path.resolve() for path in files)
    for path in files:
        if written[path.resolve()] > 1:
            raise InputError(f'"{path}" would be written more than once; give images and outputs different names.')
        if path.resolve() in read:
            raise InputError(f'"{path}" is one of the inputs; choose another name or folder for the result.')


def label_files(path: Path, labels: Sequence[Label]) -> list[Path]:
    """Where something of each label is written: ``p-spinal-cord.nii.gz``; ``path`` itself where there is but one."""
    if len(labels) == 1:
        return [path]
    stem = file_stem(path)
    stem = path.stem if stem == path.name else stem
    ending = path.name.removeprefix(stem)
    words = [re.sub(r"\W+", "-", label.name) for label in labels]
    return [path.with_name(f"{stem}-{word}{ending}") for word in words]
