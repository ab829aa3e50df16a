"""The draws of a search: each follows from names alone, whatever else is drawn, planned or done.

A draw is a hash of method, parameter and index, so another method, another parameter or more draws leave it as it
is, on every machine. Seeds follow from names in the same way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any, Literal

from ..core.method_fields import Field

SEEDS = 2**31
#: After so many draws that are all rounded to 0, the range of a parameter that must not be 0 holds nothing else.
TURNS = 100


def uniform(*names: object) -> float:
    """A number from [0, 1), in steps of 2**-53, that the names decide."""
    return (_hash(*names) >> 11) / 2**53


def draw(field: Field, method: str, index: int) -> Any:
    """The value of a searched parameter in a draw: from its range, rounded as it asks, or one of its choices.

    In a range the draw is uniform, or its logarithm is, where the range is logarithmic.

    As in MMDG-Bench the draw is rounded, not drawn from a grid: the two ends come half as often. A parameter that is
    ``nonzero``, such as a temperature, by which a method divides, is drawn again where it would be rounded to 0.

    Args:
        field: the parameter.
        method: the method's registered name.
        index: of the draw, from 1; draw 0 is the default, which nobody draws.
    """
    search = field.search or {}
    names = ("draw", method, field.name, index)
    if search["choices"]:
        return search["choices"][int(uniform(*names) * len(search["choices"]))]
    value: Any = None
    for turn in range(TURNS):
        place = uniform(*names, *([turn] if turn else []))
        value = round_draw(field, _in_range(search, place))
        if not _is_forbidden_zero(field, value):
            return value
    return replace_zero(field, value)


def _in_range(search: Mapping[str, Any], place: float) -> float:
    """The number at a share of the way from the lower end of a range to its upper end."""
    low, high = search["low"], search["high"]
    return low * (high / low) ** place if search["log"] else low + place * (high - low)


def round_draw(field: Field, value: float) -> Any:
    """A number as the draws of a parameter are: rounded, within the range, and of the default's type.

    Args:
        field: the parameter.
        value: the number.
    """
    search = field.search or {}
    if isinstance(field.default, int):
        value = round(value)
    elif search["digits"] is not None and search["log"]:
        value = float(f"{value:.{max(search['digits'], 1)}g}")
    elif search["digits"] is not None:
        value = round(value, search["digits"])
    value = min(max(value, search["low"]), search["high"])
    return type(field.default)(value)


def replace_zero(field: Field, value: Any) -> Any:
    """The value of a draw; where it is 0 and the parameter must not be, the smallest that is not 0.

    Args:
        field: the parameter.
        value: as ``round_draw`` returns it.
    """
    if not _is_forbidden_zero(field, value):
        return value
    search = field.search or {}
    least = 1 if isinstance(field.default, int) else 10.0 ** -(search["digits"] or 6)
    return type(field.default)(min(least, search["high"]))


def _is_forbidden_zero(field: Field, value: Any) -> bool:
    return value == 0 and bool(field.search and field.search["nonzero"])


def seed_of(role: Literal["trial", "repeat"], index: int, pinned: Collection[str] = ()) -> int:
    """The seed of a trial or repeat: from 0 to 2**31 - 1, no two alike.

    It is the same for every method, so that trial 3 of one starts as trial 3 of another does.

    Args:
        role: which of the two.
        index: from 0.
        pinned: what else tells one search of a method from another.
    """
    start, step = (_hash("seed", *sorted(pinned), name) for name in ("start", "step"))
    place = 2 * index + (role == "repeat")  # an odd step leads to every number before one comes again
    return (start + (step | 1) * place) % SEEDS


def _hash(*names: object) -> int:
    """A hash of 64 bits of names."""
    text = "\0".join(str(name) for name in names)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
