import json
from dataclasses import replace

import pytest
import torch

from batch_helpers import write_scan
from hrseg.batch import work
from hrseg.batch.cases import Case
from hrseg.batch.plan import plan
from hrseg.batch.record import record_path
from hrseg.batch.work import Setting, do
from hrseg.errors import OutOfMemory
from hrseg.image import read_image, read_label_map
from hrseg.memory import GIB, resident
from hrseg.methods import method_of
from hrseg.model_file import file_sha256, load_model
from hrseg.segment_job import Job
from training_helpers import write_model


@pytest.fixture
def setting(tmp_path):
    work._method.cache_clear()
    path = write_model(tmp_path / "tiny.safetensors")
    return Setting(path, file_sha256(path), "cpu")


@pytest.fixture
def task(tmp_path, setting):
    case = Case("p1/a", write_scan(tmp_path / "p1" / "a.nii"))
    method = method_of(load_model(setting.model))
    (task,), _ = plan([case], Job(case.image, tmp_path / "out", report=tmp_path / "out"), method, setting.sha256)
    return task


def test_a_case_with_its_record(task, setting):
    outcome = do(task, setting)
    assert (outcome.case, outcome.output, outcome.result) == (task.case, task.job.output, "done")
    assert (outcome.error, outcome.exit_code) == ("", 0)
    assert read_label_map(outcome.output).grid.matches(read_image(task.case.image).grid)
    record = json.loads(record_path(task.job).read_text())
    assert record["numbers"]["seconds"] == outcome.numbers.seconds > 0
    assert record["numbers"]["peak_memory_mib"] == json.loads(task.job.report.read_text())["peak_memory_mib"]


def test_what_was_done_but_not_told_is_not_done_again(task, setting):
    """As when the process dies between its record and its answer."""
    first = do(task, setting)
    task.case.image.write_text("no image")
    assert do(task, setting) == first
    assert do(replace(task, run="another"), setting).result == "failed"


def test_the_model_is_loaded_once(task, setting, monkeypatch):
    loaded = []
    monkeypatch.setattr(work, "load_model", lambda path: loaded.append(path) or load_model(path))
    assert [do(replace(task, run=run), setting).result for run in ("1", "2")] == ["done", "done"]
    assert loaded == [setting.model]


def test_errors_are_outcomes(task, setting):
    task.case.image.write_text("no image")
    outcome = do(task, setting)
    assert (outcome.result, outcome.exit_code, outcome.trace) == ("failed", 2, "")
    assert outcome.error.startswith(f'Cannot read "{task.case.image}"')
    assert list(task.job.output.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (OutOfMemory("Too large."), 3, "Too large."),
        (MemoryError(), 3, "Memory ran out; close other"),
        (RuntimeError("CUDA out of memory."), 3, "Memory ran out; close other"),
        (KeyError("bug"), 1, "An error that should not happen (KeyError: 'bug'); report it"),
    ],
)
def test_any_error_is_an_outcome(task, setting, monkeypatch, error, code, message):
    def fail(*_):
        raise error

    monkeypatch.setattr(work, "segment_file", fail)
    outcome = do(task, setting)
    assert (outcome.exit_code, outcome.out_of_memory) == (code, code == 3)
    assert outcome.error.startswith(message)
    assert ("in fail" in outcome.trace) == (code == 1)


def test_another_model_of_the_same_name(task, setting):
    outcome = do(task, replace(setting, sha256="123"))
    assert outcome.exit_code == 2
    assert "is not the same here as where the batch was started" in outcome.error


def test_memory_and_threads_are_limited(task, setting):
    threads = torch.get_num_threads()
    try:
        outcome = do(task, replace(setting, memory_budget=1000, threads=threads + 1))
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    assert outcome.out_of_memory
    assert do(task, replace(setting, memory_limit=1000)).out_of_memory
    # What the process holds already is more than what the case needs besides.
    held = resident()
    assert do(task, replace(setting, memory_limit=held)).out_of_memory
    assert do(task, replace(setting, memory_limit=2 * held + GIB)).result == "done"
