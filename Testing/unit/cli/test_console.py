"""The bars of the command line: one per stage, and none where nobody watches."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from hrseg.cli import console
from hrseg.cli.console import progress_bar


def shown(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> str:
    """What a reader sees of a run of two stages, the second of which begins anew."""
    screen = io.StringIO()
    monkeypatch.setattr(console, "console", Console(file=screen, force_terminal=terminal, width=80))
    with progress_bar() as progress:
        for stage, done, total in (("reading", 1, 1), ("inference", 0, 4), ("inference", 3, 4), ("inference", 0, 9)):
            progress(stage, done, total)
    return screen.getvalue()


def test_a_bar_per_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, terminal=True)
    for part in ("reading", "1/1", "inference", "3/4", "0/9"):
        assert part in text


def test_no_bar_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, terminal=False) == ""
