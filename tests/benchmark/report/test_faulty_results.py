"""Results that are faulty, through the command: the fault is named, its row a hole, the rest is tabled."""

from __future__ import annotations

import hashlib
import io
import json
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mmbench.benchmark import Experiment, run
from mmbench.benchmark.cli.main import main
from mmbench.leaderboards.render.csv_files import read_csv

from ..conftest import write_dataset

OWN = ("accuracy", "missing", "robustness", "misd", "calibration")
Row = dict[str, Any]
Called = tuple[int, str]
Call = Callable[..., Called]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs the command in this process; its exit code and all it printed."""

    def call(*arguments: str | Path) -> Called:
        monkeypatch.setattr(sys, "argv", ["mmbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return call


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods, two seeds each, tested under a corruption and against another dataset."""
    folder = tmp_path_factory.mktemp("trained")
    write_dataset(folder / "data" / "toyc", 1, "classification")
    write_dataset(folder / "data" / "toyo", 3, "classification")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        train(folder, "toyc", ["erm(layers=1)", "erm(layers=2)"], [0, 1], corruptions=["drift"], ood=["toyo"])
    return folder / "runs"


def train(folder: Path, dataset: str, methods: list[str], seeds: list[int], **more: object) -> None:
    asked = {"methods": methods, "datasets": [dataset], "seeds": seeds, "protocol": {"epochs": 1}, **more}
    asked |= {"launcher": "debug", "device": "cpu", "data_root": folder / "data", "store": folder / "runs"}
    assert run(Experiment.read(asked)).ok


@pytest.fixture
def store(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "runs"))


def victim(store: Path) -> Path:
    """The folder of seed 1 of ``erm(layers=1)``."""
    (folder,) = [
        file.parent
        for file in store.glob("jobs/*-s1-*/job.json")
        if json.loads(file.read_text())["label"] == "erm(layers=1)"
    ]
    return folder


def boards(store: Path) -> dict[str, list[Row]]:
    """The rows of every table that was written."""
    files = {file.stem: file for file in (store / "leaderboards").glob("*.csv")}
    return {
        name: [{str(key): value for key, value in row.items()} for row in read_csv(file).to_dict("records")]
        for name, file in files.items()
        if name not in ("audit", "cost")
    }


def of(rows: list[Row], method: str) -> list[Row]:
    return [row for row in rows if row["method"] == method]


def has_value(row: Row) -> bool:
    return not math.isnan(row["mean"])


def rewrite(file: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Changes a table and its marker, as one would who means it."""
    stream = io.BytesIO()
    pq.write_table(change(pq.read_table(file)), stream)
    content = stream.getvalue()
    file.write_bytes(content)
    evaluation = file.parent.name == "evaluations"
    marker = file.with_suffix(".json") if evaluation else file.with_name("done.json")
    values = json.loads(marker.read_text())
    place = values if evaluation else values["files"][file.name]
    place |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    marker.write_text(json.dumps(values))


def with_nan(table: pa.Table) -> pa.Table:
    """The last row of the test (or OOD) split has no first logit."""
    values = table["logit_0"].to_numpy().copy()
    values[-1] = np.nan
    return table.set_column(table.schema.get_field_index("logit_0"), "logit_0", pa.array(values))


def without_last(table: pa.Table) -> pa.Table:
    return table.slice(0, len(table) - 1)


def without_sample(table: pa.Table) -> pa.Table:
    """One sample is gone, from every condition."""
    names = table["sample_id"].to_pylist()
    return table.filter(pa.array([name != names[-1] for name in names]))


def as_text(table: pa.Table) -> pa.Table:
    place = table.schema.get_field_index("logit_0")
    return table.set_column(place, "logit_0", table["logit_0"].cast(pa.string()))


def damage(file: Path, how: str) -> None:
    changes = {"nan": with_nan, "row": without_last, "sample": without_sample, "text": as_text}
    if how in changes:
        rewrite(file, changes[how])
    elif how == "hash":
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif how == "truncated":
        file.write_bytes(file.read_bytes()[:-7])
    elif how == "schema":
        marker = (
            file.with_suffix(".json") if file.parent.name == "evaluations" else file.with_name("done.json")
        )
        marker.write_text(marker.read_text().replace('"schema": 1', '"schema": 2'))


FILES = ("predictions", "evaluations/drift", "evaluations/features", "evaluations/ood-*")


@pytest.mark.parametrize("stem", FILES)
@pytest.mark.parametrize("how", ["nan", "row", "hash", "schema"])
def test_a_faulty_file_is_a_hole_and_the_others_are_tabled(store: Path, call: Call, stem: str, how: str):
    fault(store, call, stem, how)


OTHERS = [
    ("sample", FILES[0]),
    ("sample", FILES[2]),
    ("text", FILES[0]),
    ("text", FILES[1]),
    ("truncated", FILES[1]),
    ("truncated", FILES[3]),
]


@pytest.mark.parametrize(("how", "stem"), OTHERS)
def test_so_is_one_that_is_faulty_in_another_way(store: Path, call: Call, stem: str, how: str):
    fault(store, call, stem, how)


#: What a reason says.
WORDS = {
    "nan": "not finite",
    "row": "samples",
    "sample": "samples",
    "hash": "has changed",
    "schema": "another version",
    "text": "expected numbers",
    "truncated": "has changed",
}


#: The tables that each file is read for.
READ_FOR = {"predictions": OWN, "evaluations/drift": ("robustness",)}


def fault(store: Path, call: Call, stem: str, how: str) -> None:
    """Damages a file of one seed; in each table that needs it, that row and no other is a hole."""
    (file,) = victim(store).glob(f"{stem}.parquet")
    damage(file, how)
    touched = READ_FOR.get(stem, ("ood",))
    asked = dict.fromkeys(("accuracy", *touched, "ood"))
    code, said = call("leaderboard", "--store", store, "--format", "terminal,csv", "--what", ",".join(asked))
    assert code == 1
    made = boards(store)
    assert set(made) == set(asked)
    for name, rows in made.items():
        assert any(map(has_value, of(rows, "erm(layers=2)"))), name
        own = of(rows, "erm(layers=1)")
        assert all(has_value(row) == (not row["hole"]) for row in own)
        if name not in touched:
            assert not any(row["hole"] and row["n"] < 2 for row in own), name
    own = [row for name in touched for row in of(made[name], "erm(layers=1)")]
    reasons = [row["hole"] for row in own if row["hole"] and row["n"] < 2]
    assert reasons
    assert all("".join(reason.split())[:100] in "".join(said.split()) for reason in reasons)
    assert any(WORDS[how] in reason for reason in reasons), set(reasons)
    if how in ("hash", "schema", "truncated"):  # none of its rows can be used
        assert not any(map(has_value, own))


def test_a_job_of_another_schema_is_a_hole_in_its_row(store: Path, call: Call):
    file = victim(store) / "job.json"
    file.write_text(file.read_text().replace('"schema": 1', '"schema": 2'))
    code, said = call("leaderboard", "--store", store, "--format", "terminal,csv", "--what", "accuracy,ood")
    assert code == 1
    assert "schema 2" in said
    for rows in boards(store).values():
        own = of(rows, "erm(layers=1)")
        assert not any(map(has_value, own))  # no mean over the seed that is left
        assert all("another version" in row["hole"] for row in own)
        assert any(map(has_value, of(rows, "erm(layers=2)")))


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": 1}', '{"schema": 7}', "[" * 100_000])
def test_a_job_file_that_says_nothing_is_named(store: Path, call: Call, content: str):
    file = victim(store) / "job.json"
    file.write_text(content)
    code, said = call("leaderboard", "--store", store, "--format", "terminal,csv", "--what", "accuracy")
    assert code == 1
    assert file.parent.name in "".join(said.split())
    assert all(map(has_value, boards(store)["accuracy"]))


def test_a_method_that_failed_takes_no_table_with_it(store: Path, call: Call):
    folder = victim(store)
    for name in ("done.json", "predictions.parquet"):
        (folder / name).unlink()
    shutil.rmtree(folder / "evaluations")
    (folder / "failed.json").write_text('{"reason": "out of memory"}')
    code, _ = call("leaderboard", "--store", store, "--format", "csv", "--what", "robustness,ood")
    assert code == 1
    for rows in boards(store).values():
        own, other = of(rows, "erm(layers=1)"), of(rows, "erm(layers=2)")
        assert not any(map(has_value, own))
        assert all("out of memory" in row["hole"] for row in own)
        assert [row["condition"] for row in own] == [row["condition"] for row in other]


@pytest.fixture
def odd(tmp_path: Path, call: Call) -> Callable[..., dict[str, list[Row]]]:
    """The tables of one network that is tested on few samples, or on one class."""

    def odd(kind: str, count: int, one_class: bool = False) -> dict[str, list[Row]]:
        write_dataset(tmp_path / "data" / "odd", 1, kind, counts=(40, 12, count))
        write_dataset(tmp_path / "data" / "toyo", 3, kind)
        if one_class:
            file = tmp_path / "data" / "odd" / "test.npz"
            arrays = dict(np.load(file))
            np.savez(file, **{**arrays, "label": np.ones_like(arrays["label"])})
        train(tmp_path, "odd", ["erm(layers=1)"], [0], corruptions=["drift"], ood=["toyo"])
        _, said = call(
            "leaderboard", "--store", tmp_path / "runs", "--format", "terminal,csv", "--what", "all"
        )
        made = boards(tmp_path / "runs")
        assert set(made) == {*OWN, "ood", "relative"}
        for name, rows in made.items():
            assert all(has_value(row) == (not row["hole"]) and row["n"] == 1 for row in rows), name
        assert "nan" not in said.lower().split()
        return made

    return odd


def cell(rows: list[Row], metric: str) -> Row:
    """The row of a metric, under the table's first condition."""
    return next(row for row in rows if row["metric"] == metric)


def test_one_sample_has_no_correlation_and_no_interval(odd: Callable[..., dict[str, list[Row]]]):
    made = odd("regression", 1)
    assert "constant" in cell(made["accuracy"], "corr")["hole"]
    assert cell(made["accuracy"], "mae")["mean"] > 0
    assert all(row["hole"] for row in made["missing"] if row["metric"] == "corr")
    # One sample says nothing of others.
    assert all(math.isnan(row[end]) for row in made["accuracy"] for end in ("low", "high"))
    assert {row["hole"] for row in made["calibration"]} == {"the method predicts no variance"}


def test_one_answer_is_right_or_wrong_and_not_told_apart(odd: Callable[..., dict[str, list[Row]]]):
    made = odd("classification", 1)
    assert "every answer is" in cell(made["misd"], "misd_auroc")["hole"]
    assert cell(made["misd"], "aurc")["mean"] == 1 - cell(made["accuracy"], "accuracy")["mean"]


def test_one_class_is_judged_by_what_it_can_tell(odd: Callable[..., dict[str, list[Row]]]):
    accuracy = odd("classification", 16, one_class=True)["accuracy"]
    assert cell(accuracy, "balanced_accuracy")["mean"] == cell(accuracy, "accuracy")["mean"]
    assert cell(accuracy, "accuracy")["samples"] == 16


def test_without_an_ood_set_there_is_no_figure(store: Path, call: Call):
    for file in store.glob("jobs/*/evaluations/ood-*"):
        file.unlink()
    code, said = call("leaderboard", "--store", store, "--format", "terminal,csv", "--what", "ood")
    rows = boards(store)["ood"]
    assert code == 1
    assert not any(map(has_value, rows))
    assert {row["hole"] for row in rows} == {"0 of 2 seeds were tested on it"}
    for file in store.glob("jobs/*/evaluations/features.*"):
        file.unlink()
    code, said = call("leaderboard", "--store", store, "--what", "ood")
    assert code == 2
    assert "no result has OOD sets: run with --ood DATASET" in said
