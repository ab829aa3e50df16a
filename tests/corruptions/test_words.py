"""Words as tensors of letters: there and back, and the tables of what is taken for what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.corruptions.words import (
    HOMOPHONES,
    decode_words,
    encode_words,
    join_words,
    neighbouring_keys,
    similar_letters,
    split_words,
    words_shape,
)
from mmbench.datasets.word_joins import ADJOINING_WORD, CHARACTER, FIRST_CHARACTER


@given(
    st.lists(
        st.text(
            st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufdd0\ufdd1\ufdd2"), max_size=40
        )
    )
)
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
    assert decode_words(join_words(left, right, " ")[None, None]) == ["ab abc"]
    assert decode_words(join_words(left[:4], right[:4])[None, None]) == [
        "abab"
    ]  # cut: there is room for four


def test_keys_that_touch_are_those_of_a_keyboard() -> None:
    keys = {letter: set(others) for letter, others in neighbouring_keys().items()}
    assert len(keys) == 26
    assert all(letter in keys[other] for letter, others in keys.items() for other in others)
    assert (keys["q"], keys["p"], keys["m"]) == (set("wa"), set("ol"), set("njk"))
    assert (keys["g"], keys["s"]) == (set("ftyhbv"), set("awedxz"))


def test_sounds_go_both_ways_and_no_word_has_two_sounds() -> None:
    for letter, others in similar_letters().items():
        assert letter not in others
        assert len(set(others)) == len(others)
        assert all(letter in similar_letters()[other] for other in others)
    listed = HOMOPHONES.replace(",", "").split()
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so it is", ["so", "it", "is"]),
        ("我觉得，好。", ["1我", "0觉", "0得，", "0好。"]),
        ("これはペンです", ["1こ", "0れ", "0は", "0ペ", "0ン", "0で", "0す"]),
        ("ｶﾞｷﾞ", ["1ｶﾞ", "0ｷﾞ"]),
        ("กำลังดี", ["1กำ", "0ลั", "0ง", "0ดี"]),
        ("ខ្ញុំទៅ", ["1ខ្ញុំ", "0ទៅ"]),
        ("看movie很好ok吗", ["1看", "2movie", "0很", "0好", "2ok", "0吗"]),
        ("USBを使います", ["USB", "0を", "0使", "0い", "0ま", "0す"]),
        (
            "我们今天去看 film 好不好呀我",
            [*["1我", "0们", "0今", "0天", "0去", "0看", "film", "1好", "0不", "0好", "0呀", "0我"]],
        ),
        ("我 觉得 这部 电影", ["我", "觉得", "这部", "电影"]),
        ("이 영화는 재미있다", ["이", "영화는", "재미있다"]),
        ("한국어문장도단어", ["한국어문장도단어"]),
    ],
)
def test_words_are_characters_where_a_script_has_no_spaces(text: str, expected: list[str]) -> None:
    digits = str.maketrans(CHARACTER + FIRST_CHARACTER + ADJOINING_WORD, "012")
    assert [word.translate(digits) for word in split_words(text)] == expected
    assert decode_words(encode_words([text])) == [text]


def test_marks_of_joining_are_in_no_text() -> None:
    with pytest.raises(ValueError, match=r"U\+FDD1, which is no character"):
        encode_words(["a\ufdd1"])
