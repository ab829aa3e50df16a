"""The time that is left, of planted runs and of runs that were recorded."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.benchmark.launch.time_left import Kind, earlier_seconds, kind_of, seconds_left
from mmbench.benchmark.planning.job_matrix import jobs_of
from mmbench.benchmark.store.store import Store

from ..conftest import write_dataset
from ..search.studies import asked, finish, fit_record

#: Label, modalities, epochs, seed and seconds of the jobs of two runs, in the order in which they ended. They ran beside other
#: work, so that jobs of one kind differ by a factor of four.
RECORDED = json.loads((Path(__file__).parent / "recorded_runs.json").read_text())
A: Kind = ("a", "task", "text", 5)
B: Kind = ("b", "task", "text", 5)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 4), st.floats(0.5, 500))
def test_jobs_of_one_kind_take_as_long_as_those_before(
    ended: int, waiting: int, workers: int, seconds: float
):
    elapsed = ended * seconds / workers
    left = seconds_left([(A, seconds)] * ended, [A] * waiting, elapsed, {})
    assert left == pytest.approx(waiting * seconds / workers)


def test_the_kinds_of_what_is_to_come_count_and_not_their_number():
    ended = [(A, 1.0), (A, 1.0)]
    assert seconds_left(ended, [A, B, B], 2.0, {B: [100.0]}) == pytest.approx(201)
    assert seconds_left(ended, [B], 4.0, {B: [100.0]}) == pytest.approx(101)  # a second between two jobs
    assert seconds_left(ended, [B], 2.0, {}) == pytest.approx(1)  # nothing is known of it


def test_a_machine_that_is_slower_than_before_is_noticed():
    ended = [(A, 30.0)] * 4
    assert seconds_left(ended, [B], 120.0, {A: [10.0], B: [20.0]}) == pytest.approx(20 * 140 / 60)
    assert seconds_left(ended, [A], 120.0, {A: [10.0]}) == pytest.approx(30)


def test_of_a_kind_the_last_jobs_count():
    assert seconds_left([(A, 50.0), *[(A, 10.0)] * 3], [A], 80.0, {}) == pytest.approx(10)
    assert seconds_left([(A, 1.0)], [B], 1.0, {B: [90.0, 20.0, 20.0, 20.0]}) == pytest.approx(20)


def factors(run: str, seed: int) -> tuple[float, float]:
    """By which factor the estimate is off after a tenth of a run of two seeds, with one seed trained before it; and that
    of jobs that all take as long as those so far."""
    rows = [
        ((label, "task", modalities, epochs), own, seconds)
        for label, modalities, epochs, own, seconds in RECORDED[run]
    ]
    earlier = {kind: [seconds] for kind, own, seconds in rows if own == seed}
    jobs = [(kind, seconds) for kind, own, seconds in rows if own != seed]
    count = max(1, round(len(jobs) / 10))
    ended, rest = jobs[:count], jobs[count:]
    elapsed, left = (sum(seconds + 1.0 for _, seconds in part) for part in (ended, rest))
    estimated = seconds_left(ended, [kind for kind, _ in rest], elapsed, earlier)
    plain = elapsed / count * len(rest)
    return max(estimated / left, left / estimated), max(plain / left, left / plain)


def test_after_a_tenth_of_recorded_runs_the_estimate_is_within_a_factor_of_one_and_a_half():
    pairs = [factors(run, seed) for run in RECORDED for seed in range(3)]
    found, plain = zip(*pairs, strict=True)
    assert statistics.median(found) < 1.5
    assert max(found) < 2  # of the run with a job that took four times as long as others of its kind
    assert min(plain) > 5


def test_the_last_jobs_of_the_same_kind_are_read_from_the_store(tmp_path: Path):
    write_dataset(tmp_path / "data" / "toy")
    store = Store(tmp_path / "runs")
    jobs = jobs_of(asked(tmp_path, methods="erm,nel", search=None, seeds="0-5"))
    for job in jobs:
        if job.method == "erm" and job.seed < 5:
            environment = {"seconds": {"fit": 1.0 + job.seed, "load": 0.5}, "ended": 100.0 - job.seed}
            finish(store, job, fit_record(0.1, 1.0), environment=environment)
    others = jobs_of(asked(tmp_path, methods="erm", search=None, seeds="9", protocol={"epochs": 3}))
    found = earlier_seconds(store, [jobs[5], jobs[-1], *others])
    assert found == {kind_of(jobs[0]): [3.5, 2.5, 1.5]}  # the last three, in the order in which they ended
    assert kind_of(others[0]) != kind_of(jobs[0])
