from pathlib import Path

import pytest

from hrseg.batch.cases import Case
from hrseg.batch.outcome import Numbers
from hrseg.batch.plan import plan
from hrseg.batch.record import recorded
from hrseg.errors import InputError, OutputError
from hrseg.methods import method_of
from hrseg.model_file import load_model
from hrseg.segment_job import Job
from training_helpers import write_model


@pytest.fixture(scope="module")
def method(tmp_path_factory):
    return method_of(load_model(write_model(tmp_path_factory.mktemp("model") / "tiny.safetensors")))


@pytest.fixture
def cases(tmp_path):
    (tmp_path / "p1").mkdir()
    for name in ("a", "p1/a"):
        (tmp_path / f"{name}.nii").touch()
    return [Case(name, tmp_path / f"{name}.nii") for name in ("a", "p1/a")]


def wanted(tmp_path, **options):
    return Job(Path(), tmp_path / "out", **options)


def finish(task, method):
    files = task.job.files(method.model.header.labels)
    with recorded(task.job, files, task.made_by) as numbers:
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        numbers.append(Numbers(1, 2))


def test_files_lie_as_the_cases_are_called(tmp_path, method, cases):
    extras = {"report": tmp_path / "r", "probability": tmp_path / "out"}
    tasks, known = plan(cases, wanted(tmp_path, **extras, propose=False), method, "123")
    assert known == []
    assert tasks[1].job == Job(
        cases[1].image,
        tmp_path / "out" / "p1" / "a.nii.gz",
        report=tmp_path / "r" / "p1" / "a.json",
        probability=tmp_path / "out" / "p1" / "a-probability.nii.gz",
    )
    assert tasks[1].made_by["model"] == {"name": "tiny", "sha256": "123"}
    assert (tmp_path / "r").is_dir()


def test_paths_hold_wherever_the_work_is_done(tmp_path, method, cases, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tasks, _ = plan(cases, Job(Path(), Path("out"), report=Path("r")), method, "123")
    assert (tasks[0].job.output, tasks[0].job.report) == (tmp_path / "out" / "a.nii.gz", tmp_path / "r" / "a.json")


def test_what_is_complete_is_skipped(tmp_path, method, cases):
    options = wanted(tmp_path, probability=tmp_path / "p")
    (first, _), _ = plan(cases, options, method, "123")
    (tmp_path / "out" / "p1").mkdir()
    finish(first, method)
    assert {path.name for path in (tmp_path / "p").iterdir()} == {
        "a-probability-ball.nii.gz",
        "a-probability-cube.nii.gz",
    }
    tasks, (known,) = plan(cases, options, method, "123")
    assert [task.case.name for task in tasks] == ["p1/a"]
    assert (known.case, known.result, known.numbers) == (cases[0], "skipped", Numbers(1, 2))
    for changed in (
        plan(cases, options, method, "124"),
        plan(cases, options, method, "123", overwrite=True),
        plan(cases, wanted(tmp_path, report=tmp_path / "r"), method, "123"),
    ):
        assert len(changed[0]) == 2


def test_files_that_no_batch_made_are_not_replaced(tmp_path, method, cases):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.nii.gz").write_text("mine")
    tasks, (known,) = plan(cases, wanted(tmp_path), method, "123")
    assert len(tasks) == 1
    assert (known.result, known.exit_code) == ("failed", 4)
    assert known.error.startswith(f'"{tmp_path}/out/a.nii.gz" or files beside it are there already')
    assert len(plan(cases, wanted(tmp_path), method, "123", overwrite=True)[0]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "o.nii.gz"}, 'With several images ".*o.nii.gz" must be a folder'),
        ({"report": "r.json"}, 'With several images ".*r.json" must be a folder'),
        ({"instances": "i"}, "takes no boxes; use a crop cascade model"),
    ],
)
def test_what_a_batch_cannot_do(tmp_path, method, cases, options, message):
    job = Job(Path(), **{"output": tmp_path / "out", **{name: tmp_path / value for name, value in options.items()}})
    with pytest.raises(InputError, match=message):
        plan(cases, job, method, "123")


def test_a_boxes_file_is_no_matter_of_a_batch(tmp_path, method, cases):
    with pytest.raises(InputError, match=r'A boxes file belongs to one image; use "b\.json" with'):
        plan(cases, Job(Path(), output=tmp_path / "out", boxes=(Path("b.json"), Path("c.json"))), method, "123")


def test_a_guidance_center_is_no_matter_of_a_batch(tmp_path, method, cases):
    with pytest.raises(InputError, match="A guidance center belongs to one image"):
        plan(cases, Job(Path(), output=tmp_path / "out", guidance_center=(1.0, 2.0, 3.0)), method, "123")


def test_files_that_would_be_written_twice_or_over_inputs(tmp_path, method):
    names = ("a", "a-probability-ball")
    cases = [Case(name, tmp_path / f"{name}.nii.gz") for name in names]
    with pytest.raises(InputError, match=r'a.nii.gz" is one of the inputs'):
        plan(cases, Job(Path(), tmp_path), method, "123")
    options = wanted(tmp_path, probability=tmp_path / "out")
    with pytest.raises(InputError, match=r'a-probability-ball.nii.gz" would be written more than once'):
        plan(cases, options, method, "123")
    summary = [Case("summary", tmp_path / "summary.nii")]
    with pytest.raises(InputError, match=r'summary.json" will be the summary of the batch'):
        plan(summary, wanted(tmp_path, report=tmp_path / "out"), method, "123")


def test_a_folder_that_cannot_be_made(tmp_path, method, cases):
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="Cannot make the folder"):
        plan(cases, wanted(tmp_path), method, "123")
