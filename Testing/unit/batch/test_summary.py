import json
from pathlib import Path

import pytest

from hrseg.batch.cases import Case
from hrseg.batch.outcome import Numbers, Outcome
from hrseg.batch.summary import counts, time_left, write_summary

ROWS = [
    Outcome(Case("a", Path("/i/a.nii")), Path("/o/a.nii.gz"), "done", Numbers(1.5, 20.25, ("Hm.",))),
    Outcome(Case("b", Path("/i/b.nii")), Path("/o/b.nii.gz"), "failed", None, "Bad.", 2),
    Outcome(Case("c", Path("/i/c.nii")), Path("/o/c.nii.gz"), "failed", None, "A bug.", 1, "Traceback"),
]


def test_a_row_per_case(tmp_path):
    write_summary(tmp_path / "s.json", ROWS, {"jobs": 2})
    content = json.loads((tmp_path / "s.json").read_text())
    assert content["jobs"] == 2
    assert content["counts"] == counts(ROWS) == {"done": 1, "skipped": 0, "failed": 2, "not done": 0}
    assert content["cases"][0] == {
        "case": "a",
        "image": "/i/a.nii",
        "output": "/o/a.nii.gz",
        "result": "done",
        "seconds": 1.5,
        "peak_memory_mib": 20.25,
        "notices": ["Hm."],
        "error": "",
        "exit_code": 0,
    }
    _, bad, bug = content["cases"]
    assert (bad["error"], bad["exit_code"], bad["seconds"]) == ("Bad.", 2, None)
    assert "trace" not in bad
    assert bug["trace"] == "Traceback"


@pytest.mark.parametrize(
    ("seconds", "done", "left", "words"),
    [(10, 5, 6, "about 12 s left"), (60, 1, 3, "about 3 min left"), (600, 4, 52, "about 2 h 10 min left")],
)
def test_the_time_left(seconds, done, left, words):
    assert time_left(seconds, done, left) == words
