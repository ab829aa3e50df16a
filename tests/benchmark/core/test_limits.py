"""Ranges of parameters, read from the source of a method: what cannot work is refused before anything is imported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mmbench.benchmark.check.method import parameters_are_literals
from mmbench.benchmark.check.method_ranges import ranges_hold_what_can_work
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.method_spec import describe
from mmbench.benchmark.core.registry import Entry, find
from mmbench.benchmark.planning.data_check import ENCODER_HEADS
from mmbench.methods.shared.sequence_encoder import HEADS

from ..conftest import Call, Command

PLUGIN = """
from dataclasses import dataclass
import torch
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.method import fixed, searched

METHODS = {"mine": "Mine"}

@dataclass(frozen=True)
class P(ERMParams):
    parts: int = FIELD

class Mine(ERM):
    Params = P

    def __init__(self, params, spec):
        super().__init__(params, spec)
        self.share = 1 / params.parts
"""


def plugin(folder: Path, field: str) -> Entry:
    file = folder / "mine.py"
    file.write_text(PLUGIN.replace("FIELD", field))
    return find("method", "mine", (file,))


@pytest.mark.parametrize(
    ("method", "values", "message"),
    [
        ("csdi", {"draws": "0"}, "method csdi, parameter draws: 0 is out of its range: 1 or more"),
        ("qamoe", {"experts": 2}, "parameter top: 3 is out of its range: 1 or more, at most experts; experts is 2"),
        ("mtand", {"points": 0}, "parameter points: 0 is out of its range: 1 or more"),
        ("fusemoe", {"top": 99}, "parameter top: 99 is out of its range: 1 or more, at most experts; experts is 8"),
        ("mult", {"heads": 3}, "heads: 3 is out of its range: 1 or more, a divisor of step_width; step_width is 20"),
        ("mult", {"step_width": 30}, "heads: 4 is out of its range: 1 or more, a divisor of step_width; step_width is 30"),
        ("mult", {"kernel": 2}, "kernel: 2 is out of its range: odd, 1 or more"),
        ("supcon", {"temperature": 0}, "temperature: 0.0 is out of its range: above 0"),
        ("grud", {"dropout": 1}, "dropout: 1.0 is out of its range: 0 or more, below 1"),
        ("erm", {"width": 0}, "width: 0 is out of its range: 1 or more"),
        ("moosa", {"pieces": 3}, "pieces: 3 is out of its range: 1 or more, a divisor of width and extra_width; width is 40"),
        ("moosa", {"extra_width": 6}, "a divisor of width and extra_width; width is 40; extra_width is 6"),
        ("simmmdg", {"extra_width": 7}, "extra_width: 7 is out of its range: even, 0 or more"),
        ("random_forest", {"trees": -1}, "trees: -1 is out of its range: 1 or more"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_work_is_refused(method: str, values: dict[str, object], message: str):
    with pytest.raises(UsageError, match=re.escape(message)):
        describe(find("method", method)).resolve(values)


def test_the_ends_of_a_range_are_taken():
    for method, values in (("fusemoe", {"top": 8}), ("mult", {"heads": 20}), ("grud", {"dropout": 0.0})):
        resolved = describe(find("method", method)).resolve(values)
        assert values.items() <= resolved.items()


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("fixed(0, least=1)", "the default of parameter parts, 0, is out of its range: 1 or more"),
        ("searched(2, low=0, high=4, least=1)", "searched value of parameter parts, 0, is out of its range"),
        ("searched(2, choices=(2, 8), most=4)", "searched value of parameter parts, 8, is out of its range: at most 4"),
        ("fixed(2, most='slices')", "most of parameter parts names no parameter: 'slices'"),
    ],
)  # fmt: skip
def test_a_range_that_its_own_method_leaves_is_refused(field: str, message: str, tmp_path: Path):
    with pytest.raises(UsageError, match=re.escape(message)):
        describe(plugin(tmp_path, field))


def test_widths_that_the_heads_of_transformers_do_not_divide_are_refused_where_these_read_steps(
    call: Call, data_root: Path, tmp_path: Path
):
    assert ENCODER_HEADS == HEADS
    asked = ("plan", "--datasets", "toy", "--data-root", data_root, "--store", tmp_path, "--methods")
    published = ("--protocol", "as-published")
    code, said = call(*asked, "erm(width=42)", *published)
    assert code == 2
    assert "erm(width=42), parameter width: 42 is out of its range: a multiple of 8" in " ".join(said.split())
    assert call(*asked, "erm(width=42)")[0] == 0  # convolutions read steps, and divide nothing
    assert call(*asked, "erm(width=48)", *published)[0] == 0


def test_a_check_finds_a_range_that_holds_what_cannot_be_built(tmp_path: Path):
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
    good = plugin(tmp_path / "good", "fixed(2, least=1)")
    parameters_are_literals(good)
    ranges_hold_what_can_work(good.load())
    bad = plugin(tmp_path / "bad", "fixed(2, least=0)")
    with pytest.raises(AssertionError, match=r"parts cannot be 0, which its range holds.*ZeroDivisionError"):
        ranges_hold_what_can_work(bad.load())


def test_a_range_is_shown_and_a_file_of_settings_is_held_to_it(
    mmbench: Command, data_root: Path, tmp_path: Path
):
    shown = mmbench("show", "fusemoe", COLUMNS="200").stdout
    (line,) = (line for line in shown.splitlines() if line.lstrip().startswith("top "))
    assert "1 or more" in line
    settings = tmp_path / "settings.yaml"
    settings.write_text("methods: ['csdi(draws=0)']\ndatasets: [toy]\n")
    ended = mmbench("plan", "--config", str(settings))
    assert ended.returncode == 2
    assert "method csdi, parameter draws: 0 is out of its range: 1 or more" in ended.stderr
