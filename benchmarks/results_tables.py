"""What tables.yaml says of tables, and tables as Markdown.

    tables:
      nuclei-cascade:
        columns:
          - {head: plain Dice, of: reference, metric: dice, show: mean ± sd, scale: 100, digits: 1}
          - {head: gain (95 % interval), metric: dice, show: gain, scale: 100, digits: 1}
        rows:
          - {title: "ours, 64, 0", metrics: nuclei/cascade-64-0-cascade, reference: nuclei/cascade-64-0-plain}
          - {title: "published, 64", cells: ["75.7", "+8.6"]}
      headneck-patch-based:
        columns: [...]
        labels_of: headneck/patch-based          # a row for each label, and one for their mean
    cards:
      nuclei-crop-cascade: nuclei/cascade-64-0-cascade

`metrics` and `reference` are files in docs/results/, without .json. A gain is over the reference, paired by case, with
its 95 % bootstrap interval. Cells are for numbers of others, such as published ones.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from hrseg.errors import InputError
from hrseg.evaluation.compare import Difference, compare
from hrseg.evaluation.measures import MEASURES
from hrseg.evaluation.summary import read_metrics, size_terciles, summarise
from hrseg.model_file import Strict, first_problem

Metrics = dict[str, Any]


class Column(Strict):
    """What stands in a column.

    Attributes:
        head: its heading.
        show: ``mean``, ``mean ± sd`` (over cases), ``gain`` (over the row's reference), ``better`` (share of the cases
            where it is), ``seconds`` (mean), ``memory`` (MiB, largest), or ``cases``.
        metric: which score, where one is shown.
        of: whose: the row's ``metrics``, or its ``reference``.
        size: of ``small``, ``medium`` or ``large`` cases alone: terciles of the true size of their labels together.
        scale: 100 for per cent.
        digits: decimals.
    """

    head: str
    show: Literal["mean", "mean ± sd", "gain", "better", "seconds", "memory", "cases"] = "mean"
    metric: str = "dice"
    of: Literal["metrics", "reference"] = "metrics"
    size: Literal["small", "medium", "large"] | None = None
    scale: float = 1
    digits: int = Field(default=3, ge=0, le=6)

    @model_validator(mode="after")
    def _known(self) -> Column:
        if self.metric not in MEASURES:
            raise ValueError(f'there is no metric "{self.metric}"; choose one of {", ".join(MEASURES)}')
        return self


class Row(Strict):
    """A row: stored metrics, and what they are compared with; or plain ``cells``."""

    title: str
    metrics: str | None = None
    reference: str | None = None
    label: str | None = None
    cells: list[str] = []

    @model_validator(mode="after")
    def _has_something(self) -> Row:
        if bool(self.metrics) == bool(self.cells):
            raise ValueError(f'the row "{self.title}" needs either metrics or cells')
        return self


class Table(Strict):
    """A table; see the top of this file."""

    first: str = "variant"
    columns: list[Column]
    rows: list[Row] = []
    labels_of: str | None = None

    def markdown(self, folder: Path) -> str:
        """The table, of metrics stored in ``folder``. Raises InputError when some are not."""
        heads = [self.first, *(column.head for column in self.columns)]
        lines = [_line(heads), _line(["---"] * len(heads))]
        return "\n".join([*lines, *(_line([row.title, *self._cells(row, folder)]) for row in self._all_rows(folder))])

    def _all_rows(self, folder: Path) -> list[Row]:
        if not self.labels_of:
            return self.rows
        names = list(dict.fromkeys(n for case in stored(folder, self.labels_of)["cases"] for n in case["labels"]))
        labels = [Row(title=name, metrics=self.labels_of, label=name) for name in names]
        return [*labels, Row(title="mean", metrics=self.labels_of), *self.rows]

    def _cells(self, row: Row, folder: Path) -> list[str]:
        if row.metrics is None:
            return [*row.cells, *[""] * (len(self.columns) - len(row.cells))]
        metrics = stored(folder, row.metrics)
        reference = stored(folder, row.reference) if row.reference else None
        return [_cell(column, row.label, metrics, reference) for column in self.columns]


class Tables(Strict):
    """All tables, and which stored metrics the model cards show."""

    tables: dict[str, Table]
    cards: dict[str, str] = {}


def read_tables(path: Path) -> Tables:
    """Raises InputError when the file cannot be read or does not fit."""
    try:
        return Tables.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f'Cannot read the tables "{path}": {error.strerror}.') from error
    except yaml.YAMLError as error:
        raise InputError(f'The tables "{path}" are not YAML: {" ".join(str(error).split())}.') from error
    except ValidationError as error:
        raise InputError(f'The tables "{path}" are not valid: {first_problem(error)}.') from error


@cache
def stored(folder: Path, name: str) -> Metrics:
    """The stored metrics of this name, with their summary. Raises InputError when there are none."""
    path = folder / f"{name}.json"
    if not path.exists():
        raise InputError(
            f'The metrics "{name}" are not stored; `python benchmarks/results.py import {name} metrics.json` does it.'
        )
    metrics = read_metrics(path)
    return {**metrics, **summarise(metrics["cases"])}


def _of_size(metrics: Metrics, size: str) -> Metrics:
    """The cases of one tercile."""
    names, _ = size_terciles(metrics["cases"])
    cases = [case for case in metrics["cases"] if names[case["name"]] == size]
    return {**metrics, "cases": cases, **summarise(cases)}


def _cell(column: Column, label: str | None, metrics: Metrics, reference: Metrics | None) -> str:
    if column.size:
        metrics = _of_size(metrics, column.size)
        reference = reference and _of_size(reference, column.size)
    if column.show in ("gain", "better"):
        return _compared(column, label, metrics, reference)
    of = reference if column.of == "reference" else metrics
    if of is None:
        return ""
    if column.show == "seconds":
        return _number(of["cost"]["seconds_mean"], column)
    if column.show == "memory":
        return _number(of["cost"]["peak_memory_mib_max"], column)
    scores = of["by_label"][label] if label else of["mean"]
    if column.show == "cases":
        return str(scores["cases"])
    mean, key = _number(scores.get(column.metric), column), column.metric
    if column.show == "mean" or mean == "–":
        return mean
    return f"{mean} ± {_number(scores[f'{key}_std'] if label else of['std'][key], column)}"


def _compared(column: Column, label: str | None, metrics: Metrics, reference: Metrics | None) -> str:
    if reference is None:
        return ""
    found = compare(reference, metrics, metric=column.metric)
    difference: Difference | None = found.by_label.get(label) if label else found.overall
    if difference is None:
        return "–"
    if column.show == "better":
        return f"{100 * difference.better:.0f} %"
    ends = [difference.difference, difference.low, difference.high]
    change, low, high = ("–" if n is None else f"{column.scale * n:+.{column.digits}f}" for n in ends)
    return f"{change} ({low} … {high})"


def _number(value: float | None, column: Column) -> str:
    return "–" if value is None else f"{column.scale * value:.{column.digits}f}"


def _line(cells: list[str]) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)
