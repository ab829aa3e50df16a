"""Words as tensors of letters, and which letters and words are easily taken for one another.

A text is [time, letters]: a word at each step, as Unicode code points, filled up with 0. A step may also hold
nothing (a word that was lost) or two words with a space between.

Chinese, Japanese, Thai, Lao, Khmer, Burmese and other scripts put no spaces between words. There each character is a
step, with whatever combines with it and the punctuation behind it, and begins with a mark that says how it is joined to
what stands before it (``datasets.word_joins``). A text in such a script that has spaces between its words all the same,
so that no more than ``WORD`` characters on average stand together, is split at its spaces as any other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..datasets.word_joins import ADJOINING_WORD, CHARACTER, FIRST_CHARACTER, MARKS, text_of_words

#: Blocks of Unicode whose scripts put no spaces between words, first and last code point: Thai, Lao, Tibetan, Burmese,
#: Khmer, Tai scripts, kana and bopomofo, Chinese characters, Yi, half-width kana, Ahom, characters beyond the first plane.
CONTINUOUS = (
    (0x0E00, 0x0EFF), (0x0F00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19FF), (0x1A20, 0x1AAF),
    (0x3005, 0x3007), (0x3021, 0x3029), (0x3038, 0x303B), (0x3041, 0x312F), (0x31A0, 0x31BF), (0x31F0, 0x31FF),
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA000, 0xA4CF), (0xA9E0, 0xA9FF), (0xAA60, 0xAADF), (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F), (0x11700, 0x1174F), (0x1AFF0, 0x1B16F), (0x20000, 0x323AF),
)  # fmt: skip
_CONTINUOUS = re.compile("[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in CONTINUOUS) + "]")
#: As many characters may stand together on average where words of such a script are written with spaces.
WORD = 4
#: Signs that stack the next consonant below theirs: Burmese, Khmer, Tai Tham.
_STACKING = "\u1039\u17d2\u1a60"
#: Vowels and voice marks that belong to the character before them, though Unicode calls them letters.
_BELONGING = "\u0e33\u0eb3\uff9e\uff9f"

_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_CASE = ord("a") - ord("A")

#: The rows of a QWERTY keyboard and how far each is set in, in widths of a key.
ROWS = (("qwertyuiop", 0.0), ("asdfghjkl", 0.25), ("zxcvbnm", 0.75))

#: Letters that sound alike, in pairs. Place of articulation and voice of consonants: Miller and Nicely (1955),
#: "An analysis of perceptual confusions among some English consonants"; liquids; neighbouring vowels; letters
#: that may be spelt for one another.
SOUNDS = "pt tk pk bd dg fs vz mn bp dt gk vf zs lr ae ei ao ou iy ck cs qk xs jg wv"

#: Words that sound the same, or nearly so when spoken fast.
HOMOPHONES = (
    "to too two, their there they're, your you're, its it's, here hear, no know, by buy bye, for four, one won, "
    "right write, would wood, see sea, be bee, are our hour, wear where, then than, so sew, week weak, "
    "meet meat, new knew, whole hole, great grate, made maid, seen scene, role roll, piece peace, "
    "through threw, which witch, weather whether, an and, in inn, do due, not knot, son sun, way weigh, "
    "real reel, bore boar, pair pear, plain plane, tale tail, cast caste, cell sell, waste waist, of off, "
    "were we're, who's whose, allowed aloud, board bored, break brake, cent sent, heard herd, male mail, "
    "passed past, some sum, steal steel, wait weight, won't want"
)


def encode_words(texts: Sequence[str]) -> Tensor:
    """Texts as words, split where there is white space, or between characters that are written without.

    Returns:
        [text, time, letters], int32. There is twice the room of the longest word and a letter more, so that
        nothing is cut where a word is doubled or two are merged. The mask of the steps is
        ``(words != 0).any(-1)``.

    Raises:
        ValueError: a text holds the character 0, which fills up words here, or one of the noncharacters that mark
            how words are joined.
    """
    if any("\0" in text for text in texts):
        raise ValueError("a text holds the character 0, which fills up words: remove it from the text")
    if marks := {mark for text in texts for mark in MARKS if mark in text}:
        shown = f"U+{ord(min(marks)):04X}"
        raise ValueError(
            f"a text holds {shown}, which is no character of any script: remove it from the text"
        )
    split = [split_words(text) for text in texts]
    encoded = torch.zeros(_shape(split), dtype=torch.int32)
    for row, words in enumerate(split):
        for step, word in enumerate(words):
            encoded[row, step, : len(word)] = torch.tensor([ord(letter) for letter in word])
    return encoded


def words_shape(texts: Sequence[str]) -> tuple[int, int, int]:
    """The shape of what ``encode_words`` makes of texts: one long text, or word, makes all of it large.

    Returns:
        The number of texts, of steps and of letters.
    """
    return _shape([split_words(text) for text in texts])


def _shape(split: Sequence[Sequence[str]]) -> tuple[int, int, int]:
    letters = max((len(word) for words in split for word in words), default=0)
    return len(split), max(map(len, split), default=0), 2 * letters + 1


def decode_words(words: Tensor) -> list[str]:
    """[text, time, letters] -> texts, with one space between words; steps that hold nothing are left out."""
    return [text_of_words(text) for text in words.tolist()]


def split_words(text: str) -> list[str]:
    """The words of a text, and the characters of scripts without spaces, each behind its mark."""
    words = text.split()
    written = [_characters(word) for word in words if _CONTINUOUS.search(word)]
    if not written or (len(words) > 1 and sum(map(len, written)) <= WORD * len(written)):
        return words
    return [unit for word in words for unit in (_characters(word) if _CONTINUOUS.search(word) else [word])]


def _characters(word: str) -> list[str]:
    """What stands between two spaces as characters and, in other scripts, words.

    What combines with a character stays with it, and so does what is neither a letter nor a digit.
    """
    units: list[str] = []
    is_character = False
    for letter in word:
        own = _CONTINUOUS.match(letter) is not None
        if units and (not _begins(letter) or units[-1][-1] in _STACKING or not (own or is_character)):
            units[-1] += letter
            continue
        mark = (CHARACTER if units else FIRST_CHARACTER) if own else (ADJOINING_WORD if units else "")
        units.append(mark + letter)
        is_character = own
    return units


def _begins(letter: str) -> bool:
    """Whether a letter begins something of its own: it combines with nothing and is no punctuation."""
    return unicodedata.category(letter)[0] in "LN" and letter not in _BELONGING


def is_character(words: Tensor) -> Tensor:
    """[..., letters] -> [...], bool: whether a step is a character of a script without spaces, behind its mark."""
    first = words[..., 0]
    return (first == ord(CHARACTER)) | (first == ord(FIRST_CHARACTER))


def is_joined(words: Tensor) -> Tensor:
    """[..., letters] -> [...], bool: whether a step stands behind the one before it without a space."""
    first = words[..., 0]
    return (first == ord(CHARACTER)) | (first == ord(ADJOINING_WORD))


def is_mark(words: Tensor) -> Tensor:
    """[..., letters], bool: the marks that say how words are joined."""
    return (words >= ord(min(MARKS))) & (words <= ord(max(MARKS)))


def is_continuous(words: Tensor) -> Tensor:
    """[batch, time, letters] -> [batch], bool: whether a text has characters of a script without spaces."""
    borders = [border for first, last in CONTINUOUS for border in (first, last + 1)]
    place = torch.bucketize(words, torch.tensor(borders, device=words.device), right=True)
    return (place % 2 == 1).flatten(1).any(dim=1)


def lengths(words: Tensor) -> Tensor:
    """[..., letters] -> [...], the number of letters."""
    return (words != 0).sum(dim=-1)


def join_words(first: Tensor, second: Tensor, gap: str = "") -> Tensor:
    """Words written one behind the other, cut where there is no more room.

    Args:
        first, second: [..., letters].
        gap: what stands between them.

    Returns:
        [..., letters].
    """
    between = torch.tensor([ord(letter) for letter in gap], dtype=first.dtype, device=first.device)
    row = torch.cat([first, between.expand(*first.shape[:-1], len(gap)), second], dim=-1)
    place = torch.arange(first.shape[-1], device=first.device)
    end = lengths(first)[..., None]
    return row.gather(-1, torch.where(place < end, place, place + first.shape[-1] - end))


def neighbouring_letters(words: Tensor, chance: Tensor) -> Tensor:
    """For each letter one from a neighbouring key, in its case; 0 for a character that is on none of the ``ROWS``.

    Args:
        words: [..., letters].
        chance: [..., letters] in [0, 1): which of the neighbours.
    """
    return _partner(words, chance, _rows(neighbouring_keys).to(words.device))


def similar_words(words: Tensor, where: Tensor, letter: Tensor, word: Tensor) -> Tensor:
    """Words that sound like the given ones: another homophone, or letters taken for others.

    Where a word is not among the ``HOMOPHONES``, each of its letters among the ``SOUNDS`` is changed with
    probability 1/3, and at least one is. A word without such letters becomes nothing.

    Args:
        words: [batch, time, letters].
        where: [batch, time, letters] in [0, 1): which letters are changed.
        letter: [batch, time, letters] in [0, 1): into which.
        word: [batch, time] in [0, 1): which homophone.
    """
    partner = _partner(words, letter, _rows(similar_letters).to(words.device))
    able = partner != 0
    ranked = where.masked_fill(~able, 2)
    change = able & ((ranked < 1 / 3) | (ranked == ranked.amin(dim=-1, keepdim=True)))
    spelt = torch.where(change, partner, words).masked_fill(~able.any(dim=-1, keepdim=True), 0)
    homophone, known = _homophone(words, word)
    return torch.where(known[..., None], homophone, spelt)


def _homophone(words: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
    """Another word of the same sound, capitals where the word has some; and whether there is one."""
    table, first, size = (part.to(words.device) for part in _homophones())
    letters, room = words.shape[-1], table.shape[-1]
    lower = torch.where(_capital(words), words + _CASE, words)
    fitted = pad(lower, (0, max(0, room - letters)))
    same = (fitted[..., None, :room] == table).all(dim=-1) & (lengths(words)[..., None] <= room)
    place = same.to(torch.int8).argmax(dim=-1)
    away = 1 + (chance * (size[place] - 1)).long()
    other = table[first[place] + (place - first[place] + away) % size[place]].to(words.dtype)
    other = pad(other, (0, max(0, letters - room)))[..., :letters]
    beside = torch.arange(letters, device=words.device)
    beside = beside.minimum((lengths(words)[..., None] - 1).clamp(min=0))
    capital = _capital(words).gather(-1, beside) & (other >= ord("a")) & (other <= ord("z"))
    return torch.where(capital, other - _CASE, other), same.any(dim=-1)


def _partner(words: Tensor, chance: Tensor, partners: Tensor) -> Tensor:
    """For each letter one of its row of ``partners`` [letter of the alphabet, most], in its case, or 0."""
    capital = _capital(words)
    letter = torch.where(capital, words + _CASE, words) - ord("a")
    known = (letter >= 0) & (letter < len(partners))
    row = partners[letter.clamp(0, len(partners) - 1).long()]
    count = lengths(row)
    chosen = row.gather(-1, (chance * count).long()[..., None])[..., 0].to(words.dtype)
    chosen = torch.where(capital, chosen - _CASE, chosen)
    return torch.where(known & (count > 0), chosen, 0)


def _capital(words: Tensor) -> Tensor:
    return (words >= ord("A")) & (words <= ord("Z"))


def neighbouring_keys() -> dict[str, str]:
    """Letter -> the letters on the keys that touch its key."""
    keys = {letter: (inset + x, y) for y, (row, inset) in enumerate(ROWS) for x, letter in enumerate(row)}
    return {
        letter: "".join(
            other for other, (u, v) in keys.items() if other != letter and max(abs(u - x), abs(v - y)) <= 1
        )
        for letter, (x, y) in keys.items()
    }


def similar_letters() -> dict[str, str]:
    """Letter -> the letters that sound like it."""
    pairs = (SOUNDS + " " + SOUNDS[::-1]).split()
    return {letter: "".join(second for first, second in pairs if first == letter) for letter in _ALPHABET}


@cache
def _rows(make: Callable[[], Mapping[str, str]]) -> Tensor:
    """[letter of the alphabet, most] code points, filled up with 0."""
    partners = make()
    width = max(map(len, partners.values()))
    return torch.tensor([[ord(o) for o in partners[c].ljust(width, "\0")] for c in _ALPHABET])


@cache
def _homophones() -> tuple[Tensor, Tensor, Tensor]:
    """All words [word, letters]; where the group of each begins; and its size."""
    groups = [group.split() for group in HOMOPHONES.split(",")]
    table = encode_words([word for group in groups for word in group])[:, 0]
    table = table[:, : int(lengths(table).max())]
    size = torch.tensor([len(group) for group in groups])
    first = size.cumsum(0) - size
    return table, first.repeat_interleave(size), size.repeat_interleave(size)
