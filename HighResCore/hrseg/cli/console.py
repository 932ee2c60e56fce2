"""Output to the terminal: results go to standard output, everything else to standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from hrseg import runtime

# Paths and names are shown as they are: brackets are no markup, and long lines are not broken.
console = Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)
# Where nobody watches tables may be as wide as they need to be.
_WIDTH = None if sys.stdout.isatty() else 160
output = Console(markup=False, highlight=False, emoji=False, soft_wrap=True, width=_WIDTH)


@contextmanager
def progress_bar() -> Iterator[runtime.Progress]:
    """A function for :class:`hrseg.runtime.Run` that shows one bar per stage, where there is a terminal."""
    if not console.is_interactive:
        yield lambda *_: None
        return
    columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks or done == 0:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done)

        yield show
