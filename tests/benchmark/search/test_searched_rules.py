"""Logarithmic ranges, and the search of fields of the protocol for all methods alike."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.method_fields import NO_RANGE, Field
from mmbench.benchmark.core.protocol import SEARCHED_RULES
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.report.row_labels import row_labels
from mmbench.benchmark.search.optuna_study import ask, space, suggest
from mmbench.benchmark.search.optuna_trial import optuna
from mmbench.benchmark.search.sampling import draw
from mmbench.benchmark.search.study import STARTUP, next_wave, progress_of, studies_of
from mmbench.benchmark.search.trials import repeat_of, search_name, searches
from mmbench.benchmark.store.store import Store

from ..conftest import Command, write_dataset
from .studies import asked, end, finish, fit_record, study_of
from .test_sampling import kolmogorov

RULES = ["batch_size", "learning_rate", "weight_decay"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "data" / "toy")
    return tmp_path


def test_a_logarithmic_range_draws_every_factor_alike():
    rate = Field("rate", 1e-3, {**NO_RANGE, "low": 1e-5, "high": 1e-1, "log": True})
    drawn = [draw(rate, "any", index) for index in range(1, 2001)]
    assert 1e-5 <= min(drawn) < max(drawn) <= 1e-1
    limit = math.sqrt(-math.log(0.5e-4) / 2 / 2000)  # the critical value at 1 in 10,000
    assert kolmogorov([(math.log10(value) + 5) / 4 for value in drawn]) < limit
    uniform = Field("rate", 1e-3, {**rate.search, "log": False})  # type: ignore[dict-item]
    drawn = [draw(uniform, "any", index) for index in range(1, 2001)]
    assert kolmogorov([(math.log10(value) + 5) / 4 for value in drawn]) > 5 * limit


def test_draws_of_a_logarithmic_range_keep_significant_digits_and_the_type_of_the_default():
    rate = Field("rate", 1e-3, {**NO_RANGE, "low": 1e-5, "high": 1e-1, "digits": 2, "log": True})
    drawn = [draw(rate, "any", index) for index in range(1, 300)]
    assert all(float(f"{value:.1e}") == value for value in drawn)
    assert len(set(drawn)) > 150
    size = Field("size", 32, {**NO_RANGE, "low": 8, "high": 128, "log": True})
    drawn = [draw(size, "any", index) for index in range(1, 300)]
    assert {type(value) for value in drawn} == {int}
    assert sum(value <= 32 for value in drawn) / len(drawn) == pytest.approx(0.5, abs=0.1)


def test_a_learning_sampler_takes_logarithmic_ranges_and_finds_a_planted_rate():
    rate = Field("rate", 1e-3, {**NO_RANGE, "low": 1e-5, "high": 1e-1, "log": True})
    ranges = space([rate])
    assert ranges["rate"] == optuna().distributions.FloatDistribution(1e-5, 1e-1, log=True)
    trials, distances = [], []
    for index in range(30):
        params = suggest([rate], trials, "lower", index)
        distances.append(abs(math.log10(params["rate"]) + 4))  # best at 1e-4
        trials.append(optuna().create_trial(value=distances[-1], params=params, distributions=ranges))
    assert sum(distances[20:]) < 0.5 * sum(distances[:10])


def test_a_logarithmic_range_from_zero_is_refused_with_its_name(root: Path):
    (root / "mine.py").write_text(
        "from dataclasses import dataclass\n"
        "from mmbench.methods.erm import ERM\n"
        "from mmbench.methods.method import searched\n"
        'METHODS = {"mine": "Mine"}\n'
        "@dataclass(frozen=True)\n"
        "class MineParams:\n"
        "    width: int = 40\n"
        "    layers: int = 1\n"
        "    weight: float = searched(0.1, low=0.0, high=1.0, log=True)\n"
        "class Mine(ERM):\n"
        "    Params = MineParams\n"
    )
    with pytest.raises(
        UsageError, match=r"mine: weight has a logarithmic range from 0\.0: it has to begin above 0"
    ):
        studies_of(asked(root, methods="mine", plugins=[root / "mine.py"]))


def test_fields_of_the_protocol_are_drawn_alike_for_every_method_and_make_jobs_of_their_own(root: Path):
    search = {"draws": 6, "repeats": 1, "rules": RULES}
    erm, nel = studies_of(asked(root, methods="erm,nel", search=search))
    for one, two in zip(erm.trials({}), nel.trials({}), strict=True):
        assert {name: one.protocol[name] for name in RULES} == {name: two.protocol[name] for name in RULES}
        for name, range_ in SEARCHED_RULES.items():
            assert range_.low <= one.protocol[name] <= range_.high
            assert type(one.protocol[name]) is type(erm.row.job.protocol[name])
    default, *drawn = erm.trials({})
    assert default.protocol == erm.row.job.protocol
    assert len({tuple(job.protocol[name] for name in RULES) for job in drawn}) == 6
    assert {
        key for key in default.protocol if any(job.protocol[key] != default.protocol[key] for job in drawn)
    } == set(RULES)
    assert (
        len({job.params["alpha"] for job in nel.trials({})}) > 3
    )  # those of the method are searched beside them
    # Neither jobs nor searches are those of a search without the fields, and those keep their ids.
    without = studies_of(asked(root, methods="erm,nel", search={"draws": 6, "repeats": 1}))
    ids = {job.id for study in without for job in study.trials({})}
    assert not ids & {job.id for study in (erm, nel) for job in study.trials({})}
    assert len({search_name(job) for study in (erm, nel) for job in study.trials({})}) == 2


def test_the_row_names_the_rules_of_all_and_what_was_searched_not_what_was_chosen(root: Path):
    store = Store(root / "runs")
    study = study_of(asked(root, search={"draws": 3, "repeats": 2, "rules": ["learning_rate", "batch_size"]}))
    end(store, study, {0: (0.5, 1.0), 1: (0.2, 1.0), 2: (0.4, 1.0), 3: (0.3, 1.0)})
    best = study.sampled_job(1)
    repeats = [repeat_of(best, study.trial, index) for index in range(2)]
    for job in repeats:
        finish(store, job, fit_record(0.2, 1.0))
    # A network of the defaults with the seed of a repeat is no repeat.
    odd = repeat_of(study.sampled_job(0), study.trial, 1).with_values({"protocol.batch_size": 99})
    finish(store, odd, fit_record(0.2, 1.0))
    (search,) = searches(store, list(store))
    assert search.chosen == 1
    assert [record.job.id for record in search.repeats.values()] == [job.id for job in repeats]
    assert f"learning_rate={best.protocol['learning_rate']:g}" in search.drawn_parameters(1)
    labels = set(row_labels([best, *repeats]).values())
    assert labels == {("nel", "fair, search 1+3+2 over batch_size+learning_rate too")}


def test_a_learning_sampler_draws_the_fields_of_the_protocol(root: Path):
    store = Store(root / "runs")
    search = {"draws": 6, "repeats": 0, "sampler": "tpe", "rules": ["learning_rate"]}
    study = study_of(asked(root, methods="erm", search=search))
    end(store, study, {index: (0.5 - 0.01 * index, 1.0) for index in range(STARTUP)})
    wave = next_wave(progress_of([study], store), store, (), set(), lambda *given: ask(store, *given))
    (job,) = wave.jobs
    assert 1e-4 <= job.protocol["learning_rate"] <= 1e-2
    assert job.protocol["learning_rate"] not in {
        study.sampled_job(index).protocol["learning_rate"] for index in range(5)
    }


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("learning_rat", "'learning_rat' has no range to search: did you mean learning_rate"),
        ("learning_rate,learning-rate", "names 'learning_rate' twice"),
        ("epochs", "'epochs' has no range to search"),
    ],
)
def test_what_cannot_be_searched_is_said(rules: str, message: str):
    with pytest.raises(UsageError, match=message):
        Experiment.read({"methods": "erm", "datasets": "toy", "search": {"rules": rules}})


def test_the_flag_asks_for_a_search(mmbench: Command, tmp_path: Path, data_root: Path):
    flags = ("--search", "learning-rate,weight_decay", "--search", "batch_size", "--draws", "4")
    planned = mmbench("plan", "--methods", "erm,nel", "--datasets", "toy", *flags)
    assert planned.returncode == 0, planned.stderr
    assert "2 searches of 1+4+2 networks" in planned.stdout
