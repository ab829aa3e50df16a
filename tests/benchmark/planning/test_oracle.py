"""``--oracle``: ERM on each shift's target, a row beside the shift, and what is made of it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mmbench.benchmark import Experiment, UsageError, plan, results, run
from mmbench.benchmark.core.job import Job
from mmbench.benchmark.core.task import Task
from mmbench.benchmark.data.domains import samples_of_place
from mmbench.benchmark.exchange.merge import merge
from mmbench.benchmark.report.chosen_tables import chosen_tables, frames
from mmbench.benchmark.report.results import filter_from
from mmbench.benchmark.store.store import Store
from mmbench.datasets.dataset import SPLITS, Samples
from mmbench.leaderboards.catalog import TABLES
from mmbench.leaderboards.labels import UPPER_BOUND

from ..conftest import Command, write_dataset
from ..core.test_selection import rows_of, write
from ..data.test_domains import made

EBMC = "ebmc(layers=1)"
TASK = "multi/a+multi/b->multi/c"
RULES = "fair (batch_size=8, epochs=10, learning_rate=0.006)"


def experiment(root: Path, store: Path, datasets: str, **more: Any) -> Experiment:
    asked = {"methods": f"erm,{EBMC}", "seeds": "0,1", "protocol": {"epochs": 1}, "oracle": True}
    where = {"data_root": root, "store": store, "launcher": "debug", "device": "cpu"}
    return Experiment.read({**asked, **where, "datasets": datasets, **more})


def jobs(*asked: Any, **more: Any) -> list[Job]:
    return list(plan(experiment(*asked, **more)).jobs)


def test_one_job_for_each_target_modality_set_and_seed(data_root: Path, tmp_path: Path):
    write_dataset(data_root / "toyx", 6)
    tasks = "toy->toyx,toyx->toy,toy+toyx->toys,toys->toy"
    every = jobs(data_root, tmp_path, tasks, modalities="all,T")
    without = jobs(data_root, tmp_path, tasks, modalities="all,T", oracle=False)
    added = {job.id for job in every} - {job.id for job in without}
    assert {job.id for job in without} < {job.id for job in every}
    named = [(job.task, job.label, job.modality_set, job.seed) for job in every if job.id in added]
    assert sorted(named) == sorted(
        (target, "erm", modalities, seed)
        for target in ("toy", "toys", "toyx")
        for modalities in ("text+audio", "text")
        for seed in (0, 1)
    )


def test_it_is_the_very_job_of_the_task_without_a_shift(data_root: Path, tmp_path: Path):
    for protocol in ({"epochs": 1}, {"name": "as-published"}, {"selection": "last"}):
        bounds = {job.id for job in jobs(data_root, tmp_path, "toy->toys", protocol=protocol)}
        own = jobs(data_root, tmp_path, "toys", protocol=protocol, methods="erm")
        assert {job.id for job in own} < bounds
        # In-domain tasks need none of their own.
        assert len(own) == 2
    # The target's validation split selects under every rule that would need others.
    own = {job.id for job in jobs(data_root, tmp_path, "toys", protocol={}, methods="erm")}
    for rule in ("oracle", "leave-one-source-out"):
        write_dataset(data_root / rule, 6)
        task = f"toy+{rule}->toys"
        assert own < {job.id for job in jobs(data_root, tmp_path, task, protocol={"selection": rule})}


@pytest.fixture
def domains(tmp_path: Path) -> Path:
    return write(tmp_path / "domains")


def test_a_domain_is_trained_and_tested_on_parts_that_share_no_sample(domains: Path, tmp_path: Path):
    """And the test part is that of the shift, sample by sample."""
    found = jobs(domains, tmp_path, "multi/*", methods="erm", seeds="0")
    assert sorted(job.task for job in found if "->" not in job.task) == ["multi/a", "multi/b", "multi/c"]
    splits = made()
    for domain in "abc":
        place = f"multi/{domain}"
        own = samples_of_place(splits, place, Task((place,), place))
        ids = [set(own[split].sample_id) for split in SPLITS]
        assert all(ids)
        assert len(set.union(*ids)) == sum(map(len, ids))
        shift = Task.parse("+".join(f"multi/{other}" for other in "abc" if other != domain) + f"->{place}")
        assert (
            own["test"].sample_id.tolist()
            == samples_of_place(splits, place, shift)["test"].sample_id.tolist()
        )


def test_a_target_without_a_training_part_is_refused_before_anything_is_written(tmp_path: Path):
    splits = made()
    rows = np.flatnonzero(splits["train"].domain != "c")
    root = write(tmp_path / "data", {**splits, "train": rows_of(splits["train"], rows)})
    with pytest.raises(UsageError, match=r"--oracle: multi/c has 0 training samples of its own"):
        run(experiment(root, tmp_path / "runs", "multi/a+multi/b->multi/c"))
    assert not (tmp_path / "runs").exists()
    assert jobs(root, tmp_path / "runs", "multi/a+multi/b->multi/c", oracle=False)


def turned(split: str, part: Samples) -> np.ndarray:
    """[samples], bool: the samples of the target; of its test part four of five, so that no network is always wrong."""
    return (part.domain == "c") & ((split != "test") | (np.arange(len(part)) % 5 > 0))


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods on a shift of domains to one whose labels are turned, so that the gap is wide; with its bound."""
    folder = tmp_path_factory.mktemp("bounds")
    splits = {
        split: replace(part, target=np.where(turned(split, part), 1 - part.target, part.target))
        for split, part in made().items()
    }
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        rules = {"epochs": 10, "batch_size": 8, "learning_rate": 0.006}
        root = write(folder / "data", splits)
        assert run(experiment(root, folder / "runs", TASK, protocol=rules, seeds="0-2")).ok
    return folder / "runs"


@pytest.fixture
def store(once: Path, tmp_path: Path) -> Path:
    """A copy of that store for one test."""
    return Path(shutil.copytree(once, tmp_path / "runs"))


def accuracies(store: Path) -> dict[tuple[str, str], np.ndarray]:
    """(Task, method) -> share of right answers on clean test data, seed by seed, from the files themselves."""
    found: dict[tuple[str, str], list[float]] = {}
    for record in sorted(Store(store), key=lambda record: record.job.seed):
        table = pd.read_parquet(store / "jobs" / record.job.id / "predictions.parquet")
        table = table[(table["split"] == "test") & (table["condition"] == "clean")]
        answer = np.asarray(table["logit_1"]) > np.asarray(table["logit_0"])
        right = answer == np.asarray(table["target"])
        found.setdefault((record.job.task, record.job.label), []).append(float(right.mean()))
    return {key: np.array(values) for key, values in found.items()}


@pytest.mark.slow
def test_rows_of_a_real_store(store: Path, mmbench: Command, tmp_path: Path):
    right = accuracies(store)
    assert set(right) == {(TASK, "erm"), (TASK, EBMC), ("multi/c", "erm")}
    found = results(store)
    bound = next(one for one in found if one.bound)
    assert (bound.method, bound.task, bound.protocol) == ("oracle", TASK, f"{RULES}{UPPER_BOUND}")
    assert bound.audit["selected_by"] == "target validation (upper bound)"
    assert "gap" in chosen_tables(None, found)

    formats = ("--format", "terminal,csv,md,latex,html", "--out", "tables")
    ended = mmbench("leaderboard", "--what", "accuracy,gap,audit,missing", *formats)
    assert ended.returncode == 0, ended.stderr
    tables = tmp_path / "tables"
    frame = pd.read_csv(tables / "accuracy.csv", keep_default_na=False)
    frame = frame[frame["metric"] == "accuracy"].set_index(["task", "method"])
    assert set(frame.index) == {*right, (TASK, "oracle")}
    assert frame.loc[(TASK, "oracle"), "values"] == frame.loc[("multi/c", "erm"), "values"]
    assert [float(v) for v in str(frame.loc[(TASK, "oracle"), "values"]).split()] == pytest.approx(
        right["multi/c", "erm"].tolist()
    )
    assert frame.loc[(TASK, "oracle"), "protocol"].endswith(UPPER_BOUND)
    assert frame.loc[(TASK, "oracle"), ["mark", "p_vs_best"]].tolist() == ["", ""]
    fair = frame.drop(index=(TASK, "oracle"))
    assert set(fair["protocol"]) == {RULES}
    audit = pd.read_csv(tables / "audit.csv").set_index(["task", "method"])
    assert audit.loc[(TASK, "oracle"), "selected_by"] == "target validation (upper bound)"
    assert set(pd.read_csv(tables / "missing.csv")["method"]) == {"erm", EBMC}

    read = pd.read_csv(tables / "gap.csv").to_dict("records")
    gaps: dict[tuple[str, str], Any] = {(row["method"], row["metric"]): row["mean"] for row in read}
    means = {key: values.mean() for key, values in right.items()}
    whole = means["multi/c", "erm"] - means[TASK, "erm"]
    for method in ("erm", EBMC):
        lacks = (means["multi/c", "erm"] - means[TASK, method]) / means[TASK, method]
        assert gaps[method, "gap_left"] == pytest.approx(lacks, abs=1e-9)
        share = (means[TASK, method] - means[TASK, "erm"]) / whole
        assert gaps[method, "gap_closed"] == pytest.approx(share, abs=1e-9)
    for name, said in (
        ("gap.md", "gap_left % ↓"),
        ("gap.tex", r"gap\_left"),
        ("leaderboard.html", "gap_left"),
    ):
        assert said in (tables / name).read_text()
    assert "gap_left" in ended.stdout
    assert "see the target and are never compared" in (tables / "accuracy.md").read_text()
    assert "see the target" not in (tables / "gap.md").read_text()

    ended = mmbench("findings", "--format", "json", "--out", "tables")
    third = next(one for one in json.loads((tables / "findings.json").read_text()) if one["number"] == "3")
    lacks = (right["multi/c", "erm"] - max(right[TASK, "erm"], right[TASK, EBMC], key=np.mean)).mean()
    best = max(means[TASK, "erm"], means[TASK, EBMC])
    assert third["estimates"][0]["mean"] == pytest.approx(lacks / best, abs=1e-9)


def test_a_filter_keeps_the_bound_of_what_it_keeps(store: Path):
    def kept(*asked: str | None) -> set[tuple[str, str, int]]:
        return {(r.task, r.method, r.seed) for r in results(store, filter_from(*asked))}

    assert kept(None, TASK, "1") == {(TASK, "erm", 1), (TASK, EBMC, 1), (TASK, "oracle", 1)}
    assert kept(None, "multi/c", None) == {("multi/c", "erm", seed) for seed in range(3)}
    assert {(TASK, "oracle", 0), (TASK, EBMC, 0)} < kept(EBMC, None, None)


def test_without_the_flag_an_in_domain_job_that_is_there_counts(data_root: Path, tmp_path: Path):
    write_dataset(data_root / "toyx", 6)
    for datasets in ("toyx", "toy->toyx"):
        more = {"methods": "erm(layers=1),erm" if datasets == "toyx" else "erm(layers=1)", "oracle": False}
        assert run(experiment(data_root, tmp_path / "runs", datasets, **more)).ok
    rows = {(one.task, one.method) for one in results(tmp_path / "runs")}
    assert rows == {
        ("toyx", "erm"),
        ("toyx", "erm(layers=1)"),
        ("toy->toyx", "erm(layers=1)"),
        ("toy->toyx", "oracle"),
    }
    oracle = [one for one in results(tmp_path / "runs") if one.bound]
    assert len({one.job for one in oracle}) == 2
    assert all("-erm-" in one.job for one in oracle)


def test_a_failed_bound_is_a_hole_with_its_reason(store: Path):
    bounds = [one for one in results(store) if one.bound]
    (store / "jobs" / bounds[1].job / "done.json").unlink()
    Store(store).job(bounds[1].job).fail("on purpose")
    made_frames = dict(frames(["accuracy", "gap"], results(store)))
    rows = made_frames["accuracy"].loc[made_frames["accuracy"]["method"] == "oracle"]
    assert set(rows["hole"]) == {"1 of 3 seeds failed (seed 1: on purpose)"}
    holes = made_frames["gap"]["hole"].unique().tolist()
    assert all("the oracle: 1 of 3 seeds failed (seed 1: on purpose)" in hole for hole in holes)


def test_boards_of_fair_rows_have_no_bound(store: Path):
    found = results(store)
    for name, frame in frames(chosen_tables(None, found), found):
        said = set(frame["method"]) if "method" in frame else set()
        assert ("oracle" in said) == (name in ("accuracy", "audit")), name
        assert not TABLES[name].bounds or name in ("accuracy", "audit", "gap")


def test_a_merged_leaderboard_with_a_bound_is_in_order(store: Path, mmbench: Command, tmp_path: Path):
    ended = mmbench("leaderboard", "--what", "accuracy,gap", "--format", "csv")
    assert ended.returncode == 0, ended.stderr
    report = merge(store, tmp_path / "other")
    assert report.ok, report.lines
    assert {one.job for one in results(tmp_path / "other")} == {one.job for one in results(store)}
    assert sum(one.bound for one in results(tmp_path / "other")) == 3


def test_flag_and_file_say_the_same(mmbench: Command, data_root: Path, tmp_path: Path):
    asked = ("--methods", "erm", "--datasets", "toy->toys", "--seeds", "0", "--device", "cpu")
    counts = {}
    for words in ((), ("--oracle",)):
        ended = mmbench("plan", *asked, *words)
        counts[words] = re.findall(r"(\d+) jobs?:", ended.stdout)[0]
    assert list(counts.values()) == ["1", "2"]
    (tmp_path / "asked.yaml").write_text("methods: erm\ndatasets: toy->toys\nseeds: 0\noracle: true\n")
    assert "2 jobs:" in mmbench("plan", "--config", "asked.yaml").stdout
    saved = Experiment.load(tmp_path / "asked.yaml")
    saved.save(tmp_path / "again.yaml")
    assert Experiment.load(tmp_path / "again.yaml") == saved


def test_a_store_with_companions_and_bounds(domains: Path, tmp_path: Path):
    """Both at once: companions are no results, the bound is selected by the target's own validation split."""
    rule = {"epochs": 1, "selection": "leave-one-source-out"}
    asked = experiment(domains, tmp_path / "runs", TASK, protocol=rule, methods="erm", seeds="0")
    summary = run(asked)
    assert summary.ok
    assert summary.planned == 4
    rows = {(one.task, one.method, one.bound) for one in results(tmp_path / "runs")}
    assert rows == {(TASK, "erm", False), (TASK, "oracle", True), ("multi/c", "erm", False)}
