"""A judge is asked in both orders, and its bias shows."""

from __future__ import annotations

import math

import numpy as np
from mmbench.regimes.judge import Case, count_words, course, judge, segments

CASES = [Case(f"talk{n}", "1: +0.1/?", "1-9 calm", "1-4 calm, 5-9 low") for n in range(20)]


def test_the_stub_prefers_fewer_words_whatever_the_order():
    found = judge(CASES, count_words)
    assert (found.first, found.second, found.inconsistent, found.unanswered) == (20, 0, 0, 0)
    assert found.position == 0.5


def test_a_judge_that_likes_what_comes_first_decides_nothing():
    found = judge(CASES, lambda prompt: " A, clearly")
    assert (found.first, found.second, found.inconsistent) == (0, 0, 20)
    assert found.position == 1


def test_no_letter_is_no_answer():
    found = judge(CASES, lambda prompt: "Both are fine")
    assert found.unanswered == 20
    assert math.isnan(found.position)


def test_which_comes_first_differs_between_conversations():
    shown: list[str] = []
    judge(CASES, lambda prompt: shown.append(prompt) or "A")
    begins = ["Segmentation A: 1-9 calm\n" in prompt for prompt in shown[::2]]
    assert 3 < sum(begins) < 17
    assert [not one for one in begins] == ["Segmentation A: 1-9 calm\n" in prompt for prompt in shown[1::2]]


def test_courses_and_segments_in_words():
    assert course(np.array([[0.44, np.nan], [-1.0, 2.0]])) == "1: +0.4/?; 2: -1.0/+2.0"
    assert segments(np.array([0, 0, 1, 0]), {0: "low", 1: "calm"}) == "1-2 low, 3-3 calm, 4-4 low"
