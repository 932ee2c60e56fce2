"""The commands together, their errors in one line, and their exit codes."""

from __future__ import annotations

import os
import sys

import typer

from hrseg.cli.console import console
from hrseg.errors import HrsegError, OutOfMemory

# On Linux this lets torch use huge pages for large tensors, which halves the time of training on a CPU. It is read
# when torch first allocates.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

app = typer.Typer(
    name="hrseg",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Segments medical images that are too large for the GPU, at full resolution. Research only.",
    epilog="Every command takes --debug, which shows where an error came from.",
)


def main() -> None:
    """Runs the command line. Exit codes: 0 done, 2 wrong input, 3 no memory, 4 cannot write, 130 interrupted."""
    from hrseg.cli import demo, evaluate, models, phantom, segment, train

    for module in (segment, models, train, evaluate, phantom, demo):
        module.register(app)
    debug = "--debug" in sys.argv
    try:
        app([argument for argument in sys.argv[1:] if argument != "--debug"], prog_name="hrseg")
    except HrsegError as error:
        fail(error, debug)
    except MemoryError:
        fail(OutOfMemory("Memory ran out; close other programs, or choose a smaller image."), debug)


def fail(error: HrsegError, debug: bool) -> None:
    """Prints one line, or the traceback too, and exits with the error's code."""
    if debug:
        console.print_exception()
    console.print(f"[bold red]Error:[/] {error}", highlight=False, soft_wrap=True)
    sys.exit(error.exit_code)
