"""``mmbench merge``: what is faulty is refused, and never run."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mmbench.benchmark.exchange.merge import merge

from .colleague import Call, jobs, kinds, reason, reencode, replaced, sign, without_tables


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
    "a confidence without a name": (
        lambda table: table.append_column("confidence_", table["logit_0"]),
        "has the columns",
    ),
    "a confidence in words": (
        lambda table: table.append_column("confidence_own", table["domain"]),
        "of type",
    ),
    "a diagnostic among predictions": (
        lambda table: table.append_column("diagnostic_gate/text", table["logit_0"]),
        "has the columns",
    ),
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
