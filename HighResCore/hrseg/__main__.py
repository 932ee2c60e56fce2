"""``python -m hrseg`` is the command ``hrseg``."""

from hrseg.cli import main

main()
