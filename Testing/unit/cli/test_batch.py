import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from distributed import LocalCluster

from batch_helpers import do_or_die, write_scan
from hrseg.image import read_label_map
from training_helpers import write_model

CORE = Path(__file__).parents[3] / "HighResCore"


@pytest.fixture
def scans(tmp_path):
    """Three images, two of them of one name."""
    for seed, name in enumerate(("p1/ct.nii.gz", "p2/ct.nii.gz", "x.mha")):
        write_scan(tmp_path / "scans" / name, seed)
    return tmp_path / "scans"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def _in_this_process(monkeypatch):
    """Where it does not matter which process does the work."""
    monkeypatch.setattr("hrseg.batch.local.segment_here", lambda tasks, work, *_: (work(task) for task in tasks))


def cases_of(out):
    return {row["case"]: row for row in json.loads((out / "summary.json").read_text())["cases"]}


def results(out):
    return {case: row["result"] for case, row in cases_of(out).items()}


def check_equal_to_single_runs(hrseg, model, out):
    for row in cases_of(out).values():
        single = out.with_name("single.nii.gz")
        assert hrseg("segment", row["image"], "--model", model, "-o", single).code == 0
        assert (read_label_map(single).array == read_label_map(row["output"]).array).all()


@pytest.mark.usefixtures("_in_this_process")
def test_a_folder_with_an_error_then_mended(hrseg, model, scans, out):
    (scans / "broken.nii").write_text("no image")
    command = ("segment", scans, "--model", model, "-o", out, "--report", out / "reports")
    done = hrseg(*command)
    assert done.code == 5
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.nii.gz")) == [
        *("p1/ct.nii.gz", "p2/ct.nii.gz", "x.nii.gz")
    ]
    assert json.loads((out / "reports" / "p2" / "ct.json").read_text())["image"] == str(scans / "p2" / "ct.nii.gz")
    lines = done.err.splitlines()
    assert [line[:5] for line in lines] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
    assert lines[0].startswith("[1/4] broken: failed: Cannot read")
    assert "left" in lines[2]
    assert "left" not in lines[3]
    assert "3 done, 1 failed; summary: " in done.out
    assert "│ p1/ct " in done.out
    broken = cases_of(out)["broken"]
    assert (broken["exit_code"], broken["result"]) == (2, "failed")

    write_scan(scans / "broken.nii", 3)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}
    done = hrseg(*command)
    assert done.code == 0
    assert done.err.startswith("3 of 4 are complete already; they are skipped.\n[4/4] broken: done, ")
    assert results(out) == {"broken": "done", "x": "skipped", "p1/ct": "skipped", "p2/ct": "skipped"}
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert cases_of(out)["x"]["seconds"] > 0


@pytest.mark.usefixtures("_in_this_process")
def test_results_of_another_model_are_not_taken(hrseg, model, scans, out, tmp_path):
    one = scans / "x.mha"
    listed = scans / "list.txt"
    listed.write_text("x.mha\n")
    assert hrseg("segment", listed, "--model", model, "-o", out).code == 0
    assert results(out) == {"x": "done"}
    other = write_model(tmp_path / "other.safetensors", name="other")
    assert hrseg("segment", listed, "--model", other, "-o", out).code == 0
    assert results(out) == {"x": "done"}
    (out / "x.nii.gz").write_text("drawn by hand")
    done = hrseg("segment", listed, "--model", other, "-o", out)
    assert done.code == 5
    assert "not made by a batch, or were changed since; move them away, or use --overwrite" in done.err
    assert (out / "x.nii.gz").read_text() == "drawn by hand"
    assert hrseg("segment", listed, "--model", other, "-o", out, "--overwrite").code == 0
    assert hrseg("segment", one, "--model", other, "-o", tmp_path / "single.nii.gz").code == 0
    assert (read_label_map(out / "x.nii.gz").array == read_label_map(tmp_path / "single.nii.gz").array).all()


def test_several_processes_one_of_which_is_killed(hrseg, model, scans, out, tmp_path, monkeypatch):
    monkeypatch.setattr("hrseg.batch.work.do", partial(do_or_die, name="p1/ct", marker=tmp_path / "killed"))
    done = hrseg("segment", scans, "--model", model, "-o", out, "--jobs", 2, "--memory-budget", 4)
    assert done.code == 0
    assert "Note: p1/ct: its process ended (SIGKILL); it is tried once more at the end." in done.err
    assert results(out) == dict.fromkeys(("x", "p1/ct", "p2/ct"), "done")
    assert (tmp_path / "killed").exists()
    assert json.loads((out / "summary.json").read_text())["jobs"] == 2
    check_equal_to_single_runs(hrseg, model, out)


def test_a_cluster_of_two_one_of_which_is_killed(hrseg, model, scans, out, tmp_path, monkeypatch):
    marker = tmp_path / "killed"
    monkeypatch.setattr("hrseg.batch.cluster.do_there", partial(do_or_die, name="p1/ct", marker=marker))
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        before = {worker.pid for worker in cluster.workers.values()}
        command = ("segment", scans, "--model", model, "-o", out, "--dask", cluster.scheduler_address)
        done = hrseg(*command)
        assert int(marker.read_text()) in before
        assert done.code == 0
        assert results(out) == dict.fromkeys(("x", "p1/ct", "p2/ct"), "done")
        check_equal_to_single_runs(hrseg, model, out)
        assert hrseg(*command).code == 0
        assert set(results(out).values()) == {"skipped"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{scans}", "--boxes", "b.json"], 2, 'A boxes file belongs to one image; use "b.json" with'),
        (["{scans}", "--resolution", "fine"], 2, "makes neither finer masks nor sharper images"),
        (["{scans}", "--model", "magic"], 2, 'There is no model "magic"'),
        (["{scans}", "--device", "abacus"], 2, 'There is no device "abacus"'),
        (["{scans}", "--jobs", "-1"], 2, "Invalid value for '--jobs'"),
        (["{scans}", "--jobs", "2", "--dask", "tcp://here:1"], 2, "--jobs 2 are processes on this computer"),
        (["{scans}", "--dask", "magic://here:1"], 2, 'There is no Dask scheduler at "magic://here:1"'),
        (["{scans}", "-o", "{scans}"], 2, "is the folder of the images and that of the results"),
        (["{scans}", "-o", "{scans}/x.mha/out"], 4, "Cannot make the folder"),
        (["{scans}/none.txt"], 2, "Cannot read the list"),
        (["{scans}/x.mha", "--split", "test"], 2, 'The split "test" is one of a data list'),
    ],
)
def test_wrong_input_ends_it_before_anything_is_done(hrseg, model, scans, out, arguments, code, message):
    arguments = [argument.format(scans=scans) for argument in arguments]
    done = hrseg("segment", "--model", model, "-o", out, *arguments)
    assert done.code == code
    assert message in done.error
    assert not list(out.rglob("*.*"))


SLOW = """
import sys
sys.path[:0] = {paths}
from functools import partial
from pathlib import Path
from batch_helpers import act_in
from hrseg.batch import work
from hrseg.cli import main

if __name__ == "__main__":
    work.do = partial(act_in, folder=Path({folder!r}))
    main()
"""


def test_ctrl_c_keeps_what_is_finished(model, scans, out, tmp_path):
    """As in a terminal, where all processes of the group are interrupted."""
    (scans / "x.mha").rename(scans / "waits.mha")
    script = tmp_path / "slow.py"
    script.write_text(SLOW.format(paths=[str(CORE), str(CORE.parent / "Testing")], folder=str(tmp_path)))
    process = subprocess.Popen(
        [sys.executable, script, "segment", scans, "--model", model, "-o", out, "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    lines = [process.stderr.readline() for _ in range(2)]
    assert [line[:5] for line in lines] == ["[1/3]", "[2/3]"]
    until = time.monotonic() + 60
    while not (tmp_path / "waiting").exists() and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 130
    # Where a line was just being written it comes once more.
    assert err.splitlines()[-2:] == ["1 of 3 are not done; the same command goes on with them.", "Error: Interrupted."]
    assert (tmp_path / "tidied").exists()
    assert results(out) == {"waits": "not done", "p1/ct": "done", "p2/ct": "done"}
