"""Which cases teach, which choose the best state and which are kept for testing: by chance, but always the same."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence

from hrseg.data_folder import Pair
from hrseg.data_list import SPLITS
from hrseg.errors import InputError


def split_pairs(
    pairs: Sequence[Pair], shares: Sequence[float] = (60, 20, 20), seed: int = 0, group: str | None = None
) -> dict[str, list[Pair]]:
    """The pairs by split, in the order of their names. All pairs of a group, such as a patient, are in one split.

    Each split with a share has at least one group. What the data set itself keeps for testing is the test split; the
    others are then shared among training and validation.

    Args:
        pairs: with different names.
        shares: of the groups for training, validation and testing, as any numbers.
        seed: other seeds shuffle otherwise.
        group: regular expression that finds a case's group in its name: its first parenthesis, else all that it
            matches. None: each case is a group.

    Raises:
        InputError: shares that are negative or leave nothing for training, too few groups, or a pattern that is none
            or finds nothing in a name.
    """
    if not all(0 <= share < math.inf for share in shares) or not shares[0]:
        raise InputError(
            f"The shares {' '.join(f'{share:g}' for share in shares)} must be numbers from 0, with some of the cases "
            "for training, such as 60 20 20."
        )
    groups = grouped(pairs, group)
    kept = [pair for pair in pairs if pair.test]
    names = sorted(groups)
    random.Random(seed).shuffle(names)
    counts = _counts(len(names), (*shares[:2], 0) if kept else shares)
    parts: dict[str, list[Pair]] = {}
    for split, count in zip(SPLITS, counts, strict=True):
        taken, names = names[:count], names[count:]
        parts[split] = sorted((pair for name in taken for pair in groups[name]), key=lambda pair: pair.name)
    parts["test"] += sorted(kept, key=lambda pair: pair.name)
    return parts


def grouped(pairs: Sequence[Pair], pattern: str | None) -> dict[str, list[Pair]]:
    """The pairs of each group but those that are kept for testing; arguments and errors as in :func:`split_pairs`."""
    try:
        search = re.compile(pattern if pattern is not None else ".*").search
    except re.error as error:
        raise InputError(f'The pattern "{pattern}" of --group is no regular expression ({error}).') from error
    groups: dict[str, list[Pair]] = {}
    for pair in (pair for pair in pairs if not pair.test):
        match = search(pair.name)
        if not match or match[match.re.groups and 1] is None:
            part = "first parenthesis of the pattern" if match else "pattern"
            hint = ", or write (?:...) where a parenthesis is not the group" if match else ""
            raise InputError(
                f'The {part} "{pattern}" of --group finds nothing in the case "{pair.name}"; mend it{hint}.'
            )
        groups.setdefault(match[match.re.groups and 1], []).append(pair)
    return groups


def _counts(total: int, shares: Sequence[float]) -> tuple[int, int, int]:
    """Groups for training, validation and testing."""
    validation, test = (max(1, round(total * share / sum(shares))) if share else 0 for share in shares[1:])
    training = total - validation - test
    if training < 1:
        raise InputError(
            f"{total} cases or groups are too few for the shares {' '.join(f'{share:g}' for share in shares)}; "
            "add some, or give a split the share 0."
        )
    return training, validation, test
