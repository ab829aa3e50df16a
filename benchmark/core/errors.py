"""Errors that a user can mend."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class UsageError(Exception):
    """What was asked cannot be done as asked. The message is one line: what, where, and what to do."""


#: What to do about a disk that cannot be written.
_ADVICE = {
    errno.ENOSPC: "free some space, and the same command goes on",
    errno.EDQUOT: "free some space, and the same command goes on",
    errno.EROFS: "make it writable, or name another place with --out or --store",
}


def error_line(error: BaseException) -> str:
    """An error in one line: of a file or a disk what, where and what to do, else its class and message."""
    if isinstance(error, OSError) and error.strerror and (error.filename or error.errno in _ADVICE):
        advice = _ADVICE.get(error.errno or 0)
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}{f': {advice}' if advice else ''}"
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def finding(error: BaseException) -> str:
    """An error that a check found, in words: what the check itself says of it, else its class and message."""
    said = str(error)
    return said if isinstance(error, AssertionError) and said else f"{type(error).__name__}: {said}"


#: Names that a message lists.
_MOST_NAMES = 40


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the known names nearest to a name, or that hold it or stand in it; else all of them, where they
    are not more than fit into a line.

    Args:
        name: the unknown name.
        known: the names to choose from.
    """
    known = sorted(set(known))
    wanted = name.lower()
    close = difflib.get_close_matches(wanted, known, n=2, cutoff=0.6)
    if not close and len(wanted) >= 4:
        close = [one for one in known if wanted in one.lower() or (len(one) >= 4 and one.lower() in wanted)][
            :3
        ]
    if close:
        return f"did you mean {' or '.join(close)}?"
    if len(known) > _MOST_NAMES:
        return f"none of the {len(known)} known names is like it: mmbench list shows them"
    return f"known: {', '.join(known) or 'none'}"
