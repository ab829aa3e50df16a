"""Lists as people write them in a flag or in YAML, and texts as messages show them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ...datasets.counting import counted as counted

#: The most seeds of a range.
MOST_SEEDS = 10_000


def split_list(text: str, nested: bool = True) -> list[str]:
    """The items of a list that is separated by commas, none of them empty; quotes are left as they are.

    Args:
        text: an item that begins with a double quote goes on to the next one, whatever stands between them; two in a row
            stand for one.
        nested: commas in parentheses or brackets belong to their item, too.
    """
    items, depth, quoted = [""], 0, False
    for character in text:
        if character == '"' and depth == 0:
            # within an item after its closing quote, a second one opens it again: "" stands for a quote
            quoted = not quoted and (not items[-1].strip() or items[-1].startswith('"'))
        if nested and not quoted:
            depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0 and not quoted:
            items.append("")
        else:
            items[-1] = (items[-1] + character).lstrip()
    return [item.strip() for item in items if item.strip()]


def unquoted(item: str) -> str:
    """An item without the double quotes around it; as it is where they are not around the whole of it."""
    match = re.fullmatch(r'"((?:[^"]|"")*)"', item)
    return match[1].replace('""', '"') if match else item


def quoted(name: str, marks: str = ",") -> str:
    """A name as an item of a list: in double quotes where ``split_list`` would not read it as one.

    Args:
        name: the name.
        marks: the characters that separate items, and parts of them.
    """
    plain = not set(name) & set(marks) and not name.startswith('"') and name == name.strip()
    return name if plain else '"' + name.replace('"', '""') + '"'


def as_list(value: Any) -> Any:
    """A comma-separated text as a list. Commas in parentheses or brackets belong to their item, and those of an item in
    double quotes (``"happy, excited",sad``), which are taken away."""
    if not isinstance(value, str):
        return value or []
    return [unquoted(item) for item in split_list(value)]


def as_seeds(value: Any) -> Any:
    """Seeds as a list; ``0-4`` is 0, 1, 2, 3, 4.

    Raises:
        ValueError: a text is neither a number nor such a range.
    """
    if isinstance(value, str):
        value = as_list(value)
    if not isinstance(value, list | tuple):
        return [] if value is None else [value]
    seeds: list[Any] = []
    for item in value:
        seeds.extend(_seeds_of(item) if isinstance(item, str) else [item])
    return seeds


def _seeds_of(text: str) -> Iterable[int]:
    match = re.fullmatch(r"\s*([0-9]+)\s*(?:([^\w\s]+|\bto\b|\s)\s*([0-9]+)\s*)?", text)
    if match is None:
        raise ValueError(f"{text!r} is no seed: write 0,1,2 or 0-4")
    if max(len(match[1]), len(match[3] or "")) > 18:
        raise ValueError(f"{single_line(text, 60)!r} is no seed: write a number below 10^18")
    first, between, last = int(match[1]), match[2], int(match[3] or match[1])
    if between not in (None, "-") or last < first:
        low, high = sorted((first, last))
        raise ValueError(f"{text!r} is no range of seeds: write {low}-{high}")
    if last - first >= MOST_SEEDS:
        raise ValueError(f"{text!r} are {last - first + 1} seeds: {MOST_SEEDS} at most")
    return range(first, last + 1)


def unique(values: list[Any], what: str) -> list[Any]:
    """The list, unless it names something twice.

    Args:
        values: the list.
        what: it is called, for the message.

    Raises:
        ValueError: a value occurs twice.
    """
    repeated = [value for place, value in enumerate(values) if value in values[:place]]
    if repeated:
        raise ValueError(f"{what} names {repeated[0]!r} twice")
    return values


def as_values(value: Any) -> Any:
    """``gpu,time=4h,exclude=n1,n2`` as a mapping.

    A word without ``=`` is the name of a profile where it stands first; behind a pair it is a further item of that
    pair's list.

    Args:
        value: such a text; anything else is returned as it is.

    Raises:
        ValueError: a key is given twice.
    """
    items = as_list(value) if isinstance(value, str) else None
    if items is None:
        return value or {}
    values: dict[str, str] = {}
    last = ""
    for item in items:
        key, equals, text = (part.strip() for part in item.partition("="))
        if not equals and last:
            values[last] += f",{key}"
            continue
        last = key if equals else "profile"
        if last in values:
            raise ValueError(f"{last} is given twice")
        values[last] = text if equals else key
    return values


def duration(seconds: float) -> str:
    """A time in words, such as ``42 s``, ``3 min`` or ``2 h 10 min``."""
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
