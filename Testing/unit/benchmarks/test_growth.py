"""The benchmark of growth: what stands in for what networks find, when runs are left out, and the report."""

import argparse
import json

import pytest
import torch
from torch import nn


@pytest.fixture(scope="module")
def growth():
    import growth

    return growth


@pytest.fixture(scope="module")
def report(growth):
    import growth_report

    return growth_report


def test_the_balls_fill_their_share_of_the_volume_with_every_label(growth):
    side = 64
    found = growth.ball_logits(growth.lattice((side,) * 3), torch.full((3,), float(side)), 6).argmax(1)
    counts = torch.bincount(found, minlength=6)
    # A ball of a quarter of the side: 4/3 pi (1/8)^3 of the volume.
    assert counts[1:] / side**3 == pytest.approx(4 / 3 * 3.14159 / 512, rel=0.02)


def test_labels_are_used_again_where_there_are_few(growth):
    side = 32
    found = growth.ball_logits(growth.lattice((side,) * 3), torch.full((3,), float(side)), 2).argmax(1)
    assert found.float().mean() == pytest.approx(5 * 4 / 3 * 3.14159 / 512, rel=0.05)


def test_a_lattice_of_pairs_of_voxels_lies_between_them(growth):
    assert growth.lattice((1, 1, 2), 2.0).tolist() == [[0.5, 0.5, 0.5], [0.5, 0.5, 2.5]]


def test_the_coarse_network_runs_but_the_balls_are_said(growth):
    seen = []
    inner = nn.Conv3d(1, 6, 1)
    inner.register_forward_hook(lambda *given: seen.append(given[2].shape))
    said = growth.BallCoarse(inner)(torch.randn(1, 1, 16, 16, 16)).argmax(1)[0]
    assert seen == [(1, 6, 16, 16, 16)]
    assert said[3, 3, 3] == 1
    assert said[0, 0, 0] == 0


@pytest.mark.parametrize(
    ("before", "growth_factor", "said"),
    [({}, 8, ""), ({"seconds": 10}, 8, ""), ({"seconds": 20}, 8, "some 3 minutes"), ({"failed": "no"}, 1, "not tried")],
)
def test_runs_that_would_take_too_long_are_left_out(growth, before, growth_factor, said):
    found = growth._skipped(before, growth_factor, 100)
    assert said in found
    assert bool(said) == bool(found)


ENTRY = {"boxes": 0, "share": 0.1, "notices": []}
CONTENT = {
    "cpu": {
        "date": "2026-01-02",
        "machine": "2 cores",
        "versions": "torch 2",
        "threads": 2,
        "rounds": 1,
        "profile": "cpu",
        "rows": {
            "windows": {"64": {"seconds": 1.0, "mib": 100.0, **ENTRY}, "128": {"seconds": 8.0, "mib": 100.0, **ENTRY}},
            "pfseg": {
                "64": {"seconds": 0.5, "mib": 50.0, **ENTRY, "notices": ["Smaller slabs."]},
                "128": {"failed": "not tried: some 3 minutes expected"},
            },
        },
    }
}


def test_the_report(report, tmp_path):
    report.write_report(CONTENT, tmp_path)
    text = (tmp_path / "benchmarks.md").read_text()
    assert "| method | 64³ | 128³ | growth of time | growth of memory |" in text
    assert "| sliding windows | 1.00 s, 100 MiB | 8.00 s, 100 MiB | 1.00 | 0.00 |" in text
    assert "| PFSeg | 0.50 s, 50 MiB (1) | – (2) | | |" in text
    assert "1. Smaller slabs.\n2. Not tried: some 3 minutes expected.\n" in text
    assert "GPU\n" not in text
    assert (tmp_path / "images" / "growth.png").stat().st_size > 1000


def test_the_figure_has_a_line_for_each_row_and_device(report):
    both = {**CONTENT, "cuda": CONTENT["cpu"]}
    seconds, memory = report.growth_figure(both).axes
    # Two rows on two devices, and the line that is proportional to the volume.
    assert len(seconds.lines) == len(memory.lines) == 5
    assert [line.get_linestyle() for line in seconds.lines[:4]] == ["-", "-", "--", "--"]
    assert seconds.get_xscale() == seconds.get_yscale() == "log"


def arguments(**changes):
    given = {"rows": ["windows", "pfseg"], "sizes": [16, 32], "rounds": 2, "profile": "cpu", "limit": 100}
    return argparse.Namespace(**{**given, **changes})


def test_the_fastest_round_counts_and_nothing_is_lost(growth, tmp_path, monkeypatch):
    seconds = {("windows", 16): [2.0, 1.0], ("windows", 32): [8.0, 9.0], ("pfseg", 16): [20.0, 21.0]}

    def measured(row, side, *_):
        return {"seconds": seconds[row, side].pop(0), "mib": 1.0, **ENTRY}

    monkeypatch.setattr(growth, "measured", measured)
    content = {}
    growth.run_device(arguments(), "cpu", content, tmp_path / "results" / "growth.json")
    rows = content["cpu"]["rows"]
    assert {size: found["seconds"] for size, found in rows["windows"].items()} == {"16": 1.0, "32": 8.0}
    # 20 s at 16 make 160 s at 32: more than the limit.
    assert rows["pfseg"]["16"]["seconds"] == 20
    assert rows["pfseg"]["32"] == {"failed": "not tried: some 3 minutes expected"}
    assert json.loads((tmp_path / "results" / "growth.json").read_text()) == content
    # One row again at one size: the others stay.
    seconds["windows", 16] = [3.0, 4.0]
    growth.run_device(arguments(rows=["windows"], sizes=[16]), "cpu", content, tmp_path / "results" / "growth.json")
    assert rows["windows"]["16"]["seconds"] == 3
    assert rows["windows"]["32"]["seconds"] == 8
    assert "pfseg" in content["cpu"]["rows"]


def test_other_conditions_begin_anew(growth, tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "measured", lambda *_: {"failed": "no"})
    content = {"cpu": {**CONTENT["cpu"]}}
    growth.run_device(arguments(rows=["sasr"], sizes=[16]), "cpu", content, tmp_path / "growth.json")
    assert content["cpu"]["rows"] == {"sasr": {"16": {"failed": "no"}}}
