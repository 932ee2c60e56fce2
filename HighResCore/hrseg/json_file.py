"""Reading JSON files that users write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hrseg.errors import InputError


def read_json(path: Path, what: str) -> Any:
    """The content of a JSON file; ``what`` it should be, such as "data list", goes into messages.

    Raises:
        InputError: no such file, or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f'Cannot read the {what} "{path}": {error.strerror}; check the path.') from error
    except (ValueError, RecursionError) as error:
        raise InputError(f'The {what} "{path}" is not JSON ({error}).') from error
