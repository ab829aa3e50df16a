"""Joins words, given as letters ([time, letters] of Unicode code points), into a text.

A step is a word with a space before it, unless it begins with one of the marks below. They are noncharacters, which
Unicode keeps for use inside of a program, and stand in no text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: A character of a script that writes no spaces, with whatever combines with it: without, and with a space before.
CHARACTER, FIRST_CHARACTER = "\ufdd0", "\ufdd1"
#: A word that stands behind such a character without a space.
ADJOINING_WORD = "\ufdd2"

MARKS = CHARACTER + FIRST_CHARACTER + ADJOINING_WORD
_NO_SPACE = re.compile(f"(?:^| )[{CHARACTER}{ADJOINING_WORD}]")
_MARK = re.compile(f"[{MARKS}]")


def text_of_words(words: Iterable[Iterable[int]]) -> str:
    """The text of words, given as code points that are filled up with 0; steps that hold nothing are left out."""
    text = " ".join("".join(chr(code) for code in word if code) for word in words if any(word))
    return _MARK.sub("", _NO_SPACE.sub("", text)) if _MARK.search(text) else text
