"""What is chosen among trials, and what tables make of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.benchmark.core.job import Job, Trial
from mmbench.benchmark.report.results import results
from mmbench.benchmark.search.search_record import is_outdated, search_record, write_record
from mmbench.benchmark.search.trials import (
    TrialScore,
    best_trial,
    count_trials,
    describe_search,
    protocol_suffix,
    repeat_of,
    resolve,
    searches,
)
from mmbench.benchmark.store.job_folder import SCHEMA, Record
from mmbench.benchmark.store.job_schema import parse_job
from mmbench.benchmark.store.store import Store

from ..conftest import write_dataset
from .studies import asked, end, finish, fit_record, study_of

GRID = st.sampled_from([0.1, 0.2, 0.3])


@given(st.dictionaries(st.integers(0, 20), st.builds(TrialScore, GRID, GRID), min_size=1))
def test_the_best_is_chosen_and_ties_go_to_the_lower_loss_then_the_lower_index(scores: dict[int, TrialScore]):
    for direction, worse in (("lower", lambda a, b: a > b), ("higher", lambda a, b: a < b)):
        best = best_trial(scores, direction)  # pyright: ignore[reportArgumentType]
        for index, score in scores.items():
            assert not worse(scores[best].metric, score.metric)
            if score.metric == scores[best].metric:
                assert scores[best].loss <= score.loss
                if score.loss == scores[best].loss:
                    assert best <= index


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "data" / "toy")
    write_dataset(tmp_path / "data" / "toyc", 1, "classification")
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "ends", "chosen"),
    [
        ("mae", {0: (0.5, 0.1), 1: (0.4, 0.9), 2: (0.6, 0.1), 3: (0.4, 0.8)}, 3),
        ("accuracy", {0: (0.5, 0.1), 1: (0.6, 0.7), 2: (0.6, 0.7), 3: (0.4, 0.1)}, 1),
        ("mae", {0: (0.5, 0.1), 1: "pruned", 2: (0.6, 0.1), 3: "pruned"}, 0),
    ],
)
def test_the_choice_is_made_from_the_trials_own_fit_records(root: Path, kind: str, ends: dict, chosen: int):
    study, store = study_of(asked(root)), Store(root / "runs")
    end(store, study, ends, kind)
    (found,) = searches(store, list(store))
    assert (found.chosen, found.why, found.metric) == (chosen, "", kind)
    assert found.trials[chosen].job.id == study.sampled_job(chosen).id


def test_another_way_to_score_is_another_function(root: Path):
    study, store = study_of(asked(root)), Store(root / "runs")
    end(store, study, {0: (0.1, 0.3), 1: (0.2, 0.2), 2: (0.3, 0.1), 3: (0.4, 0.4)})

    def by_loss(fit) -> TrialScore:
        loss = fit["epochs"][-1]["loss"]
        return TrialScore(loss, loss)

    (found,) = searches(store, list(store), by_loss)
    assert found.chosen == 2


@pytest.mark.parametrize(
    ("ends", "why"),
    [
        ({0: (0.1, 0.1), 1: "failed", 2: (0.3, 0.1), 3: (0.4, 0.1)}, "1 of 4 trials failed (trial 1: boom)"),
        ({0: (0.1, 0.1), 1: None, 2: (0.3, 0.1), 3: (0.4, 0.1)}, "1 of 4 trials not started (trial 1)"),
        ({0: (0.1, 0.1), 2: (0.3, 0.1), 3: (0.4, 0.1)}, "1 of 4 trials not in the store (trial 1)"),
        (dict.fromkeys(range(4), "pruned"), "every trial was pruned"),
    ],
)
def test_where_a_trial_lacks_nothing_is_chosen_among_the_rest(root: Path, ends: dict, why: str):
    study, store = study_of(asked(root)), Store(root / "runs")
    end(store, study, ends)
    (found,) = searches(store, list(store))
    assert (found.chosen, found.why) == (None, why)
    rows = sorted(results(store.path), key=lambda row: row.seed)
    assert [row.seed for row in rows] == [0, 1, 2]  # a hole of three, and no row of what is there
    assert {row.state for row in rows} <= {"failed", "planned"}
    assert why in rows[0].reason
    assert rows[0].audit["drawn"] == "none is chosen yet"


def test_a_fit_record_that_cannot_be_read_is_a_hole(root: Path):
    study, store = study_of(asked(root)), Store(root / "runs")
    end(store, study, dict.fromkeys(range(4), (0.1, 0.1)))
    finish(store, study.sampled_job(2), {"metric": "mae"})
    (found,) = searches(store, list(store))
    assert found.chosen is None
    assert "trial 2" in found.why


def test_the_chosen_and_its_repeats_are_the_only_results(root: Path):
    study, store = study_of(asked(root)), Store(root / "runs")
    end(store, study, {0: (0.5, 0.1), 1: (0.4, 0.1), 2: (0.3, 0.1), 3: (0.6, 0.1)})
    best = study.sampled_job(2)
    other = repeat_of(study.sampled_job(0), study.trial, 0)  # of what was the best before trial 2 was there
    repeats = [repeat_of(best, study.trial, index) for index in range(2)]
    for job in (*repeats, other):
        finish(store, job, fit_record(0.5, 0.5))
    plain = replace(study.sampled_job(0), seed=7, search=None)
    finish(store, plain, fit_record(0.5, 0.5))
    runs = resolve(store, list(store))
    assert [record.job.id for record in runs[0]] == [plain.id]
    assert [run.record.job.id for run in runs[1]] == [best.id, *(job.id for job in repeats)]
    assert [run.place for run in runs[1]] == [0, 1, 2]
    rows = {row.job: row for row in results(store.path)}
    assert rows.keys() == {best.id, plain.id, *(job.id for job in repeats)}
    # One row, named by the method; networks that were not searched are in another block.
    assert {rows[job].method for job in rows} == {"nel"}
    assert {rows[job.id].protocol for job in (best, *repeats)} == {"fair, search 1+3+2"}
    assert rows[plain.id].protocol == "fair"
    assert "search" not in rows[plain.id].audit
    audit = rows[best.id].audit
    assert audit["search"] == "1+3+2, chosen by source validation"
    assert audit["drawn"].startswith(f"trial 2: alpha={best.params['alpha']:g}, beta=")
    assert audit["search_seeds"] == " ".join(str(job.seed) for job in (best, *repeats))


def test_repeats_have_the_chosen_configuration_and_fresh_seeds(root: Path):
    study = study_of(asked(root, search={"draws": 10, "repeats": 2}))
    trials = study.trials({})
    repeats = [repeat_of(trials[4], study.trial, index) for index in range(2)]
    assert [job.params for job in repeats] == [trials[4].params] * 2
    assert len({job.seed for job in (*trials, *repeats)}) == 13


def test_a_method_with_nothing_to_search_says_so_and_has_as_many_networks(root: Path):
    study, store = study_of(asked(root, methods="erm")), Store(root / "runs")
    assert study.size == study_of(asked(root)).size
    end(store, study, {index: (0.5, 0.1 * index) for index in range(4)})
    (found,) = searches(store, list(store))
    assert "nothing to search" in describe_search(found)
    assert len({record.job.seed for record in found.trials.values()}) == 4
    assert results(store.path)[0].audit["drawn"] == "trial 0: the defaults"


def test_pruned_trials_are_counted_in_the_audit(root: Path):
    study, store = study_of(asked(root)), Store(root / "runs")
    end(store, study, {0: (0.5, 0.1), 1: "pruned", 2: (0.3, 0.1), 3: "pruned"})
    assert store.record(study.sampled_job(1)).state == "pruned"
    assert not store.job(study.sampled_job(1).id).is_done()
    assert results(store.path)[0].audit["search"] == "1+3+2, chosen by source validation, 2 pruned"
    (found,) = searches(store, list(store))
    assert count_trials([found]) == {"trials": 4, "repeats": 0, "chosen": 1}


def test_more_draws_go_on_from_fewer(root: Path):
    store = Store(root / "runs")
    few, many = (study_of(asked(root, search={"draws": draws, "repeats": 1})) for draws in (2, 5))
    assert [job.id for job in many.trials({})][:3] == [job.id for job in few.trials({})]
    end(store, few, dict.fromkeys(range(3), (0.5, 0.1)))
    (found,) = searches(store, list(store))
    assert found.chosen == 0
    end(store, many, {3: (0.4, 0.1), 4: None})
    (found,) = searches(store, list(store))
    assert (found.trial.draws, found.chosen) == (5, None)
    end(store, many, {4: (0.6, 0.1), 5: (0.6, 0.1)})
    (found,) = searches(store, list(store))
    assert found.chosen == 3


def test_searches_with_other_rules_or_data_are_not_mixed(root: Path):
    store = Store(root / "runs")
    for change in (
        {},
        {"search": {"draws": 3, "sampler": "tpe"}},
        {"search": {"draws": 3, "pruner": "median"}},
        {"methods": "nel(alpha=0.7)"},
        {"datasets": "toyc"},
        {"modalities": "T"},
        {"protocol": {"epochs": 3}},
    ):
        end(store, study_of(asked(root, **change)), {0: (0.5, 0.1)})
    found = searches(store, list(store))
    assert len(found) == 7
    assert len({one.name for one in found}) == 7
    assert len(list(store)) == 7
    told = {protocol_suffix(one.trial) for one in found}
    assert told == {", search 1+3+2", ", search 1+3+2 by tpe", ", search 1+3+2, median pruner"}


def test_the_record_says_who_was_tried_and_who_won_and_can_be_made_again(root: Path):
    study, store = study_of(asked(root)), Store(root / "runs")
    end(store, study, {0: (0.5, 0.1), 1: (0.4, 0.1), 2: "pruned", 3: "failed"})
    (found,) = searches(store, list(store))
    assert is_outdated(store, found)
    write_record(store, found)
    assert not is_outdated(store, found)
    file = store.path / "searches" / f"{found.name}.json"
    record = json.loads(file.read_text())
    assert [trial["state"] for trial in record["trials"]] == ["done", "done", "pruned", "failed"]
    assert record["trials"][1]["metric"] == 0.4
    assert record["trials"][1]["drawn"].keys() == set(study.trial.searched)
    assert record["chosen"] is None
    assert "boom" in record["why_none"]
    end(store, study, {3: (0.1, 0.1)})
    (found,) = searches(store, list(store))
    assert is_outdated(store, found)
    file.unlink()
    write_record(store, found)
    assert json.loads(file.read_text()) == search_record(found)
    assert json.loads(file.read_text())["chosen"] == 3
    assert [path.name for path in file.parent.iterdir()] == [file.name]  # no temporary file is left


def test_a_part_in_a_search_is_no_part_of_the_identity_and_survives_the_disk(root: Path):
    study = study_of(asked(root))
    job = study.sampled_job(1)
    assert job.search == Trial("trial", 1, 3, 2, "random", "none", study.trial.searched, ())
    assert replace(job, search=None).id == job.id
    assert "search" not in replace(job, search=None).to_dict()
    back = Job.from_dict(json.loads(json.dumps(job.to_dict())))
    assert (back.search, back.id) == (job.search, job.id)
    taken = parse_job({"schema": SCHEMA, **json.loads(json.dumps(job.to_dict()))})  # as merge reads it
    assert taken.search == job.search


def test_jobs_without_a_search_are_passed_over(root: Path):
    study, store = study_of(asked(root)), Store(root / "runs")
    plain = Record(replace(study.sampled_job(0), search=None), "done")
    assert searches(store, [plain]) == []
    assert resolve(store, [plain]) == ([plain], [])
