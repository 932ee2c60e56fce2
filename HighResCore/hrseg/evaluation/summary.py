"""``metrics.json``: the metrics of all cases with their means, and how it is written and read."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hrseg.errors import InputError
from hrseg.evaluation.measures import MEASURES
from hrseg.image import replacing
from hrseg.json_file import read_json
from hrseg.lesions import size_name, terciles
from hrseg.pictures import is_picture

#: ``name``, ``image``, ``labels`` (label name -> metrics), ``seconds`` (with ``total``) and ``peak_memory_mib``; of
#: methods with gates also ``gates``: ``diameter`` and mean ``gates`` of lesions (see :mod:`hrseg.evaluation.gates`).
Case = Mapping[str, Any]


def case_mean(case: Case, key: str, labels: Iterable[str] | None = None) -> float | None:
    """Mean of one measure over the labels of a case that have a value (or over those named); None when none has."""
    scores = case["labels"]
    names = scores if labels is None else labels
    return mean([MEASURES[key].size(scores[name].get(key)) for name in names])


def unit_of(metrics: Mapping[str, Any]) -> str:
    """In what lengths are counted: "mm", or "pixels" of pictures (and areas in thousands of them, for ml)."""
    if "unit" in metrics["data"]:
        return str(metrics["data"]["unit"])
    return "pixels" if any(is_picture(case.get("image", "")) for case in metrics["cases"]) else "mm"


def size_terciles(cases: Sequence[Case]) -> tuple[dict[str, str], tuple[float, float]]:
    """Name of the case -> "small", "medium" or "large", by the true size of its labels together; and the two limits.

    The limits are in ml, of pictures in 1000 pixels.

    Raises:
        InputError: metrics without sizes.
    """
    sizes: dict[str, float] = {}
    for case in cases:
        known = [size for scores in case["labels"].values() if (size := scores.get("truth_ml")) is not None]
        if not known:
            raise InputError(
                f'The metrics of the case "{case["name"]}" do not tell the true size (truth_ml); evaluate once more.'
            )
        sizes[case["name"]] = sum(known)
    limits = terciles(list(sizes.values()))
    return {name: size_name(size, limits) for name, size in sizes.items()}, limits


def hd95_undefined(case: Case) -> int:
    """In how many labels of a case one of truth and prediction is empty and the other not."""
    return sum(map(_undefined, case["labels"].values()))


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that exist, None when there are none."""
    present = [v for v in values if v is not None]
    return statistics.fmean(present) if present else None


def summarise(cases: Sequence[Case]) -> dict[str, Any]:
    """Means over cases, overall and by label; see :mod:`hrseg.evaluation.metrics` for values that do not exist.

    Returns:
        - ``mean``, ``std``: for each measure the mean and the sample standard deviation, over cases, of the case's
          mean over its annotated labels. ``mean`` also has the number of ``cases``, and ``hd95_undefined``: in how many
          pairs of case and label one mask was empty and the other not, so that HD95 leaves them out.
        - ``by_label``: label name -> the same for this label alone: ``dice``, ``dice_std``, ...
        - ``cost``: ``seconds_mean`` and ``peak_memory_mib_max`` of the cases.
    """
    scores = [s for case in cases for s in case["labels"].values()]
    keys = [k for k in MEASURES if any(k in s for s in scores)]
    over_cases = {key: [case_mean(case, key) for case in cases] for key in keys}
    names = list(dict.fromkeys(name for case in cases for name in case["labels"]))
    return {
        "mean": {k: mean(v) for k, v in over_cases.items()}
        | {"cases": len(cases), "hd95_undefined": sum(map(hd95_undefined, cases))},
        "std": {k: _deviation(v) for k, v in over_cases.items()},
        "by_label": {n: _label_summary([c["labels"][n] for c in cases if n in c["labels"]], keys) for n in names},
        "cost": {
            "seconds_mean": mean(case.get("seconds", {}).get("total") for case in cases),
            "peak_memory_mib_max": max(
                (m for case in cases if (m := case.get("peak_memory_mib")) is not None), default=None
            ),
        },
    }


def write_metrics(
    path: str | os.PathLike[str], model: Mapping[str, Any], data: Mapping[str, Any], cases: Sequence[Case]
) -> dict[str, Any]:
    """Writes ``model``, ``data``, the summary and the cases as JSON, replacing the file in one step; returns them.

    Raises:
        OutputError: the file cannot be written.
    """
    metrics = {"model": dict(model), "data": dict(data), **summarise(cases), "cases": list(cases)}
    text = json.dumps(metrics, indent=1, ensure_ascii=False, allow_nan=False)
    with replacing(Path(path)) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return metrics


def read_metrics(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of a file written by :func:`write_metrics`.

    Raises:
        InputError: no such file, not JSON, or without cases.
    """
    metrics = read_json(Path(path), "metrics file")
    cases = metrics.get("cases") if isinstance(metrics, dict) else None
    if not isinstance(cases, list) or not all(isinstance(c, dict) and {"name", "labels"} <= c.keys() for c in cases):
        raise InputError(
            f'"{path}" has no list "cases" with a name and labels each; give the metrics.json of an evaluation.'
        )
    return metrics


def _label_summary(scores: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> dict[str, Any]:
    """Means and deviations of one label over the cases in which it is annotated."""
    result: dict[str, Any] = {
        "cases": sum(s.get("dice") is not None for s in scores),
        "hd95_undefined": sum(map(_undefined, scores)),
    }
    for key in keys:
        values = [MEASURES[key].size(s.get(key)) for s in scores]
        result |= {key: mean(values), f"{key}_std": _deviation(values)}
    return result


def _undefined(scores: Mapping[str, Any]) -> bool:
    return scores.get("dice") is not None and "hd95_mm" in scores and scores["hd95_mm"] is None


def _deviation(values: Iterable[float | None]) -> float | None:
    """Sample standard deviation, None for fewer than two values."""
    present = [v for v in values if v is not None]
    return statistics.stdev(present) if len(present) > 1 else None
