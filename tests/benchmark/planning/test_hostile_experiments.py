"""Experiment files that no one should write are answered in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.strings import as_seeds
from mmbench.benchmark.planning.experiment import Experiment

CASES = {
    "suite: [a]": "suite (--suite): ['a'] is not allowed, expected a text",
    "suite: {a: b}": "suite (--suite): {'a': 'b'} is not allowed, expected a text",
    "seeds: [0-99999999999]": "seeds: '0-99999999999' are 100000000000 seeds: 10000 at most",
    "seeds: 5-2": "seeds: '5-2' is no range of seeds: write 2-5",
    "store: 2024-13-45": "not YAML: line 3: '2024-13-45' is no timestamp",
    'store: "a\\0b"': "not YAML: line 3: a text with a character",
    "workers: 99999999999999999999": "not YAML: line 3: a whole number beyond 2^63",
    "preset: [a]": "preset (--preset): ['a'] is not allowed, expected '",
    "1: 2": "1: 1 is not allowed, keys should be strings",
}


@pytest.mark.parametrize("line", list(CASES))
def test_one_line_says_what_is_wrong(line: str, tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(f"methods: erm\ndatasets: mosi\n{line}\n")
    with pytest.raises(UsageError) as caught:
        Experiment.load(file)
    said = str(caught.value)
    assert said.startswith(f"{file}: {CASES[line]}")
    assert "\n" not in said


def test_ranges_of_seeds() -> None:
    assert as_seeds("0-2,7") == [0, 1, 2, 7]
    assert as_seeds(["9-9"]) == [9]
    assert len(as_seeds("0-9999")) == 10_000
    with pytest.raises(ValueError, match="10001 seeds: 10000 at most"):
        as_seeds("0-10000")
    with pytest.raises(ValueError, match="below 10\\^18"):
        as_seeds("0-" + "9" * 5000)
