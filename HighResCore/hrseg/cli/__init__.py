"""The command line ``hrseg``. Needs the optional extra ``cli``."""

from hrseg.cli.app import main

__all__ = ["main"]
