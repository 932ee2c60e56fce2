import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from hrseg.evaluation.figures import png_bytes, score_figure
from hrseg.evaluation.pictures import CasePicture
from hrseg.evaluation.report import pick_cases, write_report
from hrseg.evaluation.summary import write_metrics
from hrseg.geometry import Grid


def case(name, dice, **extra):
    hd95 = None if dice == 0 else 2.5
    return {"name": name, "labels": {"<liver>": {"dice": dice, "hd95_mm": hd95}}, "seconds": {"total": 3.25}, **extra}


class Page(HTMLParser):
    """Table rows, open tags and pictures of a page."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.open, self.pictures, self.texts = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img", "source"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        self.pictures += [v for k, v in attributes if k in ("src", "srcset")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


@pytest.fixture
def page(tmp_path):
    grid = Grid.from_spacing((1, 12, 12))
    truth = np.zeros(grid.shape, dtype=np.uint8)
    truth[0, 3:9, 3:9] = 1
    cases = [case("good & fast", 0.9, peak_memory_mib=512.4), case("bad", 0.0), case("middle", 0.6)]
    metrics = write_metrics(
        tmp_path / "metrics.json", {"name": "<M>", "header": {"x": 1}}, {"name": "D", "split": "test"}, cases
    )
    picture = CasePicture("good & fast", truth, grid, truth, truth, "Best: Dice 0.900")
    write_report(tmp_path / "report.html", metrics, [picture])
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_numbers_are_in_the_tables(page):
    by_label, label_row, *by_case = Page(page).rows
    assert by_label == ["Label", "Cases", "Dice", "HD95 (mm)", "HD95 undefined"]
    assert label_row == ["<liver>", "3", "0.500 ± 0.458", "2.50 ± 0.00", "1"]
    assert by_case == [
        ["Case", "Dice", "HD95 (mm)", "HD95 undefined", "Seconds", "Peak MiB"],
        ["bad", "0.000", "–", "1", "3.2", "–"],
        ["middle", "0.600", "2.50", "0", "3.2", "–"],
        ["good & fast", "0.900", "2.50", "0", "3.2", "512"],
    ]


def test_the_page_stands_alone(page):
    parsed = Page(page)
    assert parsed.open == []
    assert not re.search(r"https?:|<script|<link", page)
    assert len(parsed.pictures) == 3
    for url in parsed.pictures:
        kind, data = url.split(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")


def test_title_caption_and_caveat(page):
    texts = Page(page).texts
    assert texts.count("<M> on D") == 2
    assert "For research only" in page
    assert " Best: Dice 0.900" in texts
    assert "model header" not in texts


def test_a_page_without_cases(tmp_path):
    metrics = write_metrics(tmp_path / "m.json", {}, {}, [])
    write_report(tmp_path / "r.html", metrics, [])
    assert Page((tmp_path / "r.html").read_text(encoding="utf-8")).pictures == []


@pytest.mark.parametrize(
    ("dices", "picked"),
    [
        ({"a": 0.5, "b": 0.9, "c": 0.1, "d": 0.7, "e": 0.6}, {"Best": "b", "Median": "e", "Worst": "c"}),
        ({"a": 0.5, "b": 0.9}, {"Best": "b", "Worst": "a"}),
        ({"a": 0.5, "b": None}, {"Best": "a"}),
        ({}, {}),
    ],
)
def test_best_median_and_worst(dices, picked):
    assert pick_cases([case(name, dice) for name, dice in dices.items()]) == picked


def test_score_figure_has_a_dot_for_each_value():
    cases = [case("a", 0.9), case("b", 0.4), case("c", None)]
    figure = score_figure(cases)
    (ax,) = figure.axes
    assert sorted(ax.collections[0].get_offsets()[:, 0].tolist()) == [0.4, 0.9]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["<liver>"]
    assert png_bytes(figure).startswith(b"\x89PNG")


def test_score_figure_of_a_label_without_values():
    (ax,) = score_figure([case("a", 0.0)], "hd95_mm", dark=True).axes
    assert ax.get_xlabel() == "HD95 (mm)"
    assert len(ax.collections[0].get_offsets()) == 0


def gated(name, *rows):
    return case(name, 0.5, gates=[{"diameter": d, "gates": gates} for d, gates in rows])


def test_gates_by_size_of_lesion(tmp_path):
    cases = [gated("a", (3, [0.25, 0.5]), (9, [0.75, 0.5])), gated("b", (4, [0.5, 0.5]), (5, [0.5, 0.5])), case("c", 1)]
    metrics = write_metrics(tmp_path / "m.json", {"paths": ["1", "3"]}, {}, cases)
    write_report(tmp_path / "r.html", metrics, [])
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    head, first, second = page.rows[2:5]
    assert head == ["Path (voxels)", "Large - small", "from (95 % interval)", "to"]
    # Small are those of 3 and 4, large is that of 9: 0.75 against 0.25 or 0.5 or anything between.
    assert first == ["1", "+0.375", "+0.250", "+0.500"]
    assert second == ["3", "+0.000", "+0.000", "+0.000"]
    assert len(page.pictures) == 4


def test_lesions_of_one_size_show_nothing(tmp_path):
    metrics = write_metrics(tmp_path / "m.json", {"paths": ["1"]}, {}, [gated("a", (3, [0.5]), (3, [0.25]))])
    write_report(tmp_path / "r.html", metrics, [])
    assert "awareness" not in (tmp_path / "r.html").read_text(encoding="utf-8")
