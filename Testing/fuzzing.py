"""What the fuzz tests share: how long they run, how content is damaged, and what may come of reading it.

``HYPOTHESIS_PROFILE=fuzz pytest Testing/unit/fuzz`` looks for new examples for minutes; without it, the same few are
tried at each run.
"""

from __future__ import annotations

import copy
import faulthandler
import json
import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from hrseg.errors import HrsegError

T = TypeVar("T")
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
#: Seconds: an example that takes longer has hung, even on a busy machine.
HANG = 300
#: Bytes of address space beyond what is taken: a header that lies may not get more.
_ROOM = 2**30
#: Where to write the stack of a hung example to; see ``conftest.py``.
STDERR = 2
#: Bytes at the beginning in which most of the meaning lies.
_HEAD = 400
#: Stands for lists within lists, too many to be made by way of Python.
_DEEP = "<deep>"
ODD_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 7, 2**31, 2**63, 2**70, -(2**63), 10**30, 10**400),
    *(0.5, -0.0, float("nan"), float("inf"), -float("inf"), 1e308, -1e308, 1e-320),
    *("", " ", "\0", "\ud800", "a\nb", "../a", "x" * 9000, "9" * 5000, "9" * 20, "none", "Ä", "RAS"),
    *([], {}, [[]], [[1, 2], [3]], [1, 2, 3], [1e308] * 3, ["a"], {"": {}}, _DEEP),
]
_ODD_WORDS = [
    *(b"", b"0", b"-1", b"nan", b"inf", b"1e400", b"-1e-320", b"2147483648", b"99999999999999999999", b"0x1", b"\0"),
    *(b"\xff\xfe", b"none", b"true", b"LOCAL", b"a b", b"(1,0,0)", b"[[[", b"{", b'"', b"&a [*a]", b"x" * 9000),
]
_ODD_NUMBERS = [
    *(struct.pack("<h", n) for n in (0, -1, 1, 2, 7, 8, 16, 32767, -32768)),
    *(struct.pack("<i", n) for n in (0, -1, 2**31 - 1, -(2**31), 65536)),
    *(struct.pack("<q", n) for n in (-1, 2**63 - 1, 2**40, 2**24)),
    *(struct.pack("<f", x) for x in (0, -1, float("nan"), float("inf"), 3e38, 1e-45)),
    *(struct.pack("<d", x) for x in (float("nan"), float("inf"), 1e308, 1e-320)),
    *(struct.pack(">I", n) for n in (0, 1, 2**31 - 1, 2**31, 2**32 - 1)),
]


def fuzzed(examples: int) -> settings:
    """So many examples, always the same; in the long profile ten times as many, and new ones."""
    return settings(
        max_examples=examples * (10 if LONG else 1),
        derandomize=not LONG,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
        print_blob=True,
    )


@contextmanager
def little_memory() -> Iterator[None]:
    """Where the system can do so, limits memory to a little more than is taken: a huge allocation fails at once."""
    try:
        import resource

        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + _ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def outcome(read: Callable[..., T], *arguments: Any, lines: int = 1) -> T | None:
    """What ``read`` gives, or None where it refuses in a few words. Anything else fails the test; a hang ends it all.

    Args:
        read: may raise no other errors than those of ``hrseg.errors``.
        arguments: of it.
        lines: that the message may have.
    """
    if hasattr(faulthandler, "dump_traceback_later"):
        faulthandler.dump_traceback_later(HANG, exit=True, file=STDERR)
    try:
        return read(*arguments)
    except HrsegError as error:
        text = str(error)
        assert text.count("\n") < lines, text
        assert 20 < len(text) < 800 * lines, text
        assert not any(word in text for word in ("Traceback", "itk::", ".cxx", " object at 0x")), text
        assert text.replace("\n", "").isprintable(), text
        return None
    finally:
        faulthandler.cancel_dump_traceback_later()


@st.composite
def damaged(draw: st.DrawFn, content: bytes, others: Sequence[bytes] = (b"",)) -> bytes:
    """``content`` with one to three edits: bits flipped, numbers, words, parts dropped, repeated, cut, joined."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, min(_HEAD, len(content))) | st.integers(0, len(content)))
        until = at + draw(st.integers(1, 16) | st.integers(1, len(content) + 1))
        match draw(st.sampled_from(["flip", "number", "number", "word", "word", "drop", "repeat", "cut", "join"])):
            case "flip":
                bit = 1 << draw(st.integers(0, 7))
                content = content[:at] + bytes(byte ^ bit for byte in content[at : at + 1]) + content[at + 1 :]
            case "number":
                odd = draw(st.sampled_from(_ODD_NUMBERS))
                # Fields of binary headers begin at even places.
                content = content[: at & ~1] + odd + content[(at & ~1) + len(odd) :]
            case "word":
                content = draw(_other_word(content))
            case "drop":
                content = content[:at] + content[until:]
            case "repeat":
                content = content[:until] + content[at:]
            case "cut":
                content = content[:at]
            case "join":
                content = content[:at] + draw(st.sampled_from(others))
    return content


@st.composite
def _other_word(draw: st.DrawFn, content: bytes) -> bytes:
    words = list(re.finditer(rb"[-+.\w]+", content[: 4 * _HEAD]))
    if not words:
        return content
    word = draw(st.sampled_from(words))
    return content[: word.start()] + draw(st.sampled_from(_ODD_WORDS)) + content[word.end() :]


@st.composite
def damaged_json(draw: st.DrawFn, valid: Any) -> Any:
    """A JSON value with one to three of its parts replaced by odd ones, removed, or exchanged for other parts."""
    root = [copy.deepcopy(valid)]
    for _ in range(draw(st.integers(1, 3))):
        holders = [(holder, key) for holder, key in _places(root)]
        holder, key = draw(st.sampled_from(holders))
        match draw(st.sampled_from(["odd", "odd", "odd", "other", "remove", "add"])):
            case "odd":
                holder[key] = copy.deepcopy(draw(st.sampled_from(ODD_VALUES)))
            case "other":
                there, other = draw(st.sampled_from(holders))
                holder[key] = copy.deepcopy(there[other])
            case "remove":
                if holder is not root:
                    del holder[key]
            case "add":
                inner = holder[key]
                if isinstance(inner, dict):
                    inner[draw(st.sampled_from(["", "x", "9" * 5000, "-1", "٣", "\ud800"]))] = 0
                elif isinstance(inner, list):
                    inner.append(copy.deepcopy(draw(st.sampled_from(ODD_VALUES))))
    return root[0]


def json_text(value: Any) -> str:
    """The text of a value of :func:`damaged_json`."""
    return json.dumps(value).replace(f'"{_DEEP}"', "[" * 5000 + "]" * 5000)


def json_bytes(valid: Any) -> st.SearchStrategy[bytes]:
    """The bytes of a JSON file whose values are damaged, or whose text is."""
    whole = json.dumps(valid).encode()
    return damaged_json(valid).map(lambda value: json_text(value).encode()) | damaged(whole)


def _places(holder: Any) -> list[tuple[Any, Any]]:
    """All (list or dictionary, index or key) in a JSON value."""
    items = list(holder.items() if isinstance(holder, dict) else enumerate(holder))
    inner = [place for _, value in items if isinstance(value, (dict, list)) for place in _places(value)]
    return [(holder, key) for key, _ in items] + inner
