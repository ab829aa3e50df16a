from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.slurm.packing import FIRST_GUESS, Bundle, History, PackedJob, pack, split, workers_for

SECONDS = st.floats(0.1, 5000)
PIECES = st.lists(
    st.tuples(st.sampled_from([("mosi",), ("mosei",), ("mosei", "mosi")]), st.integers(0, 400), SECONDS),
    max_size=60,
    unique_by=lambda item: item[1],
).map(lambda items: [PackedJob(data, f"job{number}", seconds) for data, number, seconds in items])


@given(PIECES, SECONDS)
def test_every_job_is_in_one_bundle_and_none_is_too_long(pieces: list[PackedJob], seconds: float):
    bundles = pack(pieces, seconds)
    assert sorted(name for bundle in bundles for name in bundle.names) == sorted(
        piece.name for piece in pieces
    )
    for bundle in bundles:
        assert len(bundle.names) == 1 or bundle.seconds <= seconds * (1 + 1e-9)
    for one, next_one in pairwise(bundles):
        assert one.seconds + next_one.pieces[0].seconds > seconds * (1 - 1e-9)  # it had no room for one more


@given(PIECES, SECONDS, st.randoms())
def test_the_jobs_alone_decide_and_not_their_order(pieces: list[PackedJob], seconds: float, random):
    other = list(pieces)
    random.shuffle(other)
    assert pack(other, seconds) == pack(pieces, seconds)


@given(PIECES, SECONDS)
def test_what_shares_data_lies_together(pieces: list[PackedJob], seconds: float):
    order = [piece.data for bundle in pack(pieces, seconds) for piece in bundle.pieces]
    changes = sum(one != other for one, other in pairwise(order))
    assert changes == max(len(set(order)) - 1, 0)


@given(st.integers(0, 300), st.integers(1, 50))
def test_arrays_are_as_few_as_the_site_allows_and_keep_the_order(count: int, most: int):
    bundles = [Bundle((PackedJob((), f"job{number}", 1.0),)) for number in range(count)]
    arrays = split(bundles, most)
    assert [bundle for array in arrays for bundle in array] == bundles
    assert all(1 <= len(array) <= most for array in arrays)
    assert len(arrays) == -(-count // most)
    assert max(map(len, arrays), default=0) - min(map(len, arrays), default=0) <= 1


def test_what_was_seen_of_the_same_method_and_task_is_expected_then_of_each_then_a_guess():
    history = History({("erm", "mosi"): [4.0, 8.0, 5.0], ("ebmc", "mosei"): [40.0]})
    assert history.expected_seconds("erm", "mosi") == 5.0
    assert history.expected_seconds("erm", "sims") == 5.0
    assert history.expected_seconds("ebmc", "mosi") == 40.0
    assert history.expected_seconds("sam", "mosei") == 40.0
    assert history.expected_seconds("sam", "sims") == FIRST_GUESS


@given(st.lists(st.floats(1e6, 100e9), min_size=1, max_size=5), st.floats(1e9, 200e9), st.integers(1, 64))
def test_jobs_that_share_a_gpu_fit_into_it(peaks: list[float], memory: float, cpus: int):
    workers = workers_for(peaks, memory, cpus)
    assert 1 <= workers <= cpus
    assert workers == 1 or workers * (max(peaks) + 0.6e9) <= memory
    if workers < cpus:
        assert (workers + 1) * (max(peaks) + 0.6e9) > 0.89 * memory


@pytest.mark.parametrize("memory", [0.0, 80e9])
def test_a_job_that_was_never_measured_has_the_gpu_alone(memory: float):
    assert workers_for([], memory, 16) == 1
