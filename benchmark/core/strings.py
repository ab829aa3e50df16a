"""Lists as people write them in a flag or in YAML, and texts as messages show them."""

from __future__ import annotations

from typing import Any

#: The most seeds of a range.
MOST_SEEDS = 10_000


def as_list(value: Any) -> Any:
    """A comma-separated text as a list; commas in parentheses belong to their item."""
    if not isinstance(value, str):
        return value or []
    items, depth = [""], 0
    for character in value:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            items.append("")
        else:
            items[-1] += character
    return [item.strip() for item in items if item.strip()]


def as_seeds(value: Any) -> Any:
    """Seeds as a list; ``0-4`` is 0, 1, 2, 3, 4. Raises ValueError for a range that ends before it begins, or is of
    more than ``MOST_SEEDS``."""
    if isinstance(value, str):
        value = as_list(value)
    if not isinstance(value, list | tuple):
        return [] if value is None else [value]
    seeds: list[Any] = []
    for item in value:
        first, dash, last = str(item).partition("-")
        if dash and first.isdecimal() and last.isdecimal():
            if len(first) > 18 or len(last) > 18 or int(last) - int(first) >= MOST_SEEDS:
                raise ValueError(f"{single_line(str(item), 60)}: a range of more than {MOST_SEEDS} seeds")
            if int(last) < int(first):
                raise ValueError(f"{item}: ends before it begins")
            seeds.extend(range(int(first), int(last) + 1))
        else:
            seeds.append(item)
    return seeds


def unique(values: list[Any], what: str) -> list[Any]:
    """The list. Raises ValueError where it names something twice."""
    repeated = [value for place, value in enumerate(values) if value in values[:place]]
    if repeated:
        raise ValueError(f"{what} names {repeated[0]!r} twice")
    return values


def as_values(value: Any) -> Any:
    """``gpu,time=4h`` as a mapping; what has no value is the name of a profile."""
    items = as_list(value) if isinstance(value, str) else None
    if items is None:
        return value or {}
    pairs = [item.partition("=") for item in items]
    return {
        key.strip() if equals else "profile": (text if equals else key).strip() for key, equals, text in pairs
    }


def duration(seconds: float) -> str:
    """Such as ``42 s``, ``3 min`` or ``2 h 10 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def printable(text: str) -> str:
    """A text that may have come from somebody else, such that it cannot steer a terminal.

    Args:
        text: any text; line breaks and tabs are kept.

    Returns:
        The text with a space for every other white space, and a question mark for every character that is not
        printed: escapes (ESC, the C1 controls), and marks that turn the direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in "\n\t" else " " if one.isspace() else "?" for one in text
    )


def single_line(text: str, longest: int = 500) -> str:
    """A message on one line, for what may come from a library or from a file of somebody else.

    Args:
        text: any text.
        longest: the number of characters that are shown at most.

    Returns:
        The text, every run of white space replaced by one space, its end by an ellipsis where it is too long.
    """
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
