"""What a batch has done: as JSON, and in words while it runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hrseg.batch.outcome import Outcome
from hrseg.image import replacing

#: Exit code of the command when some cases failed.
SOME_FAILED = 5
#: Name of the file, in the folder of the results.
SUMMARY = "summary.json"


def counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many cases are done, skipped, failed, not done."""
    found = Counter(outcome.result for outcome in outcomes)
    return {result: found[result] for result in ("done", "skipped", "failed", "not done")}


def write_summary(path: Path, outcomes: Sequence[Outcome], about: dict[str, Any]) -> None:
    """Writes ``about`` the batch, the counts and a row per case. Raises OutputError when that is not possible."""
    content = {**about, "counts": counts(outcomes), "cases": list(map(_row, outcomes))}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def time_left(seconds: float, done: int, left: int) -> str:
    """Words for the time that the rest will take, where ``done`` cases took so many seconds."""
    rest = seconds / done * left
    if rest < 90:
        return f"about {rest:.0f} s left"
    minutes = round(rest / 60)
    return f"about {minutes} min left" if minutes < 90 else f"about {minutes // 60} h {minutes % 60} min left"


def _row(outcome: Outcome) -> dict[str, Any]:
    numbers = outcome.numbers
    row: dict[str, Any] = {
        "case": outcome.case.name,
        "image": str(outcome.case.image),
        "output": str(outcome.output),
        "result": outcome.result,
        "seconds": numbers and numbers.seconds,
        "peak_memory_mib": numbers and numbers.peak_memory_mib,
        "notices": list(numbers.notices) if numbers else [],
        "error": outcome.error,
        "exit_code": outcome.exit_code,
    }
    return {**row, "trace": outcome.trace} if outcome.trace else row
