"""Chunks of crops: what is told of them, cancelling, and the memory that they need."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from Testing.cascade_helpers import FIVE, Above, Hungry, cascade, drawn, found, header, image, segment
from torch import Tensor

import hrseg
from hrseg.crop_cascade.method import CropCascade
from hrseg.crop_cascade.network import MONAI_NETWORKS
from hrseg.errors import Cancelled, InputError
from hrseg.methods import Options, method_of
from hrseg.model_file import Model
from hrseg.runtime import CPU, Run


def test_batches_make_no_difference() -> None:
    results, batches = [], []
    for batch in (1, 2, 16):
        fine = Above(0.5)
        results.append(found(segment(cascade(fine=fine, batch=batch), FIVE)))
        batches.append([shape[0] for shape in fine.seen])
    assert batches == [[1] * 5, [2, 2, 1], [5]]
    assert all(np.array_equal(labels, FIVE // 100) for labels in results)


def test_cancel_between_batches() -> None:
    cancel = threading.Event()
    told: list[tuple[str, int, int]] = []

    def progress(*step: Any) -> None:
        told.append(step)
        if step[:2] == ("crops", 2):
            cancel.set()

    with pytest.raises(Cancelled):
        segment(cascade(batch=2), FIVE, run=Run(progress=progress, cancel=cancel))
    assert [step for step in told if step[0] == "crops"] == [("crops", 0, 5), ("crops", 2, 5)]
    assert "joining" not in [step[0] for step in told]


def test_records() -> None:
    run = Run()
    result = segment(cascade(), FIVE, run=run)
    assert list(result.seconds) == ["preparing", "coarse", "boxes", "crops", "joining", "total"]
    assert result.device == "cpu"
    assert result.peak_memory == max(result.stage_memory.values())


def test_smaller_batches_where_memory_runs_out() -> None:
    fine = Hungry(0.5)
    result = segment(cascade(fine=fine), FIVE)
    assert [shape[0] for shape in fine.seen] == [2, 2, 1]
    assert result.notices == ["The memory of cpu does not suffice for large chunks; using smaller ones."]
    assert np.array_equal(found(result), FIVE // 100)


def test_smaller_batches_where_the_budget_is_small() -> None:
    method = cascade(size=[256, 256])
    array = image(FIVE)
    one, all_five = (method._fine_bytes(array, Options(), CPU, batch, 5) for batch in (1, 5))
    assert one < all_five
    run = Run(memory_budget=one + 4 * FIVE.size)
    result = method.segment(array, Options(), run)
    assert result.notices == ["The memory of cpu does not suffice for large chunks; using smaller ones."]


def test_failed_crops_count_once_though_memory_ran_out_after_them() -> None:
    class Both(Above):
        """Two crops are too many, but for the first batch, which fails in another way."""

        def forward(self, x: Tensor) -> Tensor:
            if self.seen and len(x) > 1:
                raise torch.OutOfMemoryError("out of memory")
            logits = super().forward(x)
            logits[x.flatten(1).amax(1) > 0.95] = float("nan")
            return logits

    array = FIVE * np.uint8(1)
    array[FIVE > 0] = 80
    array[:, 140:150, 140:150] = 100
    result = segment(cascade(fine=Both(0.5), batch=2), array)
    assert [notice for notice in result.notices if "failed in 1 crop" in notice]


def test_forecast() -> None:
    array = image(FIVE)
    one, four = (cascade(size=[256, 256], batch=batch).forecast(array, Options(), CPU) for batch in (1, 4))
    assert 0 < one < four
    box = drawn(FIVE, (0, 2, 2), (1, 20, 20))
    alone = cascade(size=[256, 256]).forecast(array, Options(boxes=(box,), propose=False), CPU)
    assert 0 < alone < four
    plain, kept = (cascade().forecast(array, Options(keep_probability=keep), CPU) for keep in (False, True))
    assert kept - plain == 4 * FIVE.size
    cuda = torch.device("cuda")
    assert 0 < cascade(batch=1).forecast(array, Options(), cuda) < cascade(batch=4).forecast(array, Options(), cuda)
    with pytest.raises(InputError, match="is for 3D volumes"):
        cascade(dimension=3).forecast(array, Options(), CPU)


FORECAST = """
import numpy as np, torch
from cascade_helpers import Above, cascade, header, image
from hrseg.crop_cascade.method import CropCascade
from hrseg.methods import Options
from hrseg.runtime import Run
torch.set_num_threads(1)
class Real(Above):
    def __init__(self, level):
        super().__init__(level)
        self.network = CropCascade.build(header(size=[128, 128])).fine.eval()
    def forward(self, x):
        self.network(x)
        return super().forward(x)
j, i = (np.arange(1500) % 28 - 14)[:, None], np.arange(1500) % 28 - 14
discs = image(100 * (j**2 + i**2 < 15**2)[None].astype(np.uint8))
method, run = cascade(Real(0.1), Real(0.5), size=[128, 128], split=1.0, shrink=3.0), Run()
options = Options(instances=True)
# First, as what is forecast includes the code that is loaded then.
result = method.segment(discs, options, run)
print(len(result.boxes), method.forecast(discs, options, run.device) / result.peak_memory)
"""


def test_forecast_is_near_what_telling_touching_objects_apart_needs() -> None:
    testing = Path(__file__).parents[2]
    environment = {"PYTHONPATH": f"{Path(hrseg.__file__).parents[1]}:{testing}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", FORECAST], env=environment, capture_output=True, text=True, check=True)
    objects, share = done.stdout.split()
    assert int(objects) > 2500
    assert 0.9 <= float(share) <= 1.5


@pytest.mark.parametrize("kind", ["unet", *MONAI_NETWORKS])
def test_every_network_can_be_forecast_and_run(kind: str) -> None:
    head = header().model_copy(update={"network": {"coarse": {"kind": kind}, "fine": {"width": 2}}})
    method = method_of(Model(head, CropCascade.build(head).eval()))
    assert method.forecast(image(FIVE), Options(), CPU) > 0
    assert method.segment(image(FIVE), Options(), Run()).label_map.array.shape == FIVE.shape
