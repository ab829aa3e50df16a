"""Typing errors and errors of a speech recogniser: by hand, at the stated rates, near the rates of torchmetrics."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from mmbench.corruptions.text import KeyboardTypos, SpeechErrors
from mmbench.corruptions.words import HOMOPHONES, SOUNDS, decode_words, encode_words, neighbouring_keys
from torch.nn.functional import pad
from torchmetrics.functional.text import char_error_rate, word_error_rate

from .texts import PLAIN, broken, within_chance


def typos_of(word: str, severity: int = 1, count: int = 6000) -> list[str]:
    clean = encode_words([word])
    found = broken(KeyboardTypos, severity, clean.expand(count, -1, -1))
    return [text for text in decode_words(found) if text != word]


def test_one_typo_is_one_of_the_four_errors() -> None:
    """Every outcome of one error is listed by hand; at severity 1 few words of two letters have more."""
    near = neighbouring_keys()
    one = {
        *(other + "B" for other in near["a"]),
        *("a" + other.upper() for other in near["b"]),
        *("Ba", "a", "B", "aaB", "aBB"),
    }
    found = typos_of("aB")
    assert one <= set(found)
    assert np.mean([text in one for text in found]) > 0.95
    assert set(typos_of("ü", count=3000)) == {"", "üü"}  # on no key, and alone: lost or doubled
    assert all(set(text) <= {"7", ",", "."} for text in typos_of("7,.", 5))


def draws_of(errors: str, kinds: str, shares: list[float]) -> dict[str, torch.Tensor]:
    """Which error befalls each place; the first choice of all else."""
    error = torch.tensor([[shares[kinds.index(kind)] if kind in kinds else 0.0 for kind in errors]])
    return {"chance": torch.tensor([[float(kind == ".") for kind in errors]]), "error": error}


@pytest.mark.parametrize(
    ("word", "errors", "expected"),
    [
        ("abcd", "x...", "bacd"),
        ("abcd", "..x.", "abdc"),
        ("abcd", "x.x.", "badc"),
        ("abcd", "xx..", "qcbd"),  # the second one goes with the third: the first is replaced
        ("abcd", "...x", "abce"),  # none to change places with
        ("aab", "x..", "qab"),  # the like would not show
        ("abcd", "xl..", "acd"),
        ("abcd", "xd..", "bbacd"),
        ("abcd", "xr..", "gacd"),
        ("AbCd", "r.r.", "QbDd"),
        ("a7bd", ".r..", "abd"),
        ("abcd", "d.ld", "aabdd"),
        ("abcd", "llll", ""),
    ],
)
def test_typing_errors_together_are_by_hand_what_they_should_be(
    word: str, errors: str, expected: str
) -> None:
    clean = encode_words([word])
    draws = draws_of(errors, "rxld", [0.1, 0.3, 0.6, 0.9])
    room = clean.shape[2] - len(word)
    draws = {name: pad(values, (0, room), value=0)[:, None] for name, values in draws.items()}
    draws["key"] = torch.zeros(clean.shape)
    found = KeyboardTypos("text", 1).corrupt(clean, (clean != 0).any(-1), draws)
    assert decode_words(found) == [expected]


@pytest.mark.parametrize(
    ("text", "errors", "expected"),
    [
        ("go bee 3", "m..", ["gobee", "", "3"]),
        ("go bee 3", "mm.", ["ko", "bee3", ""]),  # the second goes with the third: the first is misheard
        ("go bee 3", "..m", ["go", "bee", ""]),  # none to run together with, and nothing sounds like 3
        ("go bee 3", "mlt", ["gobee", "", "3 3"]),  # the second of two takes no other error
        ("Go BEE 3", "sst", ["Ko", "BE", "3 3"]),
        ("go bee 3", "tl.", ["go go", "", "3"]),
    ],
)
def test_recognition_errors_together_are_by_hand_what_they_should_be(
    text: str, errors: str, expected: list[str]
) -> None:
    clean = encode_words([text])
    where = torch.arange(clean.shape[2]).expand(clean.shape) / 2 + 0.4  # only the first letter
    draws = draws_of(errors, "sltm", [0.3, 0.7, 0.85, 0.95])
    draws |= {"word": torch.zeros(clean.shape[:2]), "where": where, "letter": torch.zeros(clean.shape)}
    found = SpeechErrors("text", 1).corrupt(clean, (clean != 0).any(-1), draws)
    assert decode_words(found[0][:, None]) == expected


def test_letters_go_at_the_stated_rate() -> None:
    """A single letter shows every error, so that errors are counted exactly."""
    clean = encode_words(["e"]).expand(20000, -1, -1)
    for severity, rate in enumerate(KeyboardTypos.levels, start=1):
        found = decode_words(broken(KeyboardTypos, severity, clean))
        count = {text: found.count(text) for text in set(found)}
        assert within_chance(20000 - count["e"], 20000, rate)
        assert within_chance(count[""], 20000, rate / 4)
        assert within_chance(count["ee"], 20000, rate / 4)
        assert set(count) == {"e", "", "ee", *neighbouring_keys()["e"]}


def test_character_error_rate_is_near_the_level_and_grows() -> None:
    """By the edit distance of torchmetrics, to which letters that change places count twice."""
    clean = encode_words([PLAIN] * 60)
    rates = []
    for severity in range(6):
        found = broken(KeyboardTypos, severity, clean)
        pairs = [decode_words(words.flatten(0, 1)[:, None]) for words in (found, clean)]
        rates.append(float(char_error_rate(*pairs)))
    assert rates[0] == 0
    assert all(more > less for less, more in pairwise(rates))
    for rate, level in zip(rates[1:], KeyboardTypos.levels, strict=True):
        assert 0.85 * level < rate < 1.25 * level + 0.01


def test_a_single_word_is_misheard_lost_or_said_twice() -> None:
    clean = encode_words(["bee"]).expand(20000, -1, -1)
    for severity, rate in enumerate(SpeechErrors.levels, start=1):
        found = decode_words(broken(SpeechErrors, severity, clean))
        count = {text: found.count(text) for text in set(found)}
        assert set(count) == {"bee", "be", "", "bee bee"}  # nothing to run together with: misheard
        assert within_chance(count["be"], 20000, 0.7 * rate)
        assert within_chance(count[""], 20000, 0.2 * rate)
        assert within_chance(count["bee bee"], 20000, 0.1 * rate)


def test_words_that_are_misheard_sound_alike() -> None:
    alike = {frozenset(pair) for pair in SOUNDS.split()}
    for spoken in decode_words(broken(SpeechErrors, 5, encode_words(["Stomp"]).expand(2000, -1, -1))):
        if spoken in ("", "Stomp Stomp"):
            continue
        assert len(spoken) == 5
        assert spoken[0].isupper()
        changed = [pair for pair in zip("stomp", spoken.lower(), strict=True) if len(set(pair)) == 2]
        assert all(frozenset(pair) in alike for pair in changed)
        assert changed or spoken == "Stomp"
    groups = [group.split() for group in HOMOPHONES.split(",")]
    for group in groups:
        for word in group:
            found = decode_words(broken(SpeechErrors, 5, encode_words([word]).expand(300, -1, -1)))
            assert set(found) == {*group, "", f"{word} {word}"}
    shouted = decode_words(broken(SpeechErrors, 5, encode_words(["THEIR"]).expand(300, -1, -1)))
    assert set(shouted) == {"THEIR", "THERE", "THEY'RE", "", "THEIR THEIR"}
    foreign = decode_words(broken(SpeechErrors, 5, encode_words(["фильм"]).expand(300, -1, -1)))
    assert set(foreign) == {"фильм", "", "фильм фильм"}


def test_words_run_together_leave_an_empty_step() -> None:
    """Numbers sound like nothing: what is left of the errors is lost, said twice, run together."""
    clean = encode_words(["1 2 3"])
    found = broken(SpeechErrors, 5, clean.expand(20000, -1, -1))
    steps = {tuple(decode_words(text[:, None])) for text in found.unique(dim=0)}
    assert ("12", "", "3") in steps
    assert ("1", "23", "") in steps
    assert all(step in ("1", "", "1 1", "12") for step, _, _ in steps)
    assert all(step in ("2", "", "2 2", "23") for _, step, _ in steps)
    assert all(step in ("3", "", "3 3") for _, _, step in steps)
    assert all(second == "" for first, second, _ in steps if first == "12")
    merged = sum(decode_words(text[:1, None]) == ["12"] for text in found)
    # Both words draw their errors apart: the second must not run on itself, which it does in one case of ten.
    assert within_chance(merged, 20000, 0.5 * 0.1 * 0.9)


def test_word_error_rate_is_near_the_level_and_grows() -> None:
    texts = [PLAIN] * 300
    rates = [
        float(word_error_rate(decode_words(broken(SpeechErrors, severity, encode_words(texts))), texts))
        for severity in range(6)
    ]
    assert rates[0] == 0
    assert all(more > less for less, more in pairwise(rates))
    for rate, level in zip(rates[1:], SpeechErrors.levels, strict=True):
        assert 0.9 * level < rate < 1.2 * level
