"""Paired comparison of two evaluations on the same cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hrseg.errors import InputError
from hrseg.evaluation.measures import measure
from hrseg.evaluation.summary import Case, case_mean
from hrseg.geometry import Floats


@dataclass(frozen=True)
class Difference:
    """Paired differences B - A of one measure.

    Attributes:
        pairs: cases with a value in both.
        undefined: common cases left out because the measure has no value in A, in B or in both.
        mean_a, mean_b: means over the pairs.
        difference: mean of B - A, whichever direction is good.
        low, high: its 95 % bootstrap interval (percentiles); None for fewer than two pairs.
        better: share of the pairs in which B is better than A; ties count for neither.
    """

    pairs: int
    undefined: int
    mean_a: float
    mean_b: float
    difference: float
    low: float | None
    high: float | None
    better: float


@dataclass(frozen=True)
class Comparison:
    """Two evaluations compared.

    Attributes:
        metric: key of the measure.
        overall: of the case's mean over the labels that have a value in both; None where no case has one.
        by_label: label name -> the same for one label, where at least one case has a value in both.
        only_a, only_b: names of the cases without a partner.
    """

    metric: str
    overall: Difference | None
    by_label: dict[str, Difference]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


def compare(
    a: Mapping[str, Any], b: Mapping[str, Any], *, metric: str = "dice", samples: int = 10000, seed: int = 0
) -> Comparison:
    """Paired differences between the cases, matched by name, of two contents of ``metrics.json``.

    The bootstrap draws cases with replacement, so it takes them as independent: with several images of one patient
    the interval is too narrow.

    Raises:
        InputError: unknown metric, a name that occurs twice, or no case in common.
    """
    measure(metric)
    cases_a, cases_b = _by_name(a, "first"), _by_name(b, "second")
    common = [name for name in cases_a if name in cases_b]
    if not common:
        raise InputError(
            f"The two evaluations have no case in common: the first has {_some(cases_a)}, "
            f"the second {_some(cases_b)}; evaluate both models on the same data."
        )
    pairs = [(cases_a[name], cases_b[name]) for name in common]
    by_label = {
        label: _difference(
            [_values(x, y, metric, [label]) for x, y in pairs if label in _annotated(x, y)], metric, samples, seed
        )
        for label in dict.fromkeys(n for x, y in pairs for n in _annotated(x, y))
    }
    return Comparison(
        metric,
        _difference([_values(x, y, metric, _annotated(x, y)) for x, y in pairs], metric, samples, seed),
        {label: difference for label, difference in by_label.items() if difference},
        tuple(n for n in cases_a if n not in cases_b),
        tuple(n for n in cases_b if n not in cases_a),
    )


def _annotated(a: Case, b: Case) -> list[str]:
    """Labels measured in the case by both evaluations."""
    ours, theirs = ({n for n, s in c["labels"].items() if s.get("dice") is not None} for c in (a, b))
    return [name for name in a["labels"] if name in ours & theirs]


def _values(a: Case, b: Case, metric: str, labels: list[str]) -> tuple[float | None, float | None]:
    """The case's means over those of the labels that have a value in both."""
    both = [n for n in labels if a["labels"][n].get(metric) is not None and b["labels"][n].get(metric) is not None]
    return case_mean(a, metric, both), case_mean(b, metric, both)


def _difference(
    values: list[tuple[float | None, float | None]], metric: str, samples: int, seed: int
) -> Difference | None:
    pairs: Floats = np.array([v for v in values if None not in v], dtype=np.float64).reshape(-1, 2)
    if not len(pairs):
        return None
    change = pairs[:, 1] - pairs[:, 0]
    low, high = bootstrap_interval(change, samples, seed) if len(change) > 1 else (None, None)
    mean_a, mean_b = pairs.mean(axis=0).tolist()
    gain = change if measure(metric).higher_is_better else -change
    return Difference(
        pairs=len(pairs),
        undefined=len(values) - len(pairs),
        mean_a=mean_a,
        mean_b=mean_b,
        difference=float(change.mean()),
        low=low,
        high=high,
        better=float((gain > 0).mean()),
    )


def bootstrap_interval(values: Floats, samples: int, seed: int) -> tuple[float, float]:
    """95 % percentile interval of the mean of ``values`` (N,) under ``samples`` draws with replacement."""
    draws = np.random.default_rng(seed).integers(0, len(values), (samples, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def _by_name(metrics: Mapping[str, Any], which: str) -> dict[str, Case]:
    cases = {case["name"]: case for case in metrics["cases"]}
    if len(cases) != len(metrics["cases"]):
        names = [case["name"] for case in metrics["cases"]]
        twice = next(n for n in names if names.count(n) > 1)
        raise InputError(f'The {which} evaluation has several cases named "{twice}"; each name may occur once.')
    return cases


def _some(names: Iterable[str]) -> str:
    """The first few names, for a message."""
    listed = list(names)
    return ", ".join(f'"{n}"' for n in listed[:3]) + (" ..." if len(listed) > 3 else "") if listed else "none"
