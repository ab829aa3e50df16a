"""Damage to texts in scripts that put no spaces between words."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from mmbench.corruptions.text import KeyboardTypos, SpeechErrors
from mmbench.corruptions.words import decode_words, encode_words, is_character, split_words
from mmbench.datasets.word_joins import MARKS

from .texts import broken

CONTINUOUS = [
    "我觉得这部电影真的非常好看，但是结尾有点太长了。",
    "この映画は本当に面白かったけど最後が長すぎたと思います",
    "ฉันคิดว่าหนังเรื่องนี้สนุกมากแต่ตอนจบยาวเกินไปหน่อยนะคะ",
    "ຂ້ອຍຄິດວ່າຮູບເງົາເລື່ອງນີ້ມ່ວນຫຼາຍແຕ່ຕອນຈົບຍາວເກີນໄປ",
    "ខ្ញុំគិតថារឿងនេះល្អណាស់ប៉ុន្តែចុងបញ្ចប់វែងពេក",
    "我昨天看了一部movie真的很好看OK吗今天想再看一次",
]


@pytest.mark.parametrize("text", CONTINUOUS)
@pytest.mark.parametrize("kind", [KeyboardTypos, SpeechErrors])
def test_without_spaces_damage_is_spread_over_the_characters(kind: Any, text: str) -> None:
    units = split_words(text)
    known = {unit.lstrip(MARKS) for unit in units}
    for severity, level in enumerate(kind.levels, 1):
        clean = encode_words([text]).expand(200, -1, -1)
        found = broken(kind, severity, clean)
        assert "" not in decode_words(found)
        changed = (found != clean).any(-1).float()
        if kind is SpeechErrors:  # a typo strikes each letter of a word in Latin letters
            assert changed.mean() == pytest.approx(level, abs=0.03)
        else:
            assert 0.7 * level <= changed.mean() <= 2 * level
        # every place of the utterance is struck, none far more often than another
        assert changed.mean(0).max() < 4 * level + 0.05
        if all(is_character(clean[0])):
            whole = {
                "".join(map(chr, filter(None, unit))) for unit in found.flatten(0, 1).unique(dim=0).tolist()
            }
            pieces = {piece for unit in whole for piece in re.split(f"[{MARKS}]", unit) if piece}
            assert pieces <= known  # whatever combines with a character goes where it goes


@pytest.mark.parametrize("text", ["好", "好看", "กำ", "ดีมาก ครับ", "很 好"])
@pytest.mark.parametrize("kind", [KeyboardTypos, SpeechErrors])
def test_no_text_of_characters_is_emptied(kind: Any, text: str) -> None:
    for severity in (1, 5):
        found = decode_words(broken(kind, severity, encode_words([text]).expand(1000, -1, -1)))
        assert "" not in found
        assert len(set(found)) > 1


def test_a_character_is_lost_or_written_twice_and_takes_its_marks_along() -> None:
    clean = encode_words(["กำนี้"]).expand(20000, -1, -1)
    typed = decode_words(broken(KeyboardTypos, 5, clean))
    assert set(typed) == {
        "".join(pair) for pair in itertools.product(["", "กำ", "กำกำ"], ["", "นี้", "นี้นี้"])
    } - {""}
    for kind, share in ((KeyboardTypos, 0.3), (SpeechErrors, 0.5)):
        found = decode_words(broken(kind, 5, clean))
        assert sum(text == "กำนี้" for text in found) / 20000 == pytest.approx((1 - share) ** 2, abs=0.16)
