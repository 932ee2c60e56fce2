import multiprocessing
import threading
import time
from functools import partial

from batch_helpers import act, task_of
from hrseg.batch.local import _ended, segment_here


def run(folder, names, jobs):
    told = []
    tasks = [task_of(folder, name) for name in names]
    work = partial(act, folder=folder)
    outcomes = {outcome.case.name: outcome for outcome in segment_here(tasks, work, jobs, work, told.append)}
    return outcomes, told


def test_a_killed_process_loses_its_own_case_alone(tmp_path):
    names = ["a", "killed", "large", "dies", "b", "c"]
    outcomes, told = run(tmp_path, names, jobs=2)
    assert {name: outcome.result for name, outcome in outcomes.items()} == {
        **dict.fromkeys(("a", "killed", "large", "b", "c"), "done"),
        "dies": "failed",
    }
    tries = {path.stem: path.stat().st_size for path in tmp_path.glob("*.tries")}
    assert tries == {"a": 1, "killed": 2, "large": 2, "dies": 2, "b": 1, "c": 1}
    assert sorted(told) == [
        "dies: its process ended (SIGKILL); it is tried once more at the end.",
        "killed: its process ended (SIGKILL); it is tried once more at the end.",
        "large: too little memory beside the others; it is tried once more alone at the end.",
    ]
    assert outcomes["dies"].exit_code == 3
    assert outcomes["dies"].error.startswith("The process was ended by the system (SIGKILL) again, most likely because")
    assert multiprocessing.active_children() == []


def test_one_process_does_one_case_after_another(tmp_path):
    """A model is loaded once in each. What does not fit by itself is not tried again."""
    outcomes, told = run(tmp_path, ["a", "b", "large"], jobs=1)
    assert len({outcomes[name].numbers.notices for name in ("a", "b")}) == 1
    assert outcomes["large"].out_of_memory
    assert told == []


def test_the_end_of_a_process_in_words(tmp_path):
    """What the system kills is short of memory; anything else is not."""
    killed, crashed, ended = (_ended(task_of(tmp_path, "a"), code) for code in (-9, -11, 7))
    assert (killed.exit_code, crashed.exit_code, ended.exit_code) == (3, 1, 1)
    assert "(SIGSEGV) again; segment this image by itself to see more" in crashed.error
    assert "(exit code 7) again" in ended.error


def test_nothing_to_do(tmp_path):
    assert run(tmp_path, [], jobs=2) == ({}, [])


def test_closing_stops_the_processes_which_tidy_up(tmp_path):
    work = partial(act, folder=tmp_path)
    outcomes = segment_here([task_of(tmp_path, name) for name in ("a", "waits")], work, 2, work, print)
    assert next(outcomes).case.name == "a"
    until = time.monotonic() + 30
    while not (tmp_path / "waiting").exists() and time.monotonic() < until:
        threading.Event().wait(0.02)
    # It would go on for a minute.
    outcomes.close()
    assert (tmp_path / "tidied").exists()
    assert multiprocessing.active_children() == []
