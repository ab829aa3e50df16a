"""Words as tensors of letters: there and back, and the tables of what is taken for what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.corruptions.words import (
    HOMOPHONES,
    alike,
    decode_words,
    encode_words,
    joined,
    neighbours,
    words_shape,
)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)))
def test_texts_come_back_with_single_spaces(texts: list[str]) -> None:
    words = encode_words(texts)
    assert decode_words(words) == [" ".join(text.split()) for text in texts]
    assert words.shape == words_shape(texts)


def test_encoding_is_by_hand_what_it_says() -> None:
    assert encode_words(["ab  é", "😀"]).tolist() == [
        [[97, 98, 0, 0, 0], [233, 0, 0, 0, 0]],
        [[128512, 0, 0, 0, 0], [0, 0, 0, 0, 0]],
    ]
    with pytest.raises(ValueError, match="character 0"):
        encode_words(["a\0b"])
    left, right = encode_words(["ab abc"])[0]
    assert decode_words(joined(left, right, " ")[None, None]) == ["ab abc"]
    assert decode_words(joined(left[:4], right[:4])[None, None]) == ["abab"]  # cut: there is room for four


def test_keys_that_touch_are_those_of_a_keyboard() -> None:
    keys = {letter: set(others) for letter, others in neighbours().items()}
    assert len(keys) == 26
    assert all(letter in keys[other] for letter, others in keys.items() for other in others)
    assert (keys["q"], keys["p"], keys["m"]) == (set("wa"), set("ol"), set("njk"))
    assert (keys["g"], keys["s"]) == (set("ftyhbv"), set("awedxz"))


def test_sounds_go_both_ways_and_no_word_has_two_sounds() -> None:
    for letter, others in alike().items():
        assert letter not in others
        assert len(set(others)) == len(others)
        assert all(letter in alike()[other] for other in others)
    listed = HOMOPHONES.replace(",", "").split()
    assert len(set(listed)) == len(listed)
