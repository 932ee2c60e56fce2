"""``python -m hrseg.worker FOLDER``: the worker, as its client starts it."""

import sys
from pathlib import Path

from hrseg.worker.folder import is_private

if __name__ == "__main__":
    if len(sys.argv) != 2 or not is_private(Path(sys.argv[1])):
        sys.exit("The worker is started by the extension; `hrseg segment` segments from the command line.")
    from hrseg.worker.server import main

    main(Path(sys.argv[1]))
