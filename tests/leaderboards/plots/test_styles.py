"""A colour and a shape belong to a method's name."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.leaderboards.plots.figure import COLOURS, SHAPES, dashes_of, styles
from mmbench.methods import METHODS

NAMES = list(METHODS)[:50]


@settings(max_examples=20)
@given(st.permutations(NAMES))
def test_no_order_changes_the_style_of_a_method(names: list[str]) -> None:
    assert styles(names) == styles(NAMES)


@settings(max_examples=20)
@given(st.sets(st.text(), min_size=1, max_size=63))
def test_all_pairs_differ_and_colours_are_used_alike(names: set[str]) -> None:
    places = list(styles(names).values())
    looks = [(COLOURS[place % len(COLOURS)], SHAPES[place % len(SHAPES)]) for place in places]
    assert len(set(looks)) == len(names)
    used = [sum(colour == one for colour, _ in looks) for one in COLOURS]
    assert max(used) - min(used) <= 1


def test_erm_has_the_first_colour_and_more_methods_than_pairs_have_styles() -> None:
    assert styles(NAMES)["erm"] == styles(["zero", "erm", "a"])["erm"] == 0
    many = [f"m{number}" for number in range(150)]
    assert set(styles(many)) == set(many)


@given(st.sets(st.sampled_from(NAMES), min_size=1, max_size=8))
def test_lines_of_one_colour_differ_in_a_picture(drawn: set[str]) -> None:
    places = styles(NAMES)
    dashes = dashes_of(drawn, places)
    by_colour: dict[int, list[str]] = {}
    for name in drawn:
        by_colour.setdefault(places[name] % len(COLOURS), []).append(dashes[name])
    assert all(len(set(kinds)) == min(4, len(kinds)) for kinds in by_colour.values())
