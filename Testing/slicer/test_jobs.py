from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_worker import FakeClient
from slicer_env import slicer

from HighResSegmentationLib.Jobs import Job, Jobs
from hrseg.errors import Cancelled, HrsegError, InputError, OutputError
from hrseg.worker.client import Busy
from hrseg.worker.messages import DevicesRequest, Log, ProposeRequest


class Told:
    """What a job told."""

    def __init__(self) -> None:
        self.results: list[Any] = []
        self.errors: list[Exception] = []
        self.steps: list[Any] = []

    def job(self, request: Any = None, background: bool = False) -> Job:
        def build(client: Any) -> Any:
            if isinstance(request, Exception):
                raise request
            return request or _propose(client)

        return Job(build, self.results.append, self.errors.append, lambda *step: self.steps.append(step), background)


def _propose(client: Any) -> ProposeRequest:
    import numpy as np

    return ProposeRequest(image=client.image_file("key", None, np.eye(4)), model="m")


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def jobs(scene: Any, client: FakeClient) -> Iterator[Jobs]:
    jobs = Jobs(lambda: client)
    yield jobs
    assert jobs._observed is None


def test_nothing_is_started_before_the_first_job(scene: Any) -> None:
    def never() -> Any:
        raise AssertionError

    jobs = Jobs(never)
    jobs.poll()
    jobs.cancel()
    jobs.renew()
    assert not jobs.active


def test_a_job_tells_its_steps_and_its_result(jobs: Jobs, client: FakeClient) -> None:
    told = Told()
    jobs.start(told.job())
    assert jobs.busy
    client.step("crops", 1, 4, 0.5)
    jobs.poll()
    assert told.steps == [("crops", 1, 4, 0.5)]
    client.end({"answer": 42})
    jobs.poll()
    assert told.results == [{"answer": 42}]
    assert not jobs.active


def test_a_second_job_is_refused_in_words(jobs: Jobs, client: FakeClient) -> None:
    jobs.start(Told().job())
    with pytest.raises(Busy, match="still running"):
        jobs.start(Told().job())
    client.end({})
    jobs.poll()


def test_a_job_waits_for_a_question_and_goes_before_others(jobs: Jobs, client: FakeClient) -> None:
    first, second, job = Told(), Told(), Told()
    jobs.start(first.job(background=True))
    jobs.start(second.job(background=True))
    assert not jobs.busy
    jobs.start(job.job(DevicesRequest()))
    assert client.asked == ["ProposeRequest"]
    client.end({"n": 1})
    jobs.poll()
    assert client.asked == ["ProposeRequest", "DevicesRequest"]
    jobs.poll()
    assert (len(first.results), len(job.results), len(second.results)) == (1, 1, 0)
    client.end({"n": 2})
    jobs.poll()
    assert second.results == [{"n": 2}]


@pytest.mark.parametrize(("kind", "error"), [("cancelled", Cancelled), ("crashed", HrsegError)])
def test_failures_are_told_with_advice(jobs: Jobs, client: FakeClient, kind: str, error: type[Exception]) -> None:
    told = Told()
    jobs.start(told.job())
    client.fail(kind, "The worker crashed.", "Try again.")
    jobs.poll()
    assert type(told.errors[0]) is error
    assert str(told.errors[0]) == "The worker crashed. Try again."
    assert "The worker crashed. Try again." in jobs.log[-1]
    assert not jobs.active


def test_a_request_that_cannot_be_made_has_failed(jobs: Jobs, client: FakeClient) -> None:
    told = Told()
    jobs.start(told.job(InputError("The volume is empty.")))
    assert [str(error) for error in told.errors] == ["The volume is empty."]
    assert not jobs.active
    assert client.requests == []


def test_a_result_that_cannot_be_used_has_failed_with_its_trace_in_the_log(jobs: Jobs, client: FakeClient) -> None:
    told = Told()
    jobs.start(Job(_propose, lambda result: result["missing"], told.errors.append))
    client.end({})
    jobs.poll()
    assert isinstance(told.errors[0], KeyError)
    assert "Traceback" in jobs.log[-1]
    assert not jobs.active


def test_cancel_asks_the_worker_and_waits_for_its_answer(jobs: Jobs, client: FakeClient) -> None:
    told = Told()
    jobs.start(told.job())
    jobs.cancel()
    assert client.cancelled == 1
    assert jobs.busy
    client.fail("cancelled", "Canceled.")
    jobs.poll()
    assert not jobs.busy
    assert told.results == []


def test_a_job_that_waits_is_cancelled_at_once(jobs: Jobs, client: FakeClient) -> None:
    question, told = Told(), Told()
    jobs.start(question.job(background=True))
    jobs.start(told.job())
    jobs.cancel()
    assert client.cancelled == 0
    assert isinstance(told.errors[0], Cancelled)
    client.end({})
    jobs.poll()
    assert question.results == [{}]
    assert len(client.requests) == 1


def test_closing_the_scene_cancels_and_drops_the_result(jobs: Jobs, client: FakeClient, scene: Any) -> None:
    told, after = Told(), Told()
    jobs.start(told.job())
    scene.Clear(0)
    assert isinstance(told.errors[0], Cancelled)
    assert not jobs.busy
    # The worker has not heard of it yet: the next job waits for its answer, which is nobody's.
    jobs.start(after.job(DevicesRequest()))
    assert len(client.requests) == 1
    client.end({"late": True})
    jobs.poll()
    jobs.poll()
    assert told.results == []
    assert len(after.results) == 1
    assert (client.cancelled, client.closed) == (1, 0)


def test_a_new_python_is_used_from_the_next_job_on(scene: Any) -> None:
    clients = [FakeClient(), FakeClient()]
    made = iter(clients)
    jobs = Jobs(lambda: next(made))
    told = Told()
    jobs.start(told.job())
    jobs.renew()
    assert clients[0].closed == 0
    clients[0].end({})
    jobs.poll()
    jobs.start(told.job())
    assert clients[0].closed == 1
    clients[1].end({})
    jobs.poll()
    assert len(told.results) == 2


def test_closing_ends_the_worker_until_the_next_job(scene: Any) -> None:
    clients = [FakeClient(), FakeClient()]
    made = iter(clients)
    jobs = Jobs(lambda: next(made))
    jobs.close()
    told, question, after = Told(), Told(), Told()
    jobs.start(told.job())
    jobs.start(question.job(background=True))
    clients[0].end({"late": True})
    jobs.close()
    assert clients[0].closed == 1
    for each in (told, question):
        assert [type(error) for error in each.errors] == [Cancelled]
    assert "worker process had to end" in jobs.log[-1]
    assert not jobs.active
    assert jobs._observed is None
    jobs.poll()
    assert told.results == []
    jobs.start(after.job())
    clients[1].end({"n": 1})
    jobs.poll()
    assert after.results == [{"n": 1}]


def test_the_log_is_kept_short_and_saved(jobs: Jobs, client: FakeClient, tmp_path: Path) -> None:
    jobs.start(Told().job())
    client.events += [Log(f"line {n}") for n in range(3000)]
    client.end({})
    jobs.poll()
    assert len(jobs.log) == 2000
    jobs.saveLog(tmp_path / "log.txt")
    assert (tmp_path / "log.txt").read_text().splitlines()[-1].endswith("line 2999")
    with pytest.raises(OutputError, match="no folder"):
        jobs.saveLog(tmp_path / "missing" / "log.txt")


def test_wait_polls_until_all_is_done(jobs: Jobs, client: FakeClient) -> None:
    told, ticks = Told(), []

    def tick() -> None:
        ticks.append(1)
        if len(ticks) == 2:
            client.end({})

    jobs.start(told.job())
    jobs.wait(tick)
    assert told.results == [{}]
    assert slicer.mrmlScene is not None
