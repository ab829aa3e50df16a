"""What the answers of a language model mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.methods.shared.answers import Answer, parse_class, parse_score, score_grid, write_score


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("2.5", Answer(2.5)),
        ("-1", Answer(-1.0)),
        ("+3", Answer(3.0)),
        ("score: 1.5/3", Answer(1.5)),
        ("", Answer(0.0, unparsed=True)),
        ("positive", Answer(1.5)),
        ("The speaker is very NEGATIVE,", Answer(-1.5)),
        ("neutral to positive", Answer(0.0)),
        ("unpositively", Answer(0.0, unparsed=True)),
        ("1e9", Answer(3.0, clipped=True)),
        ("-1e999", Answer(-3.0, clipped=True)),
        ("3,5", Answer(3.0, clipped=True)),
        ("0,5", Answer(0.5)),
        ("\u22122", Answer(-2.0)),
        ("two", Answer(0.0, unparsed=True)),
        ("rating-2", Answer(2.0)),
        ("1-3", Answer(1.0)),
        (".5", Answer(0.5)),
        ("-0.0", Answer(0.0)),
        ("positive, 1.0", Answer(1.0)),
        ("-4 of -3", Answer(-3.0, clipped=True)),
        ("\u0663", Answer(3.0)),  # a digit of another script
    ],
)
def test_a_score_is_read_from_words(text: str, answer: Answer):
    assert parse_score(text, -3, 3) == answer


def test_words_stand_for_quarters_of_any_range():
    found = [parse_score(word, 0, 8).value for word in ("negative", "neutral", "positive", "?")]
    assert found == [2, 4, 6, 4]


@given(
    text=st.text("0123456789+-.,eE positvnga", max_size=12),
    low=st.floats(-1e6, 0),
    width=st.floats(1e-3, 1e6),
)
def test_whatever_is_written_a_score_lies_in_the_range(text: str, low: float, width: float):
    answer = parse_score(text, low, low + width)
    assert low <= answer.value <= low + width


@given(st.floats(-3, 3))
def test_what_is_to_be_written_is_read_as_it_is_meant(score: float):
    answer = parse_score(write_score(score), -3, 3)
    assert (answer.unparsed, answer.clipped) == (False, False)
    assert abs(answer.value - score) <= 0.05 + 1e-9
    assert write_score(score) != "-0.0"


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("1", 1), ("Class 2.", 2), ("12", -1), ("0.5", -1), ("7", -1), ("none", -1), ("2 rather than 1", 2)
    ],
)  # fmt: skip
def test_a_class_is_read_by_its_number(text: str, index: int):
    answer = parse_class(text, ["0", "1", "2"])
    assert (answer.value, answer.unparsed) == (index, index < 0)
    assert answer.clipped == (text in {"12", "0.5", "7"})


def test_a_class_is_read_by_its_name():
    names = ["sad", "very sad", "glad"]
    found = [parse_class(text, names).value for text in ("Very sad!", "sad", "saddened", "not glad")]
    assert found == [1, 0, -1, 2]


def test_the_grid_holds_what_can_be_written_once_each():
    assert score_grid(-3, 3, 13) == [-3 + step / 2 for step in range(13)]
    assert score_grid(0, 0.2, 13) == [0.0, 0.1, 0.2]
