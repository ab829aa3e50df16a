"""Damage to text: token ids [batch, time], or words as letters [batch, time, letters] (``words.encode_words``).

The mask of the steps stays what it is: what is lost becomes ``[UNK]`` among tokens and a step of zeros among
words, so that the text stays aligned in time with the other modalities. For text given as vectors,
``frame-dropout`` is the dropping of tokens and ``word-replacement`` their replacement.

Where a script puts no spaces between words, each character is a step as a word is elsewhere, and takes damage as a
whole. A text in such a script never loses all of its words: the one that would be lost last stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from .corruption import Corruption, Medium
from .random import Stream
from .words import (
    is_character,
    is_continuous,
    is_joined,
    is_mark,
    join_words,
    neighbouring_letters,
    similar_words,
)

Draws = Mapping[str, Tensor]


@dataclass(frozen=True)
class Vocabulary:
    """What the ids of a tokeniser mean.

    Attributes:
        unknown: the id of ``[UNK]``.
        special: ids that no corruption touches: they hold no word, or one that is lost already.
        ordinary: the ids that a random one is drawn from.

    Raises:
        ValueError: an ordinary id is special, or there are fewer than two.
    """

    unknown: int
    special: frozenset[int]
    ordinary: range

    def __post_init__(self) -> None:
        overlap = any(special in self.ordinary for special in self.special)
        if len(self.ordinary) < 2 or self.ordinary.step != 1 or overlap:
            raise ValueError(f"ordinary ids {self.ordinary}: expected two or more, one by one, none special")

    def is_special(self, tokens: Tensor) -> Tensor:
        """[batch, time] ids -> [batch, time] bool."""
        return torch.isin(tokens, torch.tensor(sorted(self.special), device=tokens.device))


#: ``bert-base-uncased`` (Devlin et al. 2019): [PAD] 0, [UNK] 100, [CLS] 101, [SEP] 102, [MASK] 103; ids below 999
#: are these and unused ones; 30522 ids in all.
BERT_UNCASED = Vocabulary(100, frozenset({0, 100, 101, 102, 103}), range(999, 30522))


class _Text(Corruption):
    """Damage to the modality that is called ``text``."""

    only = ("text",)


@dataclass(frozen=True)
class _Tokens(_Text):
    """Damage to token ids; those of another tokeniser than BERT's need its ``vocabulary``."""

    vocabulary: Vocabulary = BERT_UNCASED

    medium: ClassVar[Medium] = "tokens"

    def hit(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """[batch, time] bool: the tokens to damage, each with the probability of the level."""
        return (draws["chance"] < self.level) & valid & ~self.vocabulary.is_special(features)


class TokenDrop(_Tokens):
    """Each token becomes [UNK] with a probability, special ones aside (TFR-Net, EMT-DLFR)."""

    kind: ClassVar[str] = "token-drop"
    family: ClassVar[str] = "dropout"
    levels = (0.1, 0.3, 0.5, 0.7, 0.9)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A uniform number for each token."""
        return {"chance": stream.uniform("tokens", features.shape[1])}

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Writes [UNK] where the number is below the rate."""
        return features.masked_fill(self.hit(features, valid, draws), self.vocabulary.unknown)


class TokenReplacement(_Tokens):
    """Each token becomes another one, drawn evenly from the ordinary ids, with a probability.

    Levels are half of the noise intensities of ``gaussian-noise``.
    """

    kind: ClassVar[str] = "token-replacement"
    family: ClassVar[str] = "replacement"
    levels = (0.05, 0.15, 0.25, 0.35, 0.5)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """For each token whether, and which of the ordinary ids but one."""
        steps, others = features.shape[1], len(self.vocabulary.ordinary) - 1
        return {"chance": stream.uniform("tokens", steps), "other": stream.integers("other", others, steps)}

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Writes the drawn id, one further on where it is not below the token's own: it always differs."""
        other = draws["other"] + self.vocabulary.ordinary.start
        other = (other + (other >= features)).to(features.dtype)
        return torch.where(self.hit(features, valid, draws), other, features)


class KeyboardTypos(_Text):
    """Typing errors on a QWERTY keyboard: each letter is mistyped with a probability.

    A quarter of the errors each: a neighbouring key instead of the letter; the letter and the next one change
    places; the letter is left out; it is typed twice. Where there is no next letter of another shape, or that
    one changes places itself, a neighbouring key takes the place of an exchange; what is on no letter key is
    left out instead of replaced. Letters behind move up. A word may lose all of its letters. Levels are the
    chance at each letter, near the character error rate, to which an exchange counts twice. A character of a
    script without spaces is on no key and changes no places: three errors in four leave it out, with all that
    combines with it, and one writes it twice.
    """

    kind: ClassVar[str] = "keyboard-typos"
    family: ClassVar[str] = "typos"
    medium: ClassVar[Medium] = "words"
    levels = (0.02, 0.05, 0.1, 0.2, 0.3)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """For each letter whether, which error, and which neighbouring key."""
        shape = features.shape[1:]
        return {tag: _per_letter(stream, tag, *shape) for tag in ("chance", "error", "key")}

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Lets each letter write none, one or two, in the order that exchanges leave."""
        words = torch.where(valid[..., None], features, 0)
        hit = (draws["chance"] < self.level) & (features != 0) & ~is_mark(features)
        error, near = (draws["error"] * 4).long(), neighbouring_letters(features, draws["key"])
        following = _next(features)
        exchange = (error == 1) & (following != 0) & (following != features) & (_next(error) != 1)
        replace = (error == 0) | (error == 1) & ~exchange
        letters = torch.where(hit & replace & (near != 0), near, features)
        lost, twice = hit & (replace & (near == 0) | (error == 2)), hit & (error == 3)
        count = (features != 0).long() - lost.long() + twice.long()
        source = torch.arange(features.shape[-1], device=features.device) + _exchange_offsets(hit & exchange)
        written = _write_letters(letters.gather(-1, source), count.gather(-1, source))
        whole = is_character(words)
        struck = whole & (draws["chance"][..., 0] < self.level)
        again = struck & (draws["error"][..., 0] >= 0.75)
        written = torch.where(whole[..., None], words, written)
        written = torch.where(again[..., None], join_words(words, words), written)
        written = written.masked_fill((struck & ~again)[..., None], 0)
        written = _never_empty(words, written, draws["chance"][..., 0])
        return torch.where(valid[..., None], written, features)


class SpeechErrors(_Text):
    """Errors of a speech recogniser without a language model: each word is misheard with a probability.

    Six in ten errors are a word that sounds alike (``words.similar_words``), two a word that is lost, one a
    word said twice, one a word run together with the next. A word that nothing sounds like, as in a script that
    is not Latin, is lost instead. The last word, and one before a word of the same error or before one that
    follows without a space, is misheard instead of run together. A lost word leaves a step of zeros, and so does the second of two run together, which takes
    no other error; a word said twice stands in one step with a space between. Levels are the chance at each
    word, near the word error rate, to which words run together count twice.
    """

    kind: ClassVar[str] = "speech-errors"
    family: ClassVar[str] = "recognition"
    medium: ClassVar[Medium] = "words"
    levels = (0.05, 0.1, 0.2, 0.35, 0.5)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """For each word whether, which error and homophone; for each letter whether, and what it becomes."""
        steps, letters = features.shape[1:]
        chances = {tag: stream.uniform(tag, steps) for tag in ("chance", "error", "word")}
        return chances | {tag: _per_letter(stream, tag, steps, letters) for tag in ("where", "letter")}

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Writes into each step what was heard there."""
        words = torch.where(valid[..., None], features, 0)
        filled = (words != 0).any(dim=-1)
        hit, error = (draws["chance"] < self.level) & filled, draws["error"]
        runs_on = error >= 0.9
        together = hit & runs_on & _next(filled) & ~_next(runs_on) & ~_next(is_joined(words))
        second = _previous(together)
        lost, twice = (error >= 0.6) & (error < 0.8), (error >= 0.8) & ~runs_on
        alike = similar_words(words, draws["where"], draws["letter"], draws["word"])
        heard = torch.where((hit & ~lost & ~twice & ~together)[..., None], alike, words)
        again = torch.where(
            is_character(words)[..., None], join_words(words, words), join_words(words, words, " ")
        )
        heard = torch.where((hit & twice)[..., None], again, heard)
        run = join_words(words, words.roll(-1, dims=1))
        heard = torch.where(together[..., None], run, heard)
        heard = heard.masked_fill((hit & lost | second)[..., None], 0)
        heard = _never_empty(words, heard, draws["chance"])
        return torch.where(valid[..., None], heard, features)


def _never_empty(words: Tensor, broken: Tensor, chance: Tensor) -> Tensor:
    """Damaged texts, where one in a script without spaces that has lost everything has one word again.

    Args:
        words: [batch, time, letters], before the damage.
        broken: [batch, time, letters], after it.
        chance: [batch, time]: the step with the largest is damaged last, as severity grows, and is the one that stays.
    """
    filled = (words != 0).any(dim=-1)
    lost = ~((broken != 0) & ~is_mark(broken)).flatten(1).any(dim=1) & is_continuous(words)
    last = chance.masked_fill(~filled, -1).argmax(dim=1) if words.shape[1] else chance.new_zeros(len(words))
    steps = torch.arange(words.shape[1], device=words.device)
    stays = lost[:, None] & filled & (steps == last[:, None])
    return torch.where(stays[..., None], words, broken)


def _next(values: Tensor) -> Tensor:
    """What stands one place on along the last dimension; 0 at the end."""
    return pad(values, (0, 1))[..., 1:]


def _previous(values: Tensor) -> Tensor:
    """What stands one place before along the last dimension; 0 at the beginning."""
    return pad(values, (1, 0))[..., :-1]


def _exchange_offsets(pairs: Tensor) -> Tensor:
    """[..., letters] bool, the first of each pair -> how far on the letter of each place stands: 1, -1 or 0."""
    return pairs.long() - _previous(pairs.long())


def _write_letters(letters: Tensor, count: Tensor) -> Tensor:
    """Words whose letters are written ``count`` (0 to 2) times each, cut where there is no more room."""
    size = letters.shape[-1]
    start = count.cumsum(dim=-1) - count
    row = letters.new_zeros(*letters.shape[:-1], size + 1)  # the last place takes what is not written
    for copy in range(2):
        row.scatter_(-1, torch.where(count > copy, start + copy, size).clamp(max=size), letters)
    return row[..., :size]


def _per_letter(stream: Stream, tag: str, steps: int, letters: int) -> Tensor:
    """[batch, steps, letters], as ``stream.uniform``; more room for letters changes no number either."""
    block = 32
    blocks = [stream.uniform(f"{tag}/{start}", steps, block) for start in range(0, letters, block)]
    return torch.cat(blocks, dim=-1)[..., :letters]
