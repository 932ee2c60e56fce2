import json
import os
from dataclasses import replace

import pytest

from hrseg.batch.outcome import Numbers
from hrseg.batch.record import look, made_by, record_path, recorded
from hrseg.segment_job import Job

NUMBERS = Numbers(1.5, 20.0, ("Hm.",), "run")


@pytest.fixture
def job(tmp_path):
    (tmp_path / "a.nii").write_text("image")
    (tmp_path / "out").mkdir()
    return Job(tmp_path / "a.nii", tmp_path / "out" / "a.nii.gz", report=tmp_path / "a.json")


def maker_of(job):
    return made_by(job, "tiny", "123")


def make(job, text="labels", maker=None):
    with recorded(job, job.outputs, maker or maker_of(job)) as numbers:
        for path in job.outputs:
            path.write_text(text)
        numbers.append(NUMBERS)


def fail(job, error, before):
    """Work that fails, on top of what was there ``before``."""
    with recorded(job, job.outputs, maker_of(job)):
        assert (job.output.read_text() if job.output.exists() else None) == before
        job.report.write_text("half")
        raise error


def state(job, maker=None):
    return look(job, job.outputs, maker or maker_of(job))[0]


def test_a_complete_result(job):
    assert look(job, job.outputs, maker_of(job)) == ("missing", None)
    make(job)
    assert look(job, job.outputs, maker_of(job)) == ("complete", NUMBERS)
    record = json.loads((job.output.parent / "a.nii.gz.record.json").read_text())
    assert record["files"] == {"a.nii.gz": 6, "../a.json": 6}
    assert record["made_by"]["image"]["bytes"] == 5


def test_results_of_something_else_are_stale(job):
    make(job)
    assert state(job, made_by(job, "tiny", "124")) == "stale"
    for changes in (
        {"spacing": (1.0, 1, 2)},
        {"resolution": "fine"},
        {"guidance_center": (1.0, 2, 3)},
        {"propose": True},
    ):
        other = replace(job, **changes)
        assert state(other) == "stale"
        make(other)
        assert state(other) == "complete"
        make(job)
    assert state(replace(job, instances=job.output.with_name("i.nii.gz"))) == "stale"
    assert state(replace(job, report=None)) == "complete"
    os.utime(job.image, ns=(0, 0))
    assert state(job) == "stale"


def test_a_changed_series(tmp_path):
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "1").write_text("one")
    job = Job(tmp_path / "series", tmp_path / "out.nii.gz")
    make(job)
    assert state(job) == "complete"
    (tmp_path / "series" / "2").write_text("two")
    assert state(job) == "stale"


@pytest.mark.parametrize("text", ["mended", "more labels"])
def test_a_result_that_somebody_changed_is_foreign(job, text):
    """Also where it is as long as before."""
    make(job)
    job.output.write_text(text)
    assert state(job) == "foreign"


def test_a_result_without_a_record_is_foreign(job):
    job.output.write_text("mine")
    assert state(job) == "foreign"
    for text in ("no JSON", "[]", '{"format": 2}', '{"format": 1}', '{"format": 1, "files": {}}'):
        record_path(job).write_text(text)
        assert state(job) == "foreign"


def test_a_missing_file(job):
    make(job)
    job.report.unlink()
    assert state(job) == "stale"
    job.output.unlink()
    assert state(job) == "missing"


def test_work_that_was_killed_is_stale(job):
    work = recorded(job, job.outputs, maker_of(job))
    work.__enter__()
    job.output.write_text("half")
    assert state(job) == "stale"
    make(job)
    assert state(job) == "complete"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_where_work_fails_nothing_is_left(job, error):
    make(job, maker=made_by(job, "other", "124"))
    # What another model made cannot be taken for the result.
    with pytest.raises(error):
        fail(job, error, before=None)
    assert list(job.output.parent.iterdir()) == []
    assert not job.report.exists()


def test_files_of_the_user_stay_until_they_are_replaced(job):
    job.output.write_text("mine")
    with pytest.raises(ValueError, match="bad"):
        fail(job, ValueError("bad"), before="mine")
    assert job.output.read_text() == "mine"
    assert state(job) == "foreign"
    make(job)
    assert state(job) == "complete"
