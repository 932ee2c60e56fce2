"""The settings of the cascade that the panel offers, between the units of users and those of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Of the core (hrseg.crop_cascade.settings), for models whose header leaves them out. A test compares them.
DEFAULTS: dict[str, Any] = {"context": 0.15, "threshold": 0.4, "merge": "mean"}


def settingsOf(header: Mapping[str, Any]) -> dict[str, Any]:
    """The context (a share), threshold and merge of a model's header."""
    own = header.get("inference") or {}
    return {key: own.get(key, default) for key, default in DEFAULTS.items()}


def changes(header: Mapping[str, Any], context: float, threshold: float, merge: str) -> dict[str, Any]:
    """What differs from the model's own settings; ``context`` in percent."""
    own = settingsOf(header)
    chosen = {"context": round(context / 100, 4), "threshold": round(threshold, 4), "merge": merge}
    return {key: value for key, value in chosen.items() if value != own[key]}
