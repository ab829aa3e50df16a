"""Checked entries of a YAML file that a user wrote: every error names the file, the entry, and the nearest name."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..dataset import DataError, Target, data_error
from ..plain_yaml import PlainYamlError, read_plain_yaml

_FAMILIES = ("mosi", "sims", "regression", "classification", "multi-label")
#: The most classes that are named by their number.
MOST_CLASSES = 100_000
_KINDS = ("regression", "classification", "multi-label")


def read_yaml(file: Path, expected: str) -> object:
    """The content of a YAML file, of plain values only.

    Args:
        file: to read.
        expected: what it should hold, for the message.

    Raises:
        DataError: it is not there, is not YAML, or a key is given twice.
    """
    try:
        return read_plain_yaml(file)
    except OSError as error:
        raise data_error(file, "", f"cannot be read ({error.strerror})", "a readable file") from None
    except PlainYamlError as error:
        place = f"line {error.line}" if error.line else ""
        again = " again, first in line " in error.wrong
        wrong = error.wrong if again else f"not YAML ({error.wrong})"
        raise data_error(file, place, wrong, "each key once" if again else expected) from None


class Entries:
    """Checks the entries of one file; every method raises DataError where an entry is wrong."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def wrong(self, key: str, wrong: str, expected: str) -> DataError:
        """A DataError about an entry of the file.

        Args:
            key: the entry.
            wrong: what is wrong.
            expected: what should be there.
        """
        return data_error(self.file, key, wrong, expected)

    def mapping(
        self, value: object, key: str, known: Iterable[str], required: Iterable[str] = ()
    ) -> dict[str, Any]:
        """A map of known entries.

        Args:
            value: what the file holds.
            key: the entry, for messages.
            known: the names that may occur.
            required: the names that must occur with a value.

        Returns:
            ``value`` itself.
        """
        known = tuple(known)
        if not isinstance(value, dict):
            shown = "empty" if value is None else repr(value)
            raise self.wrong(key, shown, f"a map with {', '.join(known)}")
        for name in value:
            if name not in known:
                wrong = f"unknown entry {name!r}{nearest(str(name), known)}"
                raise self.wrong(key, wrong, f"some of {', '.join(known)}")
        for name in required:
            if value.get(name) is None:
                raise self.wrong(f"{key}/{name}".lstrip("/"), "missing", f"an entry {name!r}")
        return value

    def string(self, top: dict[str, Any], key: str, default: str) -> str:
        """An entry that is text.

        Args:
            top: the map that holds it.
            key: its name.
            default: the result where it is missing.
        """
        value = top.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, repr(value), "text")
        return value

    def beside(self, value: str, key: str) -> Path:
        """The path that an entry names: ``~`` and ``$VARIABLES`` are filled in, and a relative one starts at the file's folder.

        Args:
            value: what the file holds.
            key: the entry, for messages.
        """
        expanded = os.path.expanduser(os.path.expandvars(value))
        if "$" in expanded and "$" in value:
            raise self.wrong(key, f"{value!r} names a variable that is not set", "a path")
        return self.file.parent / expanded  # an absolute path stays as it is

    def flag(self, top: dict[str, Any], key: str) -> bool:
        """An entry that is true or false.

        Args:
            top: the map that holds it.
            key: its name; false where it is missing.
        """
        value = top.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, repr(value), "true or false")
        return value

    def name(self, value: object, key: str) -> str:
        """A name as text.

        Args:
            value: a word or a whole number.
            key: the entry, for messages.
        """
        # YAML reads an unquoted yes, no, on, off as a truth value.
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise self.wrong(key, repr(value), "text or a whole number (quote words such as yes and no)")
        return str(value)

    def modality(self, name: object) -> str:
        """The name of a modality. Elsewhere ``+`` and ``,`` join names, and ``:`` stands before them."""
        if not isinstance(name, str) or not name or not name.isprintable() or set(name) & set("+,: "):
            raise self.wrong("modalities", f"a modality named {name!r}", "a printable name without + , :")
        return name

    def target(self, value: object) -> Target:
        """The entry ``task``: ``{kind: regression, range: [low, high]}``, or ``{kind: classification, classes: …}``
        with names or their number, or the same with ``multi-label``; ``metrics`` chooses another family of metrics for
        scores."""
        entry = self.mapping(value, "task", ("kind", "range", "classes", "metrics"), ("kind",))
        kind = entry["kind"]
        if kind not in _KINDS:
            raise self.wrong("task/kind", f"{kind!r}{nearest(str(kind), _KINDS)}", " or ".join(_KINDS))
        family = entry.get("metrics", kind)
        fitting = (kind,) if kind != "regression" else _FAMILIES[: _FAMILIES.index(kind) + 1]
        if family not in fitting:
            raise self.wrong("task/metrics", repr(family), f"for {kind}: {', '.join(fitting)}")
        needed, other = ("range", "classes") if kind == "regression" else ("classes", "range")
        if other in entry:
            raise self.wrong(f"task/{other}", f"given for {kind}", f"{needed} only")
        if needed not in entry:
            raise self.wrong(f"task/{needed}", "missing", f"an entry {needed!r} for {kind}")
        if kind == "regression":
            return Target(kind, label_range=self.label_range(entry["range"]), metrics=family)
        return Target(kind, classes=self.classes(entry["classes"]), metrics=family)

    def label_range(self, value: object) -> tuple[float, float]:
        """The lowest and the highest label.

        Returns:
            The lowest and the highest label, finite.
        """
        fits = (
            isinstance(value, list)
            and len(value) == 2
            and all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in value)
        )
        if not fits or not float("-inf") < value[0] < value[1] < float("inf"):  # pyright: ignore[reportIndexIssue, reportOptionalSubscript]
            raise self.wrong("task/range", repr(value), "[lowest, highest]")
        return float(value[0]), float(value[1])  # pyright: ignore[reportIndexIssue, reportOptionalSubscript]

    def classes(self, value: object) -> tuple[str, ...]:
        """The names of two or more classes."""
        if isinstance(value, int) and not isinstance(value, bool):
            if value > MOST_CLASSES:
                raise self.wrong("task/classes", str(value), f"at most {MOST_CLASSES} classes")
            value = list(range(value))
        if not isinstance(value, list):
            raise self.wrong("task/classes", repr(value), "the names of the classes, or how many there are")
        names = tuple(self.name(name, "task/classes") for name in value)
        if len(names) < 2 or len(set(names)) < len(names):
            raise self.wrong("task/classes", ", ".join(names) or "none", "two or more different names")
        return names


def nearest(name: str, known: Iterable[str]) -> str:
    """Half a sentence with the known name that is meant; empty where none is near.

    Args:
        name: the unknown name.
        known: the names to choose from.
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (do you mean {close[0]!r}?)" if close else ""
