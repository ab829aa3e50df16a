"""Numbers of things in words."""

from __future__ import annotations

import pytest
from mmbench.benchmark.core.strings import counted
from mmbench.leaderboards.labels import counted as counted_in_tables


@pytest.mark.parametrize("words", [counted, counted_in_tables])
def test_one_thing_is_singular_and_any_other_number_plural(words) -> None:
    assert [words(number, "job") for number in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]
    assert [words(number, "search", "searches") for number in (0, 1, 2)] == [
        "0 searches",
        "1 search",
        "2 searches",
    ]
