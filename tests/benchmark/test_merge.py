"""``mmbench merge``: what comes from elsewhere is checked, rescored or refused, and never run."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mmbench.benchmark import Experiment, run
from mmbench.benchmark import files as files_module
from mmbench.benchmark import store as store_module
from mmbench.benchmark.cli import main
from mmbench.benchmark.errors import UsageError
from mmbench.benchmark.merge import Report, merge
from mmbench.benchmark.store import Store, StoreError
from mmbench.leaderboards.csv_files import read_csv

from .conftest import write_dataset

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs the command in this process; its exit code and all it printed, on one line."""

    def call(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["mmbench", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "300")  # a reason that is folded beside other columns is not found
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), " ".join((said.out + said.err).split())

    return call


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A colleague's folder: a store of two seeds, tested under a corruption and against another dataset."""
    folder = tmp_path_factory.mktemp("colleague")
    write_dataset(folder / "data" / "toyc", 1, "classification")
    write_dataset(folder / "data" / "toyo", 3, "classification")
    asked = {"methods": ["erm(layers=1)"], "datasets": ["toyc"], "seeds": [0, 1], "protocol": {"epochs": 1}}
    asked |= {"launcher": "debug", "device": "cpu", "corruptions": ["drift"], "ood": ["toyo"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        assert run(Experiment.read({**asked, "data_root": folder / "data", "store": folder / "runs"})).ok
        patch.setattr(
            sys, "argv", ["mmbench", "leaderboard", "--store", str(folder / "runs"), "--format", "csv"]
        )
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
    return folder / "runs"


@pytest.fixture
def theirs(trained: Path, tmp_path: Path) -> Path:
    """As ``trained``, with the tables that are soon scored."""
    slow = shutil.ignore_patterns("misd*", "ood.*", "calibration*")
    return Path(shutil.copytree(trained, tmp_path / "theirs", ignore=slow))


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return tmp_path / "ours"


def jobs(store: Path) -> list[Path]:
    return sorted((store / "jobs").iterdir())


def kinds(report: Report, prefix: str = "") -> list[str]:
    return [kind for kind, name, _ in report.lines if name.startswith(prefix)]


def reason(report: Report, kind: str) -> str:
    (found,) = [why for what, _, why in report.lines if what == kind]
    return found


def content(folder: Path) -> dict[str, bytes]:
    """All files, but the locks, which are empty, and the scores, which are made anew."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "lock"]
    files = [file for file in files if file.parent.name != "scores"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def sign(job: Path) -> None:
    """Makes every hash in a job's folder true of what lies there."""
    marker = job / "done.json"
    values = json.loads(marker.read_text())
    for name, stated in values["files"].items():
        data = (job / name).read_bytes()
        stated |= {"sha256": hashlib.sha256(data).hexdigest()}
        if "size" in stated:
            stated["size"] = len(data)
    marker.write_text(json.dumps(values))
    for marker in job.glob("evaluations/*.json"):
        data = marker.with_suffix(".parquet").read_bytes()
        values = {"schema": 1, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        marker.write_text(json.dumps(values))


def without_tables(store: Path) -> Path:
    shutil.rmtree(store / "leaderboards")
    return store


def test_a_second_store_is_taken_and_tabled_as_there(call: Call, theirs: Path, ours: Path):
    code, said = call("merge", theirs, "--store", ours)
    assert code == 0
    assert "2 taken" in said
    assert "verified" in said
    there, here = content(theirs / "jobs"), content(ours / "jobs")
    assert set(there) == set(here)
    for name in there:
        if name.endswith((".parquet", ".safetensors")):
            assert there[name] == here[name]
    assert call("leaderboard", "--store", ours, "--format", "csv")[0] == 0
    own = read_csv(ours / "leaderboards" / "accuracy.csv")
    assert own.equals(read_csv(theirs / "leaderboards" / "accuracy.csv"))
    assert set(own["audit_verified"]) == {"verified"}
    assert not (ours / "external").exists()


def test_merging_twice_changes_nothing(theirs: Path, ours: Path):
    assert merge(theirs, ours).ok
    before = content(ours)
    stamps = {file: file.stat().st_mtime_ns for file in ours.rglob("*.json")}
    again = merge(theirs, ours)
    assert again.ok
    assert kinds(again, "toyc") == ["already there"] * 2
    assert content(ours) == before
    assert {file: file.stat().st_mtime_ns for file in ours.rglob("*.json")} == stamps


def test_every_row_of_every_table_is_rescored(trained: Path, ours: Path):
    report = merge(trained, ours)
    stated = sum(
        (read_csv(file)["hole"] == "").sum()
        for file in (trained / "leaderboards").glob("*.csv")
        if file.stem not in ("audit", "cost")
    )
    assert kinds(report).count("verified") == stated > 100


def test_a_dry_run_says_the_same_and_writes_nothing(call: Call, theirs: Path, ours: Path):
    planned = call("merge", theirs, "--store", ours, "--dry-run")
    assert not ours.exists()
    assert call("merge", theirs, "--store", ours) == planned


def test_only_what_is_lacking_is_taken(theirs: Path, ours: Path):
    without_tables(theirs)
    hidden = [shutil.move(file, theirs.parent) for file in jobs(theirs)[0].glob("evaluations/drift.*")]
    assert merge(theirs, ours).ok
    for file in hidden:
        shutil.move(file, jobs(theirs)[0] / "evaluations")
    report = merge(theirs, ours)
    assert [why for _, _, why in report.lines] == ["drift", ""]
    assert content(ours / "jobs").keys() == content(theirs / "jobs").keys()


def test_job_folders_beside_a_csv_are_found(theirs: Path, ours: Path, tmp_path: Path):
    published = tmp_path / "published"
    shutil.copytree(theirs / "jobs", published)
    shutil.copy(theirs / "leaderboards" / "accuracy.csv", published)
    report = merge(published, ours)
    assert report.ok
    assert kinds(report).count("taken") == 2
    assert "unverified" not in kinds(report)


def reencode(job: Path, change: Callable[[pa.Table], pa.Table], name: str = "predictions") -> None:
    file = job / f"{name}.parquet"
    pq.write_table(change(pq.read_table(file)), file)
    sign(job)


def replaced(table: pa.Table, column: str, values: np.ndarray | list | pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(column), column, pa.array(values))


def swapped(table: pa.Table) -> pa.Table:
    """Both logits change places: another network's answers, as well formed as the first."""
    other = table["logit_1"].to_numpy()
    return replaced(replaced(table, "logit_1", table["logit_0"].to_numpy()), "logit_0", other)


def test_other_predictions_of_the_same_job_are_a_conflict_and_ours_stay(call: Call, theirs: Path, ours: Path):
    assert merge(without_tables(theirs), ours).ok
    before = content(ours)
    reencode(jobs(theirs)[0], swapped)
    code, said = call("merge", theirs, "--store", ours)
    assert code == 1
    assert "1 already there, 1 conflict" in said
    assert hashlib.sha256((jobs(theirs)[0] / "predictions.parquet").read_bytes()).hexdigest()[:12] in said
    assert content(ours) == before


def test_other_outputs_of_an_evaluation_are_a_conflict(theirs: Path, ours: Path):
    assert merge(without_tables(theirs), ours).ok
    before = content(ours)
    reencode(jobs(theirs)[0], swapped, "evaluations/drift")
    assert sorted(kinds(merge(theirs, ours))) == ["already there", "already there", "conflict"]
    assert content(ours) == before


def nan(table: pa.Table) -> pa.Table:
    values = table["logit_0"].to_numpy().copy()
    values[3] = np.nan
    return replaced(table, "logit_0", values)


def null(table: pa.Table) -> pa.Table:
    return replaced(table, "domain", [None, *table["domain"].to_pylist()[1:]])


def other_target(table: pa.Table) -> pa.Table:
    values = table["target"].to_numpy().copy()
    values[-1] = 1 - values[-1]
    return replaced(table, "target", values)


def deep(table: pa.Table) -> pa.Table:
    return replaced(table, "domain", [[text] for text in table["domain"].to_pylist()])


TABLES: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "a NaN": (nan, "not finite"),
    "a hole": (null, "not finite"),
    "too few rows": (lambda table: table.slice(0, len(table) - 1), "15 rows, expected 16"),
    "no row": (lambda table: table.slice(0, 0), "splits"),
    "no test split": (lambda table: table.slice(0, 12), "splits"),
    "a sample twice": (lambda table: pa.concat_tables([table, table.slice(0, 1)]), "twice"),
    "a target of its own": (other_target, "other samples or targets"),
    "no target": (lambda table: table.drop_columns(["target"]), "has the columns"),
    "a column more": (lambda table: table.append_column("x", table["target"]), "has the columns"),
    "a column of lists": (deep, "of type"),
}


@pytest.mark.parametrize("how", TABLES)
def test_a_table_that_no_network_wrote_is_refused(theirs: Path, ours: Path, how: str):
    change, words = TABLES[how]
    shutil.rmtree(jobs(without_tables(theirs))[1])
    reencode(jobs(theirs)[0], change)
    report = merge(theirs, ours)
    assert kinds(report) == ["refused"]
    assert words in reason(report, "refused")
    assert not ours.exists()


@pytest.mark.parametrize("name", ["drift", "features", "ood"])
def test_a_faulty_evaluation_is_refused_and_its_job_taken(theirs: Path, ours: Path, name: str):
    shutil.rmtree(jobs(without_tables(theirs))[1])
    (file,) = jobs(theirs)[0].glob(f"evaluations/{name}*.parquet")
    reencode(jobs(theirs)[0], nan, f"evaluations/{file.stem}")
    report = merge(theirs, ours)
    assert sorted(kinds(report)) == ["refused", "taken"]
    assert "not finite" in reason(report, "refused")
    assert not list(ours.glob(f"jobs/*/evaluations/{name}*"))
    assert len(list(ours.glob("jobs/*/evaluations/*.parquet"))) == 2


def test_an_evaluation_that_tests_clean_again_is_refused(theirs: Path, ours: Path):
    """It would name every sample of the job's own table a second time."""
    shutil.rmtree(jobs(without_tables(theirs))[1])
    again = jobs(theirs)[0] / "evaluations" / "again.parquet"
    own = pq.read_table(jobs(theirs)[0] / "predictions.parquet").to_pandas()
    pq.write_table(pa.Table.from_pandas(own[own["split"] == "test"], preserve_index=False), again)
    again.with_suffix(".json").write_text("{}")
    sign(jobs(theirs)[0])
    assert "a second time" in reason(merge(theirs, ours), "refused")


class Shell:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize(
    "name",
    ["predictions.parquet", "weights.safetensors", "fit.json", "evaluations/drift.parquet", "job.json"],
)
def test_a_pickle_in_place_of_a_result_is_refused_and_never_runs(
    call: Call, theirs: Path, ours: Path, tmp_path: Path, name: str
):
    ran = tmp_path / "ran"
    poison = pickle.dumps(Shell(f"touch {ran}"))
    pickle.loads(poison)
    assert ran.exists()  # it does run where it is let
    ran.unlink()
    shutil.rmtree(jobs(without_tables(theirs))[1])
    job = jobs(theirs)[0]
    (job / name).write_bytes(poison)
    sign(job)
    (job / "extra.pkl").write_bytes(poison)
    (theirs / "results.pkl").write_bytes(poison)
    (theirs / "accuracy.csv").write_bytes(poison)
    code, said = call("merge", theirs, "--store", ours)
    assert code == 1
    assert "refused" in said
    call("leaderboard", "--store", ours)
    assert not ran.exists()
    assert not list(ours.rglob("*.pkl"))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "marker", "gone", "schema"])
def test_a_job_that_is_not_whole_is_refused(theirs: Path, ours: Path, damage: str):
    job = jobs(without_tables(theirs))[0]
    file = job / "predictions.parquet"
    data = bytearray(file.read_bytes())
    if damage == "truncated":
        file.write_bytes(data[:-9])
        sign(job)
    elif damage == "flipped":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif damage == "marker":
        (job / "done.json").write_text("{}")
    elif damage == "gone":
        file.unlink()
    else:
        (job / "done.json").write_text((job / "done.json").read_text().replace('"schema": 1', '"schema": 9'))
    report = merge(theirs, ours)
    assert sorted(kinds(report)) == ["refused", "taken"]
    words = {"truncated": "not a parquet", "flipped": "hash", "marker": "version", "gone": "cannot be read"}
    assert words.get(damage, "another version") in reason(report, "refused")
    assert [file.name for file in jobs(ours)] == [jobs(theirs)[1].name]


JOB_FILES: dict[str, dict[str, object]] = {
    "another seed": {"seed": 7},
    "a field more": {"path": "/etc"},
    "a seed of text": {"seed": "0"},
    "an unknown family": {"metrics": "mine"},
    "another method's label": {"label": "ebmc"},
    "a label that steers terminals": {"label": "erm(\x1b[2J)"},
    "another protocol": {"protocol": {"name": "fair", "epochs": 0}},
    "another schema": {"schema": 2},
    "not a task": {"task": "../../toyc"},
}


@pytest.mark.parametrize("how", JOB_FILES)
def test_a_job_file_that_mmbench_did_not_write_is_refused(theirs: Path, ours: Path, how: str):
    job = jobs(without_tables(theirs))[0]
    values = json.loads((job / "job.json").read_text())
    (job / "job.json").write_text(json.dumps({**values, **JOB_FILES[how]}))
    sign(job)
    report = merge(theirs, ours)
    assert sorted(kinds(report)) == ["refused", "taken"]
    assert all(text.isprintable() for line in report.lines for text in line)


def test_links_are_refused(theirs: Path, ours: Path, tmp_path: Path):
    without_tables(theirs)
    first, second = jobs(theirs)
    secret = tmp_path / "secret"
    shutil.move(first / "predictions.parquet", secret)
    (first / "predictions.parquet").symlink_to(secret)
    shutil.move(second, tmp_path / "elsewhere")
    second.symlink_to(tmp_path / "elsewhere")
    (theirs / "accuracy.csv").symlink_to(secret)
    os.mkfifo(theirs / "pipe.csv")
    report = merge(theirs, ours)
    assert kinds(report) == ["refused"] * 4
    assert "is a link" in " ".join(why for _, _, why in report.lines)
    assert not ours.exists()


def test_a_linked_folder_of_jobs_is_refused(theirs: Path, ours: Path, tmp_path: Path):
    shutil.move(theirs / "jobs", tmp_path / "jobs")
    (theirs / "jobs").symlink_to(tmp_path / "jobs")
    assert "is a link" in reason(merge(without_tables(theirs), ours), "refused")


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "..", "evaluations/../../x"])
def test_names_that_climb_are_refused(theirs: Path, ours: Path, tmp_path: Path, name: str):
    job = jobs(without_tables(theirs))[0]
    values = json.loads((job / "done.json").read_text())
    values["files"][name] = values["files"]["fit.json"]
    (job / "done.json").write_text(json.dumps(values))
    before = content(tmp_path)
    report = merge(theirs, ours)
    assert sorted(kinds(report)) == ["refused", "taken"]
    assert {name for name in content(tmp_path) if not name.startswith("ours/")} == set(before)
    store = Store(ours)
    for use in (store.folder, lambda text: store.read_evaluation("a", text)):
        with pytest.raises(StoreError, match="no name"):
            use(name)
    with pytest.raises(UsageError, match="cannot name"):
        merge(theirs, ours, name=name)


def test_nothing_is_written_through_a_link_in_the_store(theirs: Path, ours: Path, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (ours / "jobs").mkdir(parents=True)
    for job in jobs(without_tables(theirs)):
        (ours / "jobs" / job.name).symlink_to(outside)
    assert kinds(merge(theirs, ours)) == ["refused"] * 2
    assert not list(outside.iterdir())


def test_what_is_not_of_a_job_is_said_and_left(theirs: Path, ours: Path):
    job = jobs(without_tables(theirs))[0]
    (job / "notes.txt").write_text("mine")
    (job / "evaluations" / "odd.bin").write_text("mine")
    (job / "more").symlink_to("/etc")
    (theirs / "jobs" / "README").write_text("mine")
    report = merge(theirs, ours)
    assert report.ok
    assert sorted(kinds(report)) == ["ignored"] * 3 + ["taken"] * 2
    assert not {"notes.txt", "odd.bin", "more"} & {file.name for file in ours.rglob("*")}


def test_an_unfinished_job_is_said_and_not_taken(theirs: Path, ours: Path):
    first, second = jobs(without_tables(theirs))
    (first / "done.json").unlink()
    (second / "done.json").unlink()
    (second / "failed.json").write_text('{"reason": "out of memory"}')
    report = merge(theirs, ours)
    assert report.ok
    assert [why for _, _, why in report.lines] == ["not finished there", "failed there: out of memory"]
    assert not ours.exists()


@pytest.mark.parametrize("after", range(2, 9))
def test_a_merge_that_breaks_off_leaves_no_job_half_taken(
    theirs: Path, ours: Path, monkeypatch: pytest.MonkeyPatch, after: int
):
    """The disk is full at the nth file; the merge that follows takes all."""
    shutil.rmtree(jobs(without_tables(theirs))[1])
    count = 0
    write = store_module.write_atomic

    def full(file: Path, data: bytes) -> None:
        nonlocal count
        count += 1
        if count == after:
            raise OSError(28, "No space left on device")
        write(file, data)

    for module in (files_module, store_module):
        monkeypatch.setattr(module, "write_atomic", full)
    with pytest.raises(OSError, match="No space"):
        merge(theirs, ours)
    (name,) = [job.name for job in jobs(ours)]
    store = Store(ours)
    assert store.is_done(name) == (after > 6)  # job.json, three results, environment.json, then the marker
    for evaluation in store.evaluated(name):
        assert store.read_evaluation(name, evaluation)
    monkeypatch.undo()
    assert merge(theirs, ours).ok
    assert content(ours / "jobs").keys() == content(theirs / "jobs").keys()


def edit(file: Path, change: Callable[[pd.DataFrame], None]) -> None:
    raw = pd.read_csv(file, dtype=str, keep_default_na=False)
    change(raw)
    raw.to_csv(file, index=False)


def better(raw: pd.DataFrame) -> None:
    """Claims that every seed is right in all cases."""
    row = raw["metric"] == "accuracy"
    raw.loc[row, ["mean", "sd", "values"]] = ["1.0", "0.0", "1.0 1.0"]


@pytest.fixture
def published(theirs: Path, tmp_path: Path) -> Path:
    """A folder with nothing but the accuracy table."""
    folder = tmp_path / "published"
    folder.mkdir()
    shutil.copy(theirs / "leaderboards" / "accuracy.csv", folder)
    return folder


def test_a_number_that_its_predictions_do_not_give_differs(call: Call, theirs: Path, ours: Path):
    stated = read_csv(theirs / "leaderboards" / "accuracy.csv").set_index("metric")
    edit(theirs / "leaderboards" / "accuracy.csv", better)
    for file in theirs.glob("leaderboards/*.csv"):
        if file.stem != "accuracy":
            file.unlink()
    code, said = call("merge", theirs, "--store", ours)
    assert code == 1
    assert "2 taken, 3 verified, 1 differs" in said
    assert f"stated 1.0 1.0, its predictions give {stated.loc['accuracy', 'values']}" in said
    _, said = call("leaderboard", "--store", ours, "--format", "terminal,csv", "--what", "accuracy")
    shown = read_csv(ours / "leaderboards" / "accuracy.csv")
    rows = shown[shown["metric"] == "accuracy"].set_index("audit_verified")
    assert rows.loc["verified", "mean"] == stated.loc["accuracy", "mean"]
    assert rows.loc["differs, from theirs", "mean"] == 1.0
    assert "† 100.0" in said


def test_a_table_alone_is_unverified_shown_apart_and_never_compared(call: Call, published: Path, ours: Path):
    edit(published / "accuracy.csv", better)
    code, said = call("merge", published, "--store", ours, "--name", "cluster")
    assert code == 0
    assert "4 unverified" in said
    assert "the predictions of 2 of its 2 jobs are not here" in said
    formats = "terminal,csv,md,latex"
    code, said = call("leaderboard", "--store", ours, "--format", formats)
    assert code == 0
    assert "erm(layers=1) [unverified, from cluster]" in said
    assert "† unverified" in said
    frame = read_csv(ours / "leaderboards" / "accuracy.csv")
    assert set(frame["audit_verified"]) == {"unverified, from cluster"}
    assert not any(np.isfinite(frame["p_vs_best"].to_numpy()))
    assert set(frame["best"]) == {pd.NA}
    for suffix in ("md", "tex"):
        text = (ours / "leaderboards" / f"accuracy.{suffix}").read_text()
        assert "unverified, from cluster" in text
        assert "**" not in text
        assert "textbf" not in text
    before = content(ours / "external")
    assert merge(published, ours, name="cluster").ok
    assert content(ours / "external") == before


def test_beside_own_rows_nothing_of_theirs_is_compared(call: Call, theirs: Path, published: Path, ours: Path):
    assert merge(without_tables(theirs), ours).ok
    call("leaderboard", "--store", ours, "--format", "csv", "--what", "accuracy")
    alone = read_csv(ours / "leaderboards" / "accuracy.csv")
    edit(published / "accuracy.csv", lambda raw: raw.__setitem__("jobs", "toyc-erm-a toyc-erm-b"))
    assert merge(published, ours).ok
    call("leaderboard", "--store", ours, "--format", "csv", "--what", "accuracy")
    both = read_csv(ours / "leaderboards" / "accuracy.csv")
    own = both.loc[both["audit_verified"] == "verified"].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, alone)
    assert len(both) == 2 * len(own)
    call("leaderboard", "--store", ours, "--format", "csv", "--what", "accuracy", "--datasets", "other")
    assert call("leaderboard", "--store", ours, "--datasets", "other")[0] == 2


def test_predictions_that_come_later_verify(published: Path, theirs: Path, ours: Path):
    assert kinds(merge(published, ours)) == ["unverified"] * 4
    report = merge(without_tables(theirs), ours)
    assert report.ok
    assert kinds(report, "published") == ["verified"] * 4
    assert not list(ours.glob("external/*"))


def test_another_statement_under_the_same_name_is_a_conflict(published: Path, ours: Path):
    assert merge(published, ours).ok
    before = content(ours)
    edit(published / "accuracy.csv", better)
    report = merge(published, ours)
    assert sorted(kinds(report)) == ["conflict"] + ["unverified"] * 3
    assert content(ours) == before
    assert merge(published, ours, name="later").ok
    assert len(list(ours.glob("external/*.csv"))) == 2


ROWS: dict[str, dict[str, str]] = {
    "a metric of its own": {"metric": "goodness"},
    "a mean that is not that of its values": {"mean": "0.99"},
    "values out of range": {"mean": "2.0", "values": "2.0 2.0", "sd": "0.0"},
    "an infinite value": {"mean": "inf", "values": "inf inf"},
    "another direction": {"direction": "lower"},
    "fewer values than seeds": {"values": "1.0", "mean": "1.0"},
    "a job that climbs": {"jobs": "../../a ../../b"},
    "a method that steers terminals": {"method": "erm\x1b[2J"},
    "data of no kind": {"data": "realistic"},
}


@pytest.mark.parametrize("how", ROWS)
def test_a_row_that_mmbench_did_not_write_is_refused(published: Path, ours: Path, how: str):
    edit(
        published / "accuracy.csv",
        lambda raw: raw.loc.__setitem__((0, list(ROWS[how])), list(ROWS[how].values())),
    )
    report = merge(published, ours)
    assert sorted(kinds(report)) == ["refused"] + ["unverified"] * 3
    assert all(text.isprintable() for line in report.lines for text in line)


@pytest.mark.parametrize(
    ("column", "value"),
    [("method", "ebmc"), ("seeds", "0 2"), ("task", "mosi"), ("data", "synthetic stand-in")],
)
def test_a_row_that_is_not_of_its_jobs_differs(theirs: Path, ours: Path, column: str, value: str):
    edit(theirs / "leaderboards" / "accuracy.csv", lambda raw: raw.__setitem__(column, value))
    report = merge(theirs, ours)
    assert kinds(report, "accuracy.csv") == ["differs"] * 4
    said = f"says {column.removesuffix('s')} {value.removeprefix('0 ')}, its job "
    assert all(said in why for kind, _, why in report.lines if kind == "differs")


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "metric\n", "task,metric\nx,accuracy\n", "\x00\xff", "mean\nmuch\n"]
)
def test_another_csv_is_said_and_left(published: Path, ours: Path, text: str):
    (published / "accuracy.csv").write_text(text, encoding="latin1")
    report = merge(published, ours)
    assert kinds(report) in (["ignored"], ["refused"])
    assert not ours.exists()


def test_a_folder_without_results_is_one_line(call: Call, tmp_path: Path, theirs: Path):
    (tmp_path / "empty").mkdir()
    assert "holds neither jobs nor" in call("merge", tmp_path / "empty", "--store", "ours")[1]
    assert "no folder" in call("merge", tmp_path / "nowhere", "--store", "ours")[1]
    code, said = call("merge", theirs, "--store", theirs)
    assert code == 2
    assert "is the store itself" in said
