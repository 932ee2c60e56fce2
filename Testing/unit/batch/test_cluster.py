import builtins
import importlib
import sys
from concurrent.futures import CancelledError
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from distributed import KilledWorker, LocalCluster

from batch_helpers import act, task_of
from hrseg.batch import cluster
from hrseg.batch.cluster import connect, do_there, segment_there
from hrseg.batch.work import Setting
from hrseg.errors import InputError, OutputError
from hrseg.memory import GIB


@pytest.fixture(scope="module")
def address():
    """A cluster within this process."""
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as local:
        yield local.scheduler_address


def run(address, work, *tasks):
    told = []
    outcomes = list(segment_there(tasks, work, address, told.append))
    assert told == []
    return outcomes


def test_outcomes_of_all_tasks(address, tmp_path):
    outcomes = run(address, partial(act, folder=tmp_path), *(task_of(tmp_path, name) for name in "abc"))
    assert sorted((outcome.case.name, outcome.result) for outcome in outcomes) == [(name, "done") for name in "abc"]
    assert run(address, partial(act, folder=tmp_path)) == []


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModuleNotFoundError("No", name="torch"), 'A worker lacks the library "torch"; install highres-segmentation'),
        (OSError("no\nspace"), "The cluster could not do it (OSError: no space); see the log of its scheduler."),
        (CancelledError("key"), "The connection to the scheduler was lost; see to it, and repeat the command"),
        (
            KilledWorker("task", None, 4),
            "The workers that segmented it ended again and again, most likely because",
        ),
    ],
)
def test_errors_of_the_cluster(tmp_path, error, message):
    def fail():
        raise error

    outcome = cluster._outcome(SimpleNamespace(result=fail), task_of(tmp_path, "a"))
    assert (outcome.result, outcome.exit_code) == ("failed", 3 if isinstance(error, KilledWorker) else 1)
    assert outcome.error.startswith(message)


def test_workers_use_what_the_cluster_allows(monkeypatch):
    given = []
    worker = SimpleNamespace(memory_manager=SimpleNamespace(memory_limit=10 * GIB))
    monkeypatch.setattr("distributed.get_worker", lambda: worker)
    # What is left of it is known when the case has its turn, not before.
    monkeypatch.setattr(cluster, "do", lambda task, setting: given.append(setting))
    setting = Setting(Path("m"), "123", memory_budget=2 * GIB)
    do_there(None, setting)
    worker.memory_manager.memory_limit = None
    do_there(None, setting)
    assert given == [replace(setting, memory_limit=9 * GIB), setting]


def test_what_waits_is_withdrawn(address, tmp_path):
    tasks = [task_of(tmp_path, name) for name in ("a", "b", "c", "d")]
    outcomes = segment_there(tasks, partial(act, folder=tmp_path), address, print)
    next(outcomes)
    outcomes.close()
    client = connect(address)
    assert not any(client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks)))
    client.close()


def test_without_workers_it_waits(monkeypatch, tmp_path):
    monkeypatch.setattr(cluster, "_LOOK_AGAIN", 0.2)
    told = []
    with LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as local:

        def tell(text):
            told.append(text)
            if len(told) == 2:
                local.scale(1)

        tasks = [task_of(tmp_path, "a")]
        outcomes = list(segment_there(tasks, partial(act, folder=tmp_path), local.scheduler_address, tell))
    assert [outcome.result for outcome in outcomes] == ["done"]
    assert told[:2] == ["The cluster has no workers; waiting for some."] * 2


@pytest.mark.parametrize("scheduler", ["tcp://127.0.0.1:9", "nonsense", "magic://here:1", ""])
def test_no_scheduler(monkeypatch, scheduler):
    monkeypatch.setattr(cluster, "_PATIENCE", 0.5)
    with pytest.raises(InputError, match=f'There is no Dask scheduler at "{scheduler}"; give the address'):
        connect(scheduler)


def test_without_dask(monkeypatch):
    real = builtins.__import__

    def blocked(name, *arguments, **options):
        if name.split(".")[0] in ("dask", "distributed"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", blocked)
    for name in [name for name in sys.modules if name.split(".")[0] == "distributed"]:
        monkeypatch.delitem(sys.modules, name)
    # It is asked for when a scheduler is named, not before.
    importlib.reload(cluster)
    with pytest.raises(OutputError, match=r'need the library Dask; pip install "highres-segmentation\[cluster\]"'):
        cluster.connect("tcp://127.0.0.1:8786")
