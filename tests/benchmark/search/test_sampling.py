"""The draws of a search follow from names alone."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.benchmark.core.method_fields import Field
from mmbench.benchmark.core.method_spec import describe
from mmbench.benchmark.core.registry import entries
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.job_matrix import matrix_rows
from mmbench.benchmark.search.sampling import draw, replace_zero, round_draw, seed_of, uniform
from mmbench.benchmark.search.study import studies_of

from ..conftest import write_dataset

SEARCHED = [
    pytest.param(item, name, id=f"{name}-{item.name}")
    for name, entry in entries("method").items()
    for item in describe(entry).fields
    if item.search
]
RANGE = {"low": 0.0, "high": 1.0, "digits": None, "choices": (), "nonzero": False, "log": False}


def kolmogorov(values: list[float]) -> float:
    """The largest distance between the shares of values and those of a uniform distribution on [0, 1]."""
    ordered = sorted(values)
    count = len(ordered)
    return max(max((i + 1) / count - value, value - i / count) for i, value in enumerate(ordered))


@pytest.mark.parametrize(("item", "method"), SEARCHED)
def test_draws_fill_the_range_that_the_method_states_and_stay_within(item: Field, method: str):
    search = item.search or {}
    drawn = [draw(item, method, index) for index in range(1, 2001)]
    assert {type(value) for value in drawn} == {type(item.default)}
    if search["choices"]:
        counts = Counter(drawn)
        share = 1 / len(search["choices"])
        assert set(counts) == set(search["choices"])
        # five standard deviations of a binomial
        assert all(
            abs(count - 2000 * share) < 5 * math.sqrt(2000 * share * (1 - share)) for count in counts.values()
        )
        return
    low, high = search["low"], search["high"]
    assert low <= min(drawn) < low + 0.06 * (high - low)
    assert high - 0.06 * (high - low) < max(drawn) <= high
    if search["digits"] is not None:
        assert all(round(value, search["digits"]) == value for value in drawn)
        step = 10.0 ** -search["digits"] / (high - low)
    else:
        step = 0.0
    places = [(value - low) / (high - low) for value in drawn]
    # The critical value at 1 in 10,000, and half a step for the rounding.
    assert kolmogorov(places) < math.sqrt(-math.log(0.5e-4) / 2 / 2000) + step / 2 + 1e-9


@given(st.text(max_size=20), st.text(max_size=20), st.integers(1, 10**6))
def test_a_draw_is_a_function_of_method_parameter_and_index(method: str, name: str, index: int):
    item = Field(name, 0.5, RANGE)
    value = draw(item, method, index)
    assert value == uniform("draw", method, name, index)
    assert 0 <= value < 1
    # Nothing that is drawn beside it, before it or after it changes it.
    for other in (name + "x", "y" + name):
        draw(Field(other, 0.5, RANGE), method, index)
    assert draw(Field(name, 0.25, RANGE), method, index) == value


def test_draws_of_different_names_are_unrelated():
    item = Field("alpha", 0.5, RANGE)
    series = {
        "a": [draw(item, "nel", i) for i in range(1, 1001)],
        "b": [draw(item, "gmp", i) for i in range(1, 1001)],
        "c": [draw(Field("beta", 0.5, RANGE), "nel", i) for i in range(1, 1001)],
        "d": [draw(item, "nel", i + 1) for i in range(1, 1001)],
    }
    for one in series:
        for two in series:
            if one < two:
                product = [(x - 0.5) * (y - 0.5) * 12 for x, y in zip(series[one], series[two], strict=True)]
                assert abs(sum(product) / 1000) < 5 / math.sqrt(1000), (one, two)


PLUGIN = """
from dataclasses import dataclass
from mmbench.methods.erm import ERM
from mmbench.methods.method import searched

METHODS = {{"mine": "Mine"}}


@dataclass(frozen=True)
class MineParams:
    alpha: float = searched(0.5, low=0.0, high=1.0)
{more}

class Mine(ERM):
    Params = MineParams
"""


def test_another_method_or_parameter_changes_no_other_draw(tmp_path: Path):
    write_dataset(tmp_path / "data" / "toy")

    def drawn(methods: str, more: str = "") -> dict[str, list[tuple]]:
        """Method -> parameters and seed of every trial."""
        plugin = tmp_path / f"plugin{len(list(tmp_path.glob('plugin*.py')))}.py"
        plugin.write_text(PLUGIN.format(more=more))
        asked = {"methods": methods, "datasets": "toy", "data_root": tmp_path / "data", "plugins": [plugin]}
        studies = studies_of(Experiment.read({**asked, "preset": "paper"}))
        return {
            study.row.job.method: [(dict(job.params), job.seed) for job in study.trials({})]
            for study in studies
        }

    alone = drawn("mine")
    beside = drawn("erm,nel,mine,gmp")
    assert beside["mine"] == alone["mine"]
    assert {len(trials) for trials in beside.values()} == {11}
    wider = drawn("mine,nel", "    beta: float = searched(0.5, low=0.0, high=1.0)\n")
    assert wider["nel"] == beside["nel"]
    kept = [
        ({key: value for key, value in params.items() if key != "beta"}, seed)
        for params, seed in wider["mine"]
    ]
    assert kept == alone["mine"]
    assert len({params["alpha"] for params, _ in alone["mine"]}) == 11


def test_the_first_draws_of_a_method_on_any_machine():
    """Golden values: computed once, and the same wherever they are computed again."""
    fields = {item.name: item for item in describe(entries("method")["nel"]).fields}
    assert [draw(fields["alpha"], "nel", index) for index in range(1, 6)] == [0.9, 0.6, 0.3, 0.7, 0.9]
    assert [draw(fields["neighbours"], "nel", index) for index in range(1, 6)] == [4, 8, 16, 8, 16]
    assert draw(fields["beta"], "nel", 1) == 0.8182654530987492
    digest = hashlib.blake2b(b"draw\0nel\0beta\x001", digest_size=8).digest()  # the same by hand
    assert uniform("draw", "nel", "beta", 1) == (int.from_bytes(digest, "little") // 2**11) / 2**53
    assert [seed_of("trial", index) for index in range(3)] == [1880752266, 2039856552, 51477190]
    assert [seed_of("repeat", index) for index in range(2)] == [1960304409, 2119408695]


def test_seeds_are_never_twice():
    seeds = [seed_of(role, index) for role in ("trial", "repeat") for index in range(20_000)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert not {seed_of("trial", index, ("alpha",)) for index in range(100)} & set(seeds[:100])


@given(st.integers(0, 3), st.integers(1, 10**5))
def test_a_parameter_that_is_divided_by_is_never_0(digits: int, index: int):
    item = Field("temperature_views", 0.1, {**RANGE, "digits": digits, "nonzero": True})
    assert draw(item, "any", index) > 0
    assert draw(item, "any", index) == draw(item, "any", index)


def test_without_the_guard_it_would_be():
    """About one in twenty of MMDG-Bench's draws: rounded to one decimal from [0, 1]."""
    temperature = Field("sharpness", 0.1, {**RANGE, "digits": 1, "nonzero": True})
    other = Field("temperature", 0.1, {**RANGE, "digits": 1})
    assert 0 in [draw(other, "any", index) for index in range(1, 200)]
    assert 0 not in [draw(temperature, "any", index) for index in range(1, 2000)]
    assert replace_zero(temperature, 0.0) == pytest.approx(0.1)
    assert replace_zero(other, 0.0) == 0


def test_rounding_gives_the_type_of_the_default_within_the_range():
    whole = Field(
        "layers", 2, {"low": 1, "high": 4, "digits": None, "choices": (), "nonzero": False, "log": False}
    )
    assert round_draw(whole, 2.6) == 3
    assert isinstance(round_draw(whole, 2.6), int)
    assert {draw(whole, "any", index) for index in range(1, 200)} == {1, 2, 3, 4}
    assert (
        round_draw(
            Field(
                "a",
                0.5,
                {"low": 0.05, "high": 1.0, "digits": 1, "choices": (), "nonzero": False, "log": False},
            ),
            0.04,
        )
        == 0.05
    )


def test_what_is_set_is_not_searched_and_the_row_says_so(tmp_path: Path):
    write_dataset(tmp_path / "toy")
    asked = {"methods": "nel,nel(alpha=0.7)", "datasets": "toy", "data_root": tmp_path, "preset": "paper"}
    experiment = Experiment.read(asked)
    free, pinned = matrix_rows(experiment)
    assert (free.job.label, pinned.job.label) == ("nel", "nel(alpha=0.7)")
    assert {item.name for item in free.searched} - {item.name for item in pinned.searched} == {"alpha"}
    one, two = ({job.id for job in study.trials({})} for study in studies_of(experiment))
    assert len(one) == len(two) == 11
    assert not one & two
