from dataclasses import asdict

import numpy as np
import pytest

from hrseg.errors import InputError
from hrseg.evaluation.compare import bootstrap_interval, compare


def metrics(**cases):
    """Evaluation with {case: {label: scores}}; a number stands for a Dice."""
    return {
        "cases": [
            {"name": name, "labels": {n: s if isinstance(s, dict) else {"dice": s} for n, s in labels.items()}}
            for name, labels in cases.items()
        ]
    }


def test_paired_by_name_not_by_order():
    a = metrics(p={"liver": 0.5}, q={"liver": 0.9})
    b = metrics(q={"liver": 0.8}, p={"liver": 0.8})
    overall = compare(a, b).overall
    assert overall.difference == pytest.approx((0.3 - 0.1) / 2)
    assert (overall.mean_a, overall.mean_b) == (pytest.approx(0.7), pytest.approx(0.8))
    assert (overall.pairs, overall.undefined, overall.better) == (2, 0, 0.5)


def test_a_constant_difference_has_a_point_as_interval():
    a = metrics(**{f"c{n}": {"liver": n / 10} for n in range(5)})
    b = metrics(**{f"c{n}": {"liver": n / 10 + 0.25} for n in range(5)})
    overall = compare(a, b, samples=100).overall
    assert (overall.low, overall.high, overall.better) == (pytest.approx(0.25), pytest.approx(0.25), 1.0)


def test_interval_of_a_normal_mean():
    values = np.random.default_rng(1).normal(3, 2, 400)
    low, high = bootstrap_interval(values, 4000, seed=0)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)


def test_interval_of_two_values():
    # A quarter of the draws gives each of 0 and 1, half of them 0.5.
    assert bootstrap_interval(np.array([0.0, 1.0]), 1000, seed=0) == (0.0, 1.0)


def test_the_seed_decides():
    a = metrics(**{f"c{n}": {"x": 0.0} for n in range(9)})
    b = metrics(**{f"c{n}": {"x": n * n / 100} for n in range(9)})
    assert compare(a, b, samples=50, seed=3) == compare(a, b, samples=50, seed=3)
    assert compare(a, b, samples=50, seed=3) != compare(a, b, samples=50, seed=4)


def test_smaller_is_better_for_distances_and_errors():
    scores = [{"x": {"dice": 1.0, "hd95_mm": h, "volume_error_percent": v}} for h, v in ((5.0, -30.0), (2.0, 10.0))]
    a, b = metrics(p=scores[0]), metrics(p=scores[1])
    distance = compare(a, b, metric="hd95_mm").overall
    assert (distance.difference, distance.better, distance.low) == (-3.0, 1.0, None)
    assert compare(a, b, metric="volume_error_percent").overall.difference == pytest.approx(-20)


def test_ties_are_not_better():
    assert compare(metrics(p={"x": 0.5}), metrics(p={"x": 0.5})).overall.better == 0


def test_only_labels_common_to_both_count():
    a = metrics(p={"liver": 0.4, "spleen": 0.9}, q={"liver": 0.6, "spleen": None})
    b = metrics(p={"liver": 0.5, "tumour": 0.1}, q={"liver": 0.8, "spleen": 0.7})
    result = compare(a, b)
    assert result.overall.difference == pytest.approx(0.15)
    assert result.by_label.keys() == {"liver"}
    assert result.by_label["liver"].difference == pytest.approx(0.15)


def test_undefined_values_are_counted():
    a = metrics(p={"x": {"dice": 0.0, "hd95_mm": None}}, q={"x": {"dice": 0.5, "hd95_mm": 4.0}})
    b = metrics(p={"x": {"dice": 0.5, "hd95_mm": 3.0}}, q={"x": {"dice": 0.5, "hd95_mm": 3.0}})
    result = compare(a, b, metric="hd95_mm")
    assert (result.overall.pairs, result.overall.undefined) == (1, 1)
    assert result.by_label["x"].undefined == 1
    assert compare(a, metrics(p=a["cases"][0]["labels"]), metric="hd95_mm").overall is None


def test_cases_without_a_partner_are_named():
    result = compare(metrics(p={"x": 1.0}, q={"x": 1.0}), metrics(q={"x": 1.0}, r={"x": 1.0}))
    assert (result.only_a, result.only_b) == (("p",), ("r",))
    assert asdict(result)["overall"]["pairs"] == 1


def test_evaluations_that_cannot_be_compared():
    one = metrics(p={"x": 1.0})
    with pytest.raises(InputError, match=r'no case in common: the first has "p", the second "q", "r", "s" \.\.\.'):
        compare(one, metrics(q={}, r={}, s={}, t={}))
    with pytest.raises(InputError, match='several cases named "p"'):
        compare(one, {"cases": one["cases"] * 2})
    with pytest.raises(InputError, match='no metric "kappa"'):
        compare(one, one, metric="kappa")
