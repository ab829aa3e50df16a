"""Tables that are made and kept block by block are those made at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from mmbench.benchmark import Experiment, run
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.report import parallel, tables
from mmbench.benchmark.report.block_cache import blocks_of, made_of_results
from mmbench.benchmark.report.chosen_tables import chosen_tables, frames
from mmbench.benchmark.report.results import Filter, results
from mmbench.benchmark.report.score_job import table_blocks
from mmbench.benchmark.report.tables import tables_of
from mmbench.benchmark.store.store import Store
from mmbench.leaderboards.catalog import TABLES
from mmbench.leaderboards.render import csv_files
from rich.console import Console

from ..conftest import write_dataset
from .test_score_cache import trained  # noqa: F401

QUIET = Console(quiet=True)
Make = Callable[..., dict[str, pd.DataFrame]]


@pytest.fixture
def store(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """Two blocks, of which one has OOD results; as if they were many."""
    monkeypatch.setattr(tables, "MANY", 1)
    return Path(shutil.copytree(trained, tmp_path / "runs"))


def write_concurrently(store: Path, what: str | None = None) -> dict[str, pd.DataFrame]:
    found = results(store)
    return dict(frames(chosen_tables(what, found), found))


def assert_same(made: dict[str, pd.DataFrame], whole: dict[str, pd.DataFrame]) -> None:
    assert made.keys() == whole.keys()
    for name, frame in made.items():
        own = frame.drop(columns=["audit_verified"], errors="ignore")  # of the command's table alone
        pd.testing.assert_frame_equal(own, whole[name].reindex(columns=list(own)), check_exact=True, obj=name)


def kept(store: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in store.glob("made/blocks/*")}


def test_blocks_make_the_tables_of_the_whole_and_again_without_work(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "MANY", 1)  # in several processes
    assert [block.task for block in blocks_of(Store(store))] == ["toy", "toyc"]
    assert_same(tables_of(store, Filter(), "all", QUIET).frames, write_concurrently(store))
    before = kept(store)
    assert len(before) == 2 * sum(not TABLES[name].over_tasks for name in made_of_results(TABLES))
    assert_same(tables_of(store, Filter(), None, QUIET).frames, write_concurrently(store))
    assert kept(store) == before


def test_tables_over_tasks_are_made_of_all_their_jobs_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("one", "two", "three")):
        write_dataset(tmp_path / "data" / name, number, "classification")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shifts = ["one+two->three", "one+three->two"]
    asked = {"methods": ["majority", "logistic"], "datasets": shifts, "seeds": [0], "launcher": "debug"}
    store = tmp_path / "runs"
    assert run(Experiment.read({**asked, "data_root": tmp_path / "data", "store": store})).ok
    whole = write_concurrently(store)
    monkeypatch.setattr(tables, "MANY", 1)
    made = tables_of(store, Filter(), None, QUIET).frames
    assert set(made["targets"]["condition"]) >= {"target:two", "target:three", "average_over_targets"}
    assert_same(made, whole)
    before = kept(store)
    assert_same(tables_of(store, Filter(), "targets", QUIET).frames, {"targets": whole["targets"]})
    assert kept(store) == before
    alone = Filter(tasks=frozenset(shifts[:1]))
    with pytest.raises(UsageError, match="leaderboard targets: "):
        tables_of(store, alone, "targets", QUIET)


def test_a_board_that_one_block_lacks_costs_no_other_board(store: Path) -> None:
    made = tables_of(store, Filter(), "accuracy,ood,ranks", QUIET).frames
    assert list(made) == ["accuracy", "ood", "ranks"]
    assert set(made["accuracy"]["task"]) == {"toy", "toyc"}
    assert set(made["ood"]["task"]) == {"toyc"}


def test_a_board_that_no_block_has_is_said(store: Path) -> None:
    with pytest.raises(UsageError, match="unknown leaderboard 'oood'"):
        tables_of(store, Filter(), "oood", QUIET)
    for folder in store.glob("jobs/toyc-*/evaluations"):
        for file in [*folder.glob("ood-*"), *folder.glob("features*")]:
            file.unlink()
    with pytest.raises(UsageError, match="leaderboard ood"):
        tables_of(store, Filter(), "ood", QUIET)
    assert "ood" not in tables_of(store, Filter(), None, QUIET).frames


def test_only_the_block_of_a_changed_job_is_made_again(store: Path) -> None:
    tables_of(store, Filter(), "all", QUIET)
    before, (toy, toyc) = kept(store), blocks_of(Store(store))
    shutil.rmtree(next(store.glob("jobs/toyc-*-s1-*")))
    assert_same(tables_of(store, Filter(), "all", QUIET).frames, write_concurrently(store))
    changed = {name for name, time in kept(store).items() if before.get(name) != time}
    assert changed == {name for name in before if name.startswith(toyc.key)}
    assert toy.key != toyc.key


def test_an_evaluation_that_changes_in_its_place_is_seen(store: Path) -> None:
    tables_of(store, Filter(), "all", QUIET)
    file = next(store.glob("jobs/toy-*/evaluations/drift.parquet"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    made = tables_of(store, Filter(), "all", QUIET)
    assert made.frames["robustness"]["hole"].str.contains("has changed").any()
    assert not made.complete


def test_a_kept_block_that_is_damaged_is_made_again(store: Path) -> None:
    tables_of(store, Filter(), "all", QUIET)
    for place, file in enumerate(sorted(store.glob("made/blocks/*"))):
        content = file.read_bytes()
        file.write_bytes([b"", content[: len(content) // 2], b"nonsense"][place % 3])
    assert_same(tables_of(store, Filter(), "all", QUIET).frames, write_concurrently(store))


def test_a_filter_by_method_or_seed_is_not_kept(store: Path) -> None:
    only = Filter(seeds=frozenset([0]))
    made = tables_of(store, only, "accuracy", QUIET).frames["accuracy"]
    assert set(made["seeds"]) == {"0"}
    assert not kept(store)
    with pytest.raises(UsageError, match="no job"):
        tables_of(store, Filter(methods=frozenset(["ebmc"])), "accuracy", QUIET)
    one = tables_of(store, Filter(tasks=frozenset(["toy"])), "accuracy", QUIET).frames["accuracy"]
    assert set(one["task"]) == {"toy"}


def test_a_store_that_cannot_be_written_is_tabled_all_the_same(store: Path) -> None:
    (store / "made").write_text("no folder")
    assert_same(tables_of(store, Filter(), "all", QUIET).frames, write_concurrently(store))


def test_a_folder_that_is_no_job_is_a_fault_beside_the_tables(store: Path) -> None:
    lone = store / "jobs" / "lone"
    lone.mkdir()
    (lone / "job.json").write_text(json.dumps({"task": "elsewhere"}))
    made = tables_of(store, Filter(), "all", QUIET)
    assert len(made.faults) == 1
    assert "lone" in made.faults[0]
    shutil.rmtree(lone)
    assert_same(made.frames, write_concurrently(store))


def test_the_csv_file_is_that_of_the_frame(store: Path, tmp_path: Path) -> None:
    made = tables_of(store, Filter(), "all", QUIET)
    for name, frame in made.frames.items():
        joined = made.write_csv(name, tmp_path / "joined").read_bytes()
        assert joined == csv_files.write_csv(frame, tmp_path / "whole", name).read_bytes(), name
    assert set(made.files) >= {"missing", "robustness", "misd"}


def test_the_end_of_a_run_keeps_the_tables_of_its_blocks(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table_blocks(Store(store), QUIET)
    assert not kept(store)  # eight jobs are soon tabled
    monkeypatch.setattr("mmbench.benchmark.report.score_job.MANY", 1)
    table_blocks(Store(store), QUIET)
    before = kept(store)
    assert before
    assert_same(tables_of(store, Filter(), None, QUIET).frames, write_concurrently(store))
    assert kept(store) == before


def test_a_shift_is_made_again_when_a_job_that_may_bound_it_changes(tmp_path: Path) -> None:
    tasks = {"shift": ("toy->toyc", ["a", "t"]), "own": ("toyc", ["t", "a"]), "other": ("toyc", ["t"])}
    for name, (task, modalities) in {**tasks, "source": ("toy", ["a", "t"])}.items():
        folder = tmp_path / "jobs" / name
        folder.mkdir(parents=True)
        (folder / "job.json").write_text(json.dumps({"task": task, "modalities": modalities}))
    beside = {block.jobs: block.beside for block in blocks_of(Store(tmp_path))}
    assert beside.pop(("shift",)) == ("own",)
    assert set(beside.values()) == {()}
