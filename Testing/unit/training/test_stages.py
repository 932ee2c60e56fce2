"""Training in several stages, one after the other."""

from dataclasses import replace

import pytest
import torch

from hrseg.errors import Cancelled, InputError
from hrseg.model_file import load_header, load_model
from hrseg.patch_based.method import PatchBased
from hrseg.patch_based.training import PatchTask
from loop_helpers import OPTIONS, At, Recorder, interrupt, run

pytestmark = pytest.mark.usefixtures("without_pictures")


class Second(PatchTask):
    """Goes on from the weights of the first stage, without the first case."""

    def begin(self, trained, cases):
        network, cases = super().begin(trained, cases)
        self.given = trained["first"]
        network.load_state_dict(self.given.state_dict())
        return network, cases[1:]


@pytest.fixture
def two_stages(monkeypatch):
    """Of 3 and 2 steps, validated after each second step and in the end."""
    begun = []

    def tasks(header, settings):
        first, second = PatchTask(header, {**settings, "steps": 3}), Second(header, {**settings, "steps": 2})
        first.name, second.name = "first", "second"
        begun[:] = [first, second]
        return begun

    monkeypatch.setattr(PatchBased, "training_tasks", staticmethod(tasks))
    return begun


def test_stages_follow_each_other(two_stages, data, tmp_path):
    recorder = Recorder()
    output = run(tmp_path, data, recorder)
    assert recorder.steps == [1, 2, 3, 1, 2]
    assert load_header(output).training.steps == 5
    folder = output.with_suffix(".training")
    assert sorted(path.name for path in folder.iterdir()) == ["first", "run.json", "second"]
    for stage, rows in (("first", 2), ("second", 1)):
        assert len((folder / stage / "metrics.csv").read_text().splitlines()) == 1 + rows
    # The second stage began with the best, averaged, weights of the first.
    best = torch.load(folder / "first" / "best.ckpt", weights_only=True)["state_dict"]
    given = two_stages[1].given
    assert not given.training
    assert all(torch.equal(best[f"network.{key}"], value) for key, value in given.state_dict().items())
    # The model is the second stage's.
    best = torch.load(folder / "second" / "best.ckpt", weights_only=True)["state_dict"]
    for key, value in load_model(output).network.state_dict().items():
        torch.testing.assert_close(value, best[f"network.{key}"], atol=1e-3, rtol=1e-3)


class Later(At):
    """Counts the steps of all stages."""

    def __init__(self, step):
        super().__init__(step, interrupt)
        self.count = 0

    def on_train_batch_end(self, trainer, module, *args):
        self.count += 1
        if self.count == self.step:
            self.action()


@pytest.mark.parametrize(("stop", "left"), [(3, 3), (4, 2)], ids=["in the first stage", "in the second"])
def test_a_run_of_stages_interrupted_and_resumed(two_stages, data, tmp_path, stop, left):
    output = run(tmp_path, data, name="b")
    with pytest.raises(Cancelled, match=r"the same command with --resume goes on .* kept in .*a\.training\"\.$"):
        run(tmp_path, data, Later(stop))
    with pytest.raises(InputError, match="use --resume to go on with it"):
        run(tmp_path, data)
    recorder = Recorder()
    assert run(tmp_path, data, recorder, options=replace(OPTIONS, resume=True)).read_bytes() == output.read_bytes()
    assert len(recorder.steps) == left


def test_the_time_is_shared_among_the_stages(two_stages, data, tmp_path):
    recorder = Recorder()
    output = run(tmp_path, data, recorder, options=replace(OPTIONS, max_minutes=1e-6))
    assert recorder.steps == [1, 1]
    assert load_header(output).training.steps == 2
