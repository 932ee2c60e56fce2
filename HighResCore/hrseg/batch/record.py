"""A record beside each result of a batch, which says what made it: by it a batch goes on where it was interrupted.

It is written before the work with ``"files": null`` and again when all files are there, so that a result without a full
record is not taken for a complete one, wherever the process was killed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import hrseg
from hrseg.batch.outcome import Numbers
from hrseg.image import replacing
from hrseg.model_file import file_sha256
from hrseg.segment_job import Job

FORMAT = 1
ENDING = ".record.json"

#: ``missing``: nothing is there. ``complete``: the result wanted. ``stale``: made by a batch, but with another model,
#: image or option, or not to the end. ``foreign``: not made by a batch, or changed since.
State = Literal["missing", "complete", "stale", "foreign"]


def made_by(job: Job, model_name: str, model_sha256: str) -> dict[str, Any]:
    """What a result depends on, ready for JSON. The device and the memory, which change no mask, are not in it."""
    return {
        "image": {"path": str(job.image), **_content(job.image)},
        "model": {"name": model_name, "sha256": model_sha256},
        "options": {
            "spacing": list(job.spacing) if job.spacing else None,
            "resolution": job.resolution,
            "guidance_center": list(job.guidance_center) if job.guidance_center else None,
            "propose": job.propose,
        },
    }


def record_path(job: Job) -> Path:
    """Where the record of a job lies: beside its label map."""
    return job.output.with_name(job.output.name + ENDING)


def look(job: Job, files: Sequence[Path], maker: dict[str, Any]) -> tuple[State, Numbers | None]:
    """What is there of a job's results, and the numbers of a complete one.

    Args:
        job: whose record is read.
        files: all that the job writes.
        maker: see :func:`made_by`.
    """
    there = [file for file in files if _exists(file)]
    if not there:
        return "missing", None
    record = _read(record_path(job))
    if record is None:
        return "foreign", None
    known = record["files"]
    if known is None:
        return "stale", None
    folder = job.output.parent
    changed = any(known.get(_name(file, folder)) != file.stat().st_size for file in there)
    if changed or (job.output in there and file_sha256(job.output) != record["sha256"]):
        return "foreign", None
    if len(there) < len(files) or record["made_by"] != maker:
        return "stale", None
    numbers = {**record["numbers"], "notices": tuple(record["numbers"]["notices"])}
    return "complete", Numbers(**numbers)


@contextmanager
def recorded(job: Job, files: Sequence[Path], maker: dict[str, Any]) -> Iterator[list[Numbers]]:
    """Around the work on a job, which appends its numbers to the list given.

    Earlier results of batches are removed first, so that they are not taken for results of this one should it fail.
    Where it fails nothing is left but the files that other programs have made.

    Raises:
        OutputError: the record cannot be written.
    """
    if look(job, files, maker)[0] != "foreign":
        _remove(files)
    # Files of the user, who allowed that they are replaced, stay until they are.
    others = [file for file in files if _exists(file)]
    record = {"format": FORMAT, "hrseg": hrseg.__version__, "made_by": maker}
    _write(job, {**record, "files": None})
    numbers: list[Numbers] = []
    try:
        yield numbers
        folder = job.output.parent
        (done,) = numbers
        written = {_name(file, folder): file.stat().st_size for file in files}
        _write(job, {**record, "files": written, "sha256": file_sha256(job.output), "numbers": asdict(done)})
    except BaseException:
        _remove([*(file for file in files if file not in others), record_path(job)])
        raise


def _content(image: Path) -> dict[str, int | None]:
    """Bytes and time of the last change of a file, or of all files in a folder; None where there is nothing."""
    try:
        files = [entry for entry in image.iterdir() if entry.is_file()] if image.is_dir() else [image]
        statuses = [file.stat() for file in files]
    except OSError:
        statuses = []
    if not statuses:
        return {"bytes": None, "modified": None}
    return {"bytes": sum(s.st_size for s in statuses), "modified": max(s.st_mtime_ns for s in statuses)}


def _read(path: Path) -> dict[str, Any] | None:
    """A record, None where there is none that can be used."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        return None
    files = record.get("files", False)
    if files is not None and not (isinstance(files, dict) and {"sha256", "numbers", "made_by"} <= record.keys()):
        return None
    return record


def _write(job: Job, record: dict[str, Any]) -> None:
    with replacing(record_path(job)) as temporary:
        temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        # Such as a name that is too long: writing will say so.
        return False


def _name(file: Path, folder: Path) -> str:
    return Path(os.path.relpath(file, folder)).as_posix()


def _remove(files: Sequence[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
