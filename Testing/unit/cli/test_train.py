import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.image import imread

from hrseg.model_file import load_header, load_model
from training_helpers import write_case, write_data, write_model, write_recipe


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path)


def arguments(folder, *more, **training):
    recipe = write_recipe(folder, **training)
    return ["train", recipe, "--data", folder / "list.json", "-o", folder / "m.safetensors", "--profile", "cpu", *more]


def test_training_and_resuming(hrseg, tmp_path, data):
    command = arguments(tmp_path, "--device", "cpu", "--workers", 0, "--seed", 5, steps=3, validation_every=2)
    done = hrseg(*command)
    assert (done.code, done.out) == (0, "")
    first, second, last = done.err.splitlines()
    assert first.startswith("step 2: loss ")
    assert second.startswith("step 3: loss ")
    assert last.startswith(f'Model written to "{tmp_path}/m.safetensors" (validation Dice 0.')
    training = load_header(tmp_path / "m.safetensors").training
    assert (training.profile, training.seed, training.steps) == ("cpu", 5, 3)
    assert training.command.startswith("hrseg train ")
    folder = tmp_path / "m.training"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("best.ckpt", "curves.png", "last.ckpt", "metrics.csv", "run.json")
    ]
    assert imread(folder / "curves.png").std() > 0.05
    assert "holds an earlier run; use --resume" in hrseg(*command).error
    assert "seed was 5, now 0" in hrseg(*arguments(tmp_path, "--resume", steps=3)).error
    assert hrseg(*command, "--resume").code == 0


def test_fine_tuning(hrseg, tmp_path, data):
    start = write_model(
        tmp_path / "earlier.safetensors", name="earlier", training={"data": [{"name": "a", "licence": "b"}]}
    )
    options = ("--device", "cpu", "--workers", 0)
    done = hrseg(*arguments(tmp_path, *options, "--start-from", start))
    assert done.code == 0
    assert done.err.startswith('Training begins with 19 of 19 tensors from "earlier".\n')
    training = load_header(tmp_path / "m.safetensors").training
    assert [source.name for source in training.data] == ["a", "balls"]
    assert f"--start-from {start}" in training.command
    assert "start_from was earlier, now None" in hrseg(*arguments(tmp_path, *options, "--resume")).error
    assert hrseg(*arguments(tmp_path, *options, "--resume", "--start-from", start)).code == 0


def test_when_time_is_up_there_is_a_model(hrseg, tmp_path, data):
    done = hrseg(*arguments(tmp_path, "--max-minutes", 0.01, "--workers", 0, steps=1_000_000, validation_every=100_000))
    assert done.code == 0
    assert load_model(tmp_path / "m.safetensors").header.training.steps < 1_000_000


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--profile", "gpu"], 'has no profile "gpu"; it has cpu, full'),
        (["--resume"], "no checkpoint"),
        (["--devices", "two"], 'The devices "two" must be a number'),
        (["--device", "abacus"], 'There is no device "abacus"'),
        (["-o", "m.pt"], 'The model name "m.pt" must end in .safetensors'),
        (["--start-from", "nobody"], 'There is no model "nobody"'),
        (["--data", "none.json"], 'Cannot read the data list "none.json"'),
    ],
)
def test_wrong_options(hrseg, tmp_path, data, more, message):
    done = hrseg(*arguments(tmp_path, *more))
    assert done.code == 2
    assert message in done.error


def test_bad_rows_are_listed_after_one_line(hrseg, tmp_path):
    row = write_case(tmp_path, "a", 0)
    write_data(tmp_path, validation=[row, {"image": "[none].nii", "label": "a.nii"}], test=[row])
    done = hrseg(*arguments(tmp_path))
    assert done.code == 2
    assert done.err.splitlines() == [
        f'Error: The data list "{tmp_path}/list.json" cannot be used; mend these rows:',
        f'  - validation row 2: there is no file "{tmp_path}/[none].nii"',
        f'  - the image "{tmp_path}/a.nii" stands in 2 rows',
    ]


def test_ctrl_c_keeps_the_checkpoint(tmp_path, data):
    """With a worker process, which gets the signal, too."""
    command = arguments(tmp_path, "--workers", 1, "--device", "cpu", steps=1_000_000)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "HighResCore")}
    process = subprocess.Popen(
        [sys.executable, "-m", "hrseg", *map(str, command)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    # The line of the second validation comes after the first one's checkpoint.
    assert [process.stderr.readline().split(":")[0] for _ in range(2)] == ["step 2", "step 4"]
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    lines = err.splitlines()
    assert all(line.startswith("step ") for line in lines[:-1])
    assert lines[-1] == (
        "Error: Interrupted; the same command with --resume goes on from the last validation, "
        f'kept in "{tmp_path}/m.training".'
    )
    assert (tmp_path / "m.training" / "last.ckpt").exists()
    assert not (tmp_path / "m.safetensors").exists()
