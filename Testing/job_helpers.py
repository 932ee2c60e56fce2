"""Requests that the worker does without a process, and an image for them."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np

from hrseg.prompts import RegionBox
from hrseg.worker.arrays import write_array
from hrseg.worker.jobs import Jobs
from hrseg.worker.messages import ImageFile, Request

#: Two bright squares in the dark, 1 x 32 x 48 voxels of 2 mm.
SQUARES = np.zeros((1, 1, 32, 48), np.float32)
SQUARES[0, 0, 4:12, 6:14] = 1
SQUARES[0, 0, 18:28, 30:40] = 1
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
LEFT = RegionBox(np.array([19.0, 15.0, 0.0]), np.array([20.0, 20.0, 2.0]), np.eye(3), "left")
#: In the squares.
LEFT_VOXELS, RIGHT_VOXELS = 64, 100


def squares_file(folder: Path) -> ImageFile:
    """The squares, as the client hands them over."""
    write_array(folder / "image1.npy", SQUARES)
    return ImageFile("a", str(folder / "image1.npy"), tuple(map(tuple, AFFINE.tolist())), "squares")


def do(jobs: Jobs, request: Request, stages: list[str] | None = None) -> Any:
    """The result of a request; ``stages`` gets the names of those that began."""

    def progress(stage: str, done: int, total: int) -> None:
        if stages is not None and done == 0:
            stages.append(stage)

    result = jobs.do(request, progress, threading.Event())
    # Nothing but JSON goes through the pipe.
    json.dumps(result, allow_nan=False)
    return result
