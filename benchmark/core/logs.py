"""The loggers of mmbench, whose records are lines on standard error.

Modules take ``logging.getLogger("mmbench.…")``. Nothing is set up on import: a program that uses mmbench as a library
sets up logging itself.
"""

from __future__ import annotations

import logging
import os
import sys

from .strings import printable

#: Names the level for the processes that this one starts.
VARIABLE = "MMBENCH_LOG_LEVEL"
LEVELS = ("ERROR", "WARNING", "INFO", "DEBUG")


class _Lines(logging.Handler):
    """Writes one plain line for each record, to the standard error of that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record; the name of its logger stands before what is no warning."""
        text = printable(" ".join(record.getMessage().split()))
        words = {logging.WARNING: "mmbench: warning", logging.ERROR: "mmbench: error"}
        print(f"{words.get(record.levelno, record.name)}: {text}", file=sys.stderr)


_HANDLER = _Lines()


def set_up(level: str) -> None:
    """Shows records of a level and above, in this process and in those that it starts from now on.

    Args:
        level: one of ``LEVELS``.
    """
    logger = logging.getLogger("mmbench")
    logger.setLevel(level)
    if _HANDLER not in logger.handlers:
        logger.addHandler(_HANDLER)
    os.environ[VARIABLE] = level


def set_up_worker() -> None:
    """Shows the levels that the process which started this one asked for; without a request nothing is set up."""
    level = os.environ.get(VARIABLE, "")
    if level in LEVELS:
        set_up(level)
