from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hrseg.batch import fit as module
from hrseg.batch.fit import Fit, fit
from hrseg.errors import InputError
from hrseg.geometry import Grid
from hrseg.image import write_image
from hrseg.memory import GIB, MIB
from hrseg.methods import Options
from hrseg.runtime import CPU

GPU = torch.device("cuda")


class Forecaster:
    """Says that each image needs a number of bytes, by its name."""

    def __init__(self, **needs):
        self.needs = needs
        self.asked = []

    def forecast(self, image, options, device):
        self.asked.append(image.name)
        need = self.needs[image.name]
        if need is None:
            raise InputError("It cannot be segmented.")
        return need


@pytest.fixture
def images(tmp_path):
    """A small one, a large one that is compressed well, and one that is none."""
    write_image(tmp_path / "small.nii", np.random.default_rng(0).random((10, 10, 10)), Grid.from_spacing((10, 10, 10)))
    write_image(tmp_path / "large.nii.gz", np.zeros((20, 20, 20), np.uint8), Grid.from_spacing((20, 20, 20)))
    (tmp_path / "none.nii").write_text("no image")
    return [tmp_path / name for name in ("small.nii", "large.nii.gz", "none.nii")]


@pytest.fixture
def machine(monkeypatch):
    """16 GiB, 8 threads, a GPU with 4 GiB, and processes that hold 1 GiB before they begin."""
    memory = SimpleNamespace(cpu=16 * GIB, gpu=4 * GIB)
    monkeypatch.setattr(module.memory, "available", lambda device: memory.cpu if device.type == "cpu" else memory.gpu)
    monkeypatch.setattr(module.memory, "resident", lambda: GIB)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    return memory


def spread(jobs, images, method, device=CPU, budget=None):
    return fit(jobs, images * 4, method, Options(), device, budget)


def test_the_largest_image_decides(images, machine):
    method = Forecaster(large=3 * GIB, small=0)
    fitted = spread(2, images, method)
    assert method.asked == ["large"]
    # 16 GiB for two: 8 each, of which 1 and the image are taken.
    assert fitted == Fit(2, 7 * GIB - 8000, 4)


def test_too_many_are_fewer_with_a_notice(images, machine):
    fitted = spread(8, images, Forecaster(large=3 * GIB))
    # 16 GiB / 4 = 4, which the image makes a little too small for 1 + 3; three fit.
    assert (fitted.jobs, fitted.threads) == (3, 2)
    assert fitted.notice == "8 processes of about 4.0 GiB do not fit into the memory; running 3 at a time."
    assert spread(0, images, Forecaster(large=3 * GIB)) == Fit(3, fitted.memory_budget, 2)


def test_as_many_as_there_are_threads_or_images(images, machine):
    method = Forecaster(large=MIB)
    assert spread(0, images, method).jobs == 8
    assert fit(0, images, method, Options(), CPU, None).jobs == 3
    assert fit(5, images, method, Options(), CPU, None).notice == ""
    assert spread(12, images, method).threads == 1


def test_one_is_always_tried(images, machine):
    """In smaller chunks than the forecast has, it may fit."""
    fitted = spread(4, images, Forecaster(large=99 * GIB), budget=2 * GIB)
    assert fitted == Fit(
        1, 2 * GIB, 8, "4 processes of about 100.0 GiB do not fit into the memory; running 1 at a time."
    )


def test_one_process_needs_no_forecast(images, machine):
    assert spread(1, images, None, budget=5) == Fit(1, 5)
    assert fit(0, images[:1], None, Options(), CPU, None) == Fit(1)
    assert fit(0, [], None, Options(), CPU, None) == Fit(1)


def test_a_budget_is_for_all_together(images, machine):
    method = Forecaster(large=2 * GIB)
    assert spread(2, images, method, budget=5 * GIB).memory_budget == 2.5 * GIB
    assert spread(3, images, method, budget=5 * GIB).jobs == 2


def test_images_that_cannot_be_looked_at(images, machine):
    assert spread(2, images, Forecaster(large=None, small=None)).jobs == 2
    machine.cpu = GIB
    assert spread(2, images[2:], None).jobs == 1


def test_on_a_gpu(images, machine):
    method = Forecaster(large=1 * GIB)
    fitted = spread(0, images, method, GPU)
    assert fitted == Fit(2, 2 * GIB - 600 * MIB, 4)
    assert spread(4, images, method, GPU).jobs == 2
    machine.cpu = GIB
    assert spread(2, images, method, GPU).jobs == 1


def test_the_size_of_a_series(tmp_path):
    (tmp_path / "a").write_bytes(bytes(300))
    (tmp_path / "b").write_bytes(bytes(300))
    assert module._size(tmp_path) == 300
    assert module._size(tmp_path / "none") == 0
