"""Names of every script in pictures: with a font that has the letters, else with their code points."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

LOG = logging.getLogger("mmbench.pictures")
#: What pictures are drawn with where it has the letters.
DEFAULT = "DejaVu Sans"


def show_every_script(figure: Figure) -> None:
    """Sees to it that names in a picture stay apart, whatever their script.

    Where the default font lacks letters, fonts of this machine that have them stand in. Letters that no font has are
    replaced by their code points, such as ``U+5317``, and a warning says so. A ``$`` in a name is a ``$`` and begins no
    formula. A picture of which the default font has every letter is left as it is.
    """
    from matplotlib.text import Text

    texts: list[Any] = [text for text in figure.findobj(Text) if text.get_text()]
    labels = list(_fixed_labels(figure))
    for text in texts:
        if "$" in text.get_text():
            text.set_parse_math(False)
    words = [text.get_text() for text in texts] + [word for _, own in labels for word in own]
    lacking = _lacking(words)
    if not lacking:
        return
    families, none_has = fonts_with(lacking)
    if none_has:
        shown = "".join(sorted(none_has))
        LOG.warning(
            "no font of this machine has %s: pictures show code points such as %s; install a font that has them, "
            "such as Noto",
            shown if len(shown) <= 20 else shown[:19] + "…",
            _code_point(shown[0]),
        )
    for text in texts:
        text.set_text(_without(none_has, text.get_text()))
        text.set_fontfamily([DEFAULT, *families])
    for axis, own in labels:
        if not _lacking(own):
            continue
        axis.set_ticklabels([_without(none_has, word) for word in own])
        axis.set_tick_params(labelfontfamily=[DEFAULT, *families])


def fonts_with(characters: Iterable[str]) -> tuple[list[str], set[str]]:
    """Fonts of this machine that have characters.

    Args:
        characters: which.

    Returns:
        The names of as few fonts as possible, those with the most of the characters first; and the characters that no
        font has.
    """
    left, families = set(characters), []
    while left:
        name, has = max(
            ((name, left & letters) for name, letters in _fonts().items()),
            key=lambda item: (len(item[1]), "Sans" in item[0]),
            default=("", set()),
        )
        if not has:
            break
        families.append(name)
        left -= has
    return families, left


def _fixed_labels(figure: Figure) -> Iterator[tuple[Axis, list[str]]]:
    """The axes whose ticks were given texts, which may be names, with these texts."""
    from matplotlib.ticker import FixedLocator

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_locator(), FixedLocator):
                yield axis, [label.get_text() for label in axis.get_ticklabels()]


def _lacking(words: Iterable[str]) -> set[str]:
    from matplotlib.font_manager import findfont
    from matplotlib.ft2font import FT2Font

    beyond = {letter for word in words for letter in word if ord(letter) > 126}
    if not beyond:
        return set()
    known = FT2Font(findfont(DEFAULT)).get_charmap()
    return {letter for letter in beyond if ord(letter) not in known}


@lru_cache
def _fonts() -> dict[str, frozenset[str]]:
    """The name of each font of this machine -> the characters that it has. Fonts for a last resort are left out: they
    draw the same box for all of a script."""
    from matplotlib.font_manager import fontManager
    from matplotlib.ft2font import FT2Font

    fonts: dict[str, frozenset[str]] = {}
    for entry in fontManager.ttflist:
        if entry.name in fonts or "LastResort" in entry.name.replace(" ", ""):
            continue
        try:
            fonts[entry.name] = frozenset(map(chr, FT2Font(entry.fname).get_charmap()))
        except (OSError, RuntimeError):
            continue  # a file that was taken away, or no font
    return fonts


def _without(gone: set[str], text: str) -> str:
    return "".join(_code_point(letter) if letter in gone else letter for letter in text)


def _code_point(letter: str) -> str:
    return f"U+{ord(letter):04X}"
