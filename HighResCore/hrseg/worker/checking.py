"""JSON values made into the dataclasses of messages, each field checked. Standard library only."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from reprlib import repr as short
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hrseg.errors import HrsegError


class ProtocolError(HrsegError):
    """A line that is not a message of this version."""


def built(content: Any, kind: type, place: str) -> Any:
    """A dataclass from the JSON object of its fields; ``place`` names it in errors.

    Raises:
        ProtocolError: fields that are missing, unknown or of a wrong type.
    """
    if not isinstance(content, dict):
        raise ProtocolError(f'"{place}" must be an object, not {short(content)}.')
    hints = _hints(kind)
    required = {
        f.name
        for f in dataclasses.fields(kind)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    missing, unknown = sorted(required - content.keys()), sorted(content.keys() - hints.keys())
    if missing or unknown:
        raise ProtocolError(f'"{place}" lacks the fields {short(missing)} or has unknown ones {short(unknown)}.')
    return kind(**{name: checked(value, hints[name], f"{place}.{name}") for name, value in content.items()})


def checked(value: Any, kind: Any, place: str) -> Any:
    """A JSON value as a field of that type. Raises as :func:`built`."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, UnionType):
        return None if value is None else checked(value, inner[0], place)
    if origin is Literal:
        if value in inner:
            return value
    elif origin is tuple:
        if isinstance(value, list) and (inner[-1] is Ellipsis or len(inner) == len(value)):
            return tuple(checked(item, inner[0], f"{place}[{n}]") for n, item in enumerate(value))
    elif origin is dict:
        if isinstance(value, dict):
            return {key: checked(item, inner[1], f"{place}[{short(key)}]") for key, item in value.items()}
    elif dataclasses.is_dataclass(kind):
        return built(value, kind, place)  # type: ignore[arg-type]
    elif kind is float and type(value) is int and abs(value) < 2**63:
        return float(value)
    elif type(value) is kind:
        return value
    raise ProtocolError(f'"{place}" is {short(value)}, which is not a {getattr(kind, "__name__", kind)}.')


@lru_cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
