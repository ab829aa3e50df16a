"""Errors that a user can mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """What was asked cannot be done as asked. The message is one line: what, where, and what to do."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the known names nearest to ``name``, or all of them where none is near."""
    known = sorted(known)
    close = difflib.get_close_matches(name.lower(), known, n=2, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(known) or 'none'}"
