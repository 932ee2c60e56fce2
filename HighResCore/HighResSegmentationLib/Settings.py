"""The user's choices that belong to the computer, not to a scene: Slicer's settings, or memory where there are none."""

from __future__ import annotations

from typing import Any

_GROUP = "HighResSegmentation/"
#: Outside the application, as in tests and in PythonSlicer.
_memory: dict[str, str] = {}


def readSetting(key: str) -> str:
    """The text stored under ``key``, empty if there is none."""
    settings = _applicationSettings()
    if settings is None:
        return _memory.get(key, "")
    return str(settings.value(_GROUP + key) or "")


def writeSetting(key: str, value: str) -> None:
    """Stores ``value`` under ``key``; an empty one forgets the key."""
    settings = _applicationSettings()
    if settings is None:
        _memory[key] = value
    elif value:
        settings.setValue(_GROUP + key, value)
    else:
        settings.remove(_GROUP + key)


def _applicationSettings() -> Any | None:
    try:
        import slicer
    except ImportError:
        return None
    return slicer.app.userSettings() if hasattr(getattr(slicer, "app", None), "userSettings") else None
