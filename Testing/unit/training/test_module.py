import pickle

import numpy as np
import pytest
import torch

from device_cases import NETWORKS, header
from hrseg.methods import method_class
from hrseg.training.module import Batches, Samples, SegmentationModule, dice
from hrseg.training.settings import TrainingSettings
from hrseg.training.task import Task, TrainingCase
from model_helpers import tiny_header


class Recorder(Task):
    """Samples say which case they come from, and what the random numbers were."""

    def __init__(self):
        self.settings = TrainingSettings(steps=1)

    def sample(self, case, rng):
        return {"case": torch.tensor(int(case.name)), "number": torch.tensor(rng.random_sample())}

    def loss(self, network, batch):
        raise NotImplementedError


def samples(count, seed=0):
    nothing = np.zeros((1, 1, 1, 1), dtype=np.float32)
    return Samples(Recorder(), [TrainingCase(str(n), nothing, nothing[0], (), {}) for n in range(count)], seed)


def test_every_case_has_its_turn_before_the_next_round():
    order = [int(samples(4)[n]["case"]) for n in range(12)]
    rounds = [order[:4], order[4:8], order[8:]]
    assert all(sorted(r) == [0, 1, 2, 3] for r in rounds)
    assert len({tuple(r) for r in rounds}) > 1


def test_a_sample_depends_on_its_number_and_the_seed_only():
    one, two = samples(4), samples(4)
    assert one[7] == two[7]
    assert one[7]["number"] != one[8]["number"]
    assert one[7]["number"] != samples(4, seed=1)[7]["number"]


def test_batches_go_on_where_the_run_was_interrupted():
    assert list(Batches(range(4, 7), 0, 2)) == [[8, 9], [10, 11], [12, 13]]
    resumed = Batches(range(4, 7), 2, 2)
    assert list(resumed) == [[12, 13]]
    assert len(resumed) == 3
    assert list(Batches(range(4, 7), 3, 2)) == []


def test_training_guards_the_convolutions_of_other_libraries():
    convolution = torch.nn.Conv3d(1, 1, 3, padding=1)
    nothing = np.zeros((1, 1, 1, 1), dtype=np.float32)
    SegmentationModule(convolution, Recorder(), [TrainingCase("0", nothing, nothing[0], (), {})], [], 0).on_fit_start()
    modes = [(convolution(torch.zeros(1, 1, depth, 4, 4)), convolution.padding_mode)[1] for depth in (2, 3)]
    assert modes == ["constant", "zeros"]


def test_devices_share_the_samples_of_a_step():
    ranks = [list(Batches(range(1, 3), 0, 2, rank, 2)) for rank in range(2)]
    assert ranks == [[[4, 6], [8, 10]], [[5, 7], [9, 11]]]


@pytest.mark.parametrize(
    ("found", "truth", "expected"),
    [([1, 1, 0, 0], [0, 1, 1, 1], 0.4), ([0] * 4, [0] * 4, 1), ([1, 0, 0, 0], [0] * 4, 0)],
)
def test_dice(found, truth, expected):
    assert dice(np.array(found, dtype=bool), np.array(truth, dtype=bool)) == pytest.approx(expected)


@pytest.mark.parametrize("method", NETWORKS)
def test_tasks_go_to_other_processes(method):
    """As workers get them where processes are spawned."""
    made = header(method, preprocessing=tiny_header().preprocessing.model_copy(update={"spacing": (1.0, 1.0, 1.0)}))
    settings = {"steps": 1}
    if method == "oss_net":
        settings |= {"patch": [16] * 3}
    if method == "pfseg":
        settings |= {"size": [32] * 3, "low_steps": 1, "least_size": [16] * 3, "batch_size": 1}
    for task in method_class(method).training_tasks(made, settings):
        assert type(pickle.loads(pickle.dumps(task))) is type(task)
