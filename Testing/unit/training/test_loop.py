import shutil
import signal
from dataclasses import replace

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from hrseg.errors import Cancelled, InputError, OutputError
from hrseg.model_file import load_header, load_model
from hrseg.training import history, module
from hrseg.training.loop import train
from loop_helpers import OPTIONS, STEPS, At, Recorder, checkpoint, interrupt, recipe, run

pytestmark = pytest.mark.usefixtures("without_pictures")


def rows(output):
    with (output.with_suffix(".training") / "metrics.csv").open() as file:
        names, *lines = (line.strip().split(",") for line in file)
    return [dict(zip(names, map(float, line), strict=True)) for line in lines]


def assert_equal_runs(one, two):
    a, b = checkpoint(one), checkpoint(two)
    assert a["global_step"] == b["global_step"] == STEPS
    for part in ("current_model_state", "state_dict"):
        assert a[part].keys() == b[part].keys()
        assert all(torch.equal(a[part][key], b[part][key]) for key in a[part])
    assert a["lr_schedulers"] == b["lr_schedulers"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, data):
    recorder = Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "draw_curves", lambda *args: None)
        return run(tmp_path_factory.mktemp("run"), data, recorder), recorder


def test_the_model_says_how_it_was_made(uninterrupted):
    header = load_header(uninterrupted[0])
    assert header.training.model_dump() == {
        "data": [{"name": "balls", "licence": "CC0", "citation": ""}],
        "split": {"training": 3, "validation": 1, "test": 2},
        "profile": "cpu",
        "seed": 0,
        "steps": STEPS,
        "command": "hrseg train ...",
        "metrics": {"validation": {"dice": round(max(row["val_dice"] for row in rows(uninterrupted[0])), 4)}},
        "extent": (20.0, 20.0, 20.0),
    }


def test_losses_are_means_and_the_last_steps_are_validated(uninterrupted):
    output, recorder = uninterrupted
    measured = rows(output)
    assert [row["step"] for row in measured] == [2, 4, 5]
    steps = recorder.losses
    means = [sum(steps[:2]) / 2, sum(steps[2:4]) / 2, steps[4]]
    assert [row["train_loss"] for row in measured] == pytest.approx(means, rel=1e-5)
    for row in measured:
        assert row["train_loss"] == pytest.approx((row["train_dice_loss"] + row["train_cross_entropy"]) / 2, rel=1e-5)
        assert row["val_dice"] == pytest.approx((row["val_dice_ball"] + row["val_dice_cube"]) / 2, rel=1e-5)


def test_the_model_has_the_best_averaged_weights(uninterrupted):
    output = uninterrupted[0]
    best = max(rows(output), key=lambda row: row["val_dice"])
    state = checkpoint(output, "best")
    assert state["global_step"] == best["step"]
    network = load_model(output).network.state_dict()
    for key, value in network.items():
        torch.testing.assert_close(value, state["state_dict"][f"network.{key}"], atol=1e-3, rtol=1e-3)
    assert any(not torch.equal(state["state_dict"][k], v) for k, v in state["current_model_state"].items())


def test_equal_seeds_give_equal_weights(uninterrupted, data, tmp_path):
    output = run(tmp_path, data)
    assert_equal_runs(uninterrupted[0], output)
    assert all(
        map(torch.equal, *(load_model(path).network.state_dict().values() for path in (output, uninterrupted[0])))
    )


@pytest.mark.parametrize(("stop", "kept"), [(3, 2), (4, 2)])
def test_a_run_interrupted_and_resumed_ends_like_one_that_was_not(uninterrupted, data, tmp_path, stop, kept):
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Cancelled, match=r"^Interrupted; the same command with --resume goes on from the last"):
        run(tmp_path, data, At(stop, interrupt))
    assert signal.getsignal(signal.SIGINT) is handler
    assert not (tmp_path / "a.safetensors").exists()
    recorder = Recorder()
    output = run(tmp_path, data, recorder, options=replace(OPTIONS, resume=True))
    assert recorder.steps == list(range(kept + 1, STEPS + 1))
    assert recorder.sums == uninterrupted[1].sums[kept:]
    assert_equal_runs(uninterrupted[0], output)
    assert [row["step"] for row in rows(output)] == [2, 4, 5]
    assert output.read_bytes() == uninterrupted[0].read_bytes()


def test_interrupted_before_the_first_validation(data, tmp_path):
    with pytest.raises(Cancelled, match="no validation yet, so nothing was kept; run the same command again"):
        run(tmp_path, data, At(1, interrupt))
    with pytest.raises(InputError, match="run without --resume"):
        run(tmp_path, data, options=replace(OPTIONS, resume=True))
    assert run(tmp_path, data, steps=1).exists()


def test_when_time_is_up_there_is_a_model_and_the_rest_can_follow(uninterrupted, data, tmp_path):
    output = run(tmp_path, data, options=replace(OPTIONS, max_minutes=1e-6))
    assert load_header(output).training.steps == 1
    assert [row["step"] for row in rows(output)] == [1]
    recorder = Recorder()
    # The time of the first part does not count: one more step is made.
    run(tmp_path, data, recorder, options=replace(OPTIONS, resume=True, max_minutes=1e-6))
    assert recorder.steps == [2]
    output = run(tmp_path, data, recorder, options=replace(OPTIONS, resume=True))
    assert recorder.sums == uninterrupted[1].sums[1:]
    assert_equal_runs(uninterrupted[0], output)
    assert load_header(output).training.steps == STEPS


def test_a_finished_run_is_not_overwritten_but_its_model_can_be_written_again(uninterrupted, data, tmp_path):
    output = tmp_path / uninterrupted[0].name
    shutil.copytree(uninterrupted[0].with_suffix(".training"), output.with_suffix(".training"))
    with pytest.raises(InputError, match="holds an earlier run; use --resume"):
        run(tmp_path, data)
    run(tmp_path, data, options=replace(OPTIONS, resume=True))
    assert output.read_bytes() == uninterrupted[0].read_bytes()


def test_a_loss_that_is_no_number_stops_the_run(data, tmp_path):
    def spoil(trainer, module):
        next(module.network.parameters()).data.fill_(float("nan"))

    with pytest.raises(InputError, match=r"The loss is nan after step 2; lower the recipe's learning_rate"):
        run(tmp_path, data, At(1, spoil), average=0)
    assert not (tmp_path / "a.safetensors").exists()


def test_mixed_precision_without_averaging(data, tmp_path):
    output = run(tmp_path, data, steps=1, precision="bf16-mixed", average=0)
    assert {value.dtype for value in checkpoint(output)["state_dict"].values()} == {torch.float32}


def test_what_cannot_be_written_is_found_out_first(data, tmp_path):
    with pytest.raises(OutputError, match="there is no folder"):
        run(tmp_path / "none", data)
    with pytest.raises(InputError, match=r'"a.pt" must end in .safetensors'):
        train(recipe(), data, tmp_path / "a.pt", OPTIONS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"strategy": "magic"}, {"accelerator": "gpu", "devices": 8}, {"devices": 0}])
def test_options_that_lightning_does_not_take(data, tmp_path, wrong):
    with pytest.raises(InputError, match="Training cannot run in this way: ") as error:
        run(tmp_path, data, options=replace(OPTIONS, **wrong))
    assert "\n" not in str(error.value)


def test_the_last_checkpoint_is_that_of_the_last_validation(data, tmp_path, monkeypatch):
    """Also where it was not better."""
    scores = iter([0.9, 0.5, 0.4])
    monkeypatch.setattr(module, "dice", lambda *args: score[0])
    score = [0.9]

    class Worse(Callback):
        def on_validation_start(self, *args):
            score[0] = next(scores)

    output = run(tmp_path, data, Worse())
    assert checkpoint(output, "best")["global_step"] == 2
    assert checkpoint(output)["global_step"] == STEPS
    recorder = Recorder()
    run(tmp_path, data, recorder, options=replace(OPTIONS, resume=True))
    assert recorder.steps == []
