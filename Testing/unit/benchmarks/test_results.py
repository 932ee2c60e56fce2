"""Tables from stored metrics, and that the committed documents agree with them."""

import argparse
import json
from pathlib import Path

import pytest

from hrseg.errors import InputError

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def results():
    import results

    return results


def case(name, dice, **labels):
    scores = {"liver": {"dice": dice, "truth_ml": 1.0, "hd95_mm": None}, **labels}
    return {"name": name, "image": f"/home/me/{name}.png", "labels": scores, "seconds": {"total": 0.25, "io": 1}}


def metrics(*dice):
    cases = [case(f"c{n}", value) for n, value in enumerate(dice)]
    return {
        "model": {"name": "m", "file": "/home/me/m.safetensors", "extra": {}},
        "data": {"name": "d"},
        "mean": {},
        "cases": cases,
    }


TABLES = """
tables:
  gains:
    first: model
    columns:
      - {head: Dice, show: mean ± sd, scale: 100, digits: 1}
      - {head: gain, show: gain, scale: 100, digits: 1}
      - {head: better, show: better}
      - {head: plain, of: reference, digits: 2}
      - {head: s, show: seconds, digits: 2}
    rows:
      - {title: ours, metrics: a/new, reference: a/old}
      - {title: alone, metrics: a/old}
      - {title: published, cells: ["90.0", "+1"]}
  labels:
    first: label
    columns: [{head: Dice}, {head: HD95, metric: hd95_mm}, {head: n, show: cases}]
    labels_of: a/old
"""
GAINS = """\
| model | Dice | gain | better | plain | s |
| --- | --- | --- | --- | --- | --- |
| ours | 80.0 ± 14.1 | +15.0 (+10.0 … +20.0) | 100 % | 0.65 | 0.25 |
| alone | 65.0 ± 7.1 | | | | 0.25 |
| published | 90.0 | +1 | | | |"""
LABELS = """\
| label | Dice | HD95 | n |
| --- | --- | --- | --- |
| liver | 0.650 | – | 2 |
| mean | 0.650 | – | 2 |"""


@pytest.fixture
def docs(results, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "DOCS", tmp_path)
    monkeypatch.setattr(results, "ROOT", tmp_path)
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "tables.yaml").write_text(TABLES, encoding="utf-8")
    for name, dice in (("a/old", (0.6, 0.7)), ("a/new", (0.7, 0.9))):
        (tmp_path / "metrics.json").write_text(json.dumps(metrics(*dice)))
        assert run(results, "import", name=name, metrics=tmp_path / "metrics.json") == 0
    return tmp_path


def run(results, command, **arguments):
    return results.run(argparse.Namespace(command=command, **arguments))


def test_what_is_stored_has_no_paths(results, docs):
    content = json.loads((docs / "results" / "a" / "old.json").read_text())
    assert content == {
        "model": {"name": "m", "file": "m.safetensors"},
        "data": {"name": "d", "unit": "pixels"},
        "cases": [
            {
                "name": f"c{n}",
                "labels": {"liver": {"dice": dice, "hd95_mm": None, "truth_ml": 1.0}},
                "seconds": {"total": 0.25},
            }
            for n, dice in enumerate((0.6, 0.7))
        ],
    }


def test_one_digit_more_than_tables_show_is_kept(results):
    stored = results.compact({"cases": [case("a", 0.123456789, spine={"dice": 0.5, "hd95_mm": 2.34567})]})
    assert stored["cases"][0]["labels"] == {
        "liver": {"dice": 0.1235, "hd95_mm": None, "truth_ml": 1.0},
        "spine": {"dice": 0.5, "hd95_mm": 2.346},
    }


def test_columns_of_cases_of_one_size(results, tmp_path):
    sizes = [0.0001, 0.0002, 2, 3, 4, 5]
    for name, dice in (("old", [0.5] * 6), ("new", [0.9, 0.7, 0.5, 0.5, 0.6, 0.6])):
        cases = [
            case(f"c{n}", d, liver={"dice": d, "truth_ml": ml})
            for n, (d, ml) in enumerate(zip(dice, sizes, strict=True))
        ]
        results.write_stored(tmp_path / f"{name}.json", results.compact({**metrics(), "cases": cases}))
    columns = [{"head": size, "size": size, "show": show} for size in ("small", "large") for show in ("mean", "gain")]
    rows = [{"title": "ours", "metrics": "new", "reference": "old"}]
    (tmp_path / "tables.yaml").write_text(json.dumps({"tables": {"t": {"columns": columns, "rows": rows}}}))
    text = results.read_tables(tmp_path / "tables.yaml").tables["t"].markdown(tmp_path)
    assert text.splitlines()[-1] == "| ours | 0.800 | +0.300 (+0.200 … +0.400) | 0.600 | +0.100 (+0.100 … +0.100) |"


def test_tables_between_their_markers(results, docs):
    page = "before\n<!-- table: gains -->\nold\n<!-- end -->\nbetween\n<!-- table: labels -->\n<!-- end -->\nafter\n"
    (docs / "page.md").write_text(page)
    assert run(results, "check") == 1
    assert (docs / "page.md").read_text() == page
    assert run(results, "render") == 0
    assert (docs / "page.md").read_text() == (
        f"before\n<!-- table: gains -->\n{GAINS}\n<!-- end -->\nbetween\n"
        f"<!-- table: labels -->\n{LABELS}\n<!-- end -->\nafter\n"
    )
    assert run(results, "check") == 0


def test_markers_and_metrics_that_are_not_there(results, docs):
    tables = results.read_tables(docs / "results" / "tables.yaml")
    with pytest.raises(InputError, match=r'marker for the table "odd"; tables\.yaml has gains, labels'):
        results.rendered("<!-- table: odd -->\n<!-- end -->", tables, docs / "results", "page.md")
    with pytest.raises(InputError, match=r"results\.py import a/new"):
        results.rendered("<!-- table: gains -->\n<!-- end -->", tables, docs / "nowhere", "page.md")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("show: better", "show: best", "tables.gains.columns.2.show"),
        ("metric: hd95_mm", "metric: hd", 'no metric "hd"'),
        ("metrics: a/old}", "metrics: a/old, cells: [x]}", "either metrics or cells"),
    ],
)
def test_mistakes_in_the_description(results, tmp_path, old, new, message):
    assert old in TABLES
    (tmp_path / "tables.yaml").write_text(TABLES.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        results.read_tables(tmp_path / "tables.yaml")


def test_names_stay_within_the_folder(results, docs):
    with pytest.raises(InputError, match=r'name "\.\./x"'):
        run(results, "import", name="../x", metrics=docs / "metrics.json")


def test_the_committed_tables_are_what_the_stored_metrics_say(results):
    tables = results.read_tables(ROOT / "docs/results/tables.yaml")
    found = results.documents(ROOT / "docs")
    assert ROOT / "docs/results.md" in found
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert results.rendered(text, tables, ROOT / "docs/results", path.name) == text


def test_the_committed_cards_are_those_of_the_bundled_models(results, tmp_path):
    (tmp_path / "results").symlink_to(ROOT / "docs/results")
    for card in results.write_cards(tmp_path, ROOT / "Resources/Models"):
        assert card.read_text(encoding="utf-8") == (ROOT / "docs/models" / card.name).read_text(encoding="utf-8")


def test_every_bundled_model_has_the_scores_of_each_test_case(results):
    models = {path.stem for path in (ROOT / "Resources/Models").glob("*.safetensors")}
    assert set(results.read_tables(ROOT / "docs/results/tables.yaml").cards) == models
