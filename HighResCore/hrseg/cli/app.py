"""The commands together, their errors in one line, and their exit codes."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer
from rich.text import Text
from typer.exceptions import TyperException

from hrseg.cli.console import console
from hrseg.cli.data_list import data_list
from hrseg.cli.demo import demo
from hrseg.cli.evaluate import compare, evaluate
from hrseg.cli.field import field
from hrseg.cli.models import models
from hrseg.cli.phantom import phantom
from hrseg.cli.segment import segment
from hrseg.cli.train import train
from hrseg.errors import Cancelled, HrsegError, OutOfMemory

app = typer.Typer(
    name="hrseg",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Segments medical images that are too large for the GPU, at full resolution. Research only.",
    epilog="Every command takes --debug, which shows where an error came from.",
)
app.command()(segment)
app.command()(field)
app.add_typer(models, name="models")
for command in (data_list, train, evaluate, compare, phantom, demo):
    app.command()(command)


def main() -> NoReturn:
    """Runs the command line.

    Exit codes: 0 done, 2 wrong input, 3 no memory, 4 cannot write, 5 some images of a batch failed, 130 interrupted.
    """
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = "--debug" in sys.argv
    try:
        code = app(arguments or ["--help"], prog_name="hrseg", standalone_mode=False)
    except HrsegError as error:
        fail(str(error), error.exit_code, debug)
    except TyperException as error:
        usage = getattr(error, "ctx", None)
        hint = f'; see "{usage.command_path} --help"' if usage else ""
        fail(f"{error.format_message().rstrip('.')}{hint}.", error.exit_code, debug)
    except ModuleNotFoundError as error:
        text = f'The library "{error.name}" is missing; in the checkout: pip install -c constraints.txt -e ".[train]".'
        fail(text, 1, debug)
    except (MemoryError, RuntimeError) as error:
        from hrseg.runtime import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        text = "Memory ran out; close other programs, or choose a smaller image, model or batch."
        fail(text, OutOfMemory.exit_code, debug)
    if code == Cancelled.exit_code:
        fail("Interrupted.", code, debug)
    sys.exit(code)


def fail(text: str, code: int, debug: bool) -> NoReturn:
    """Prints one line, after the traceback if wanted, and exits."""
    if debug and sys.exc_info()[0]:
        console.print_exception()
    console.print(Text.assemble(("Error:", "bold red"), " ", text))
    sys.exit(code)
