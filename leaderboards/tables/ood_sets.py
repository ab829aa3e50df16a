"""The names of OOD sets: what kind, which dataset, and which content where a dataset had several."""

from __future__ import annotations

import re
from collections.abc import Iterable

_VERSION = re.compile(r" \[data [^\]/]*\]")


def versioned(name: str, content: str) -> str:
    """A set's name with its content: ``"near:mosei [data 3f2a91bc]"``.

    Args:
        name: such as ``"near:mosei"``.
        content: the fingerprint of its data, of which eight digits are shown; empty for the name alone.
    """
    return f"{name} [data {content[:8]}]" if content else name


def shortest(conditions: Iterable[str]) -> list[str]:
    """Conditions ``SET/SCORE`` without the content of sets that had only one, so that none is taken for
    another."""
    conditions = list(conditions)
    contents: dict[str, set[str]] = {}
    for condition in conditions:
        name = condition.rpartition("/")[0]
        contents.setdefault(_VERSION.sub("", name), set()).add(name)
    several = {name for names in contents.values() if len(names) > 1 for name in names}
    return [
        condition if condition.rpartition("/")[0] in several else _VERSION.sub("", condition)
        for condition in conditions
    ]
