"""``mmbench merge``: what announces more than a job can have is refused before memory and time are spent on it."""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mmbench.benchmark.exchange.merge import merge

from .colleague import jobs, kinds, reencode, sign, without_tables


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Every test here ends within seconds and takes no more than 600 MB more than before."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    yield
    assert time.monotonic() - began < 40
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000


def refused(theirs: Path, ours: Path, words: str) -> None:
    report = merge(theirs, ours)
    assert "taken" not in kinds(report, jobs(theirs)[0].name)
    assert any(kind == "refused" and words in why for kind, _, why in report.lines), report.lines


@pytest.mark.parametrize("name", ["fit.json", "environment.json", "job.json", "done.json"])
def test_sparse_records(theirs: Path, ours: Path, name: str) -> None:
    shutil.rmtree(jobs(without_tables(theirs))[1])
    with open(jobs(theirs)[0] / name, "ab") as stream:
        stream.truncate(2**32)
    refused(theirs, ours, "has 4294967296 bytes, more than the ")


def test_a_sparse_table_of_scores_and_one_of_many_columns(theirs: Path, ours: Path) -> None:
    shutil.rmtree(theirs / "jobs" / jobs(theirs)[1].name)
    for file in theirs.glob("leaderboards/*.csv"):
        file.unlink()
    with open(theirs / "leaderboards" / "a.csv", "wb") as stream:
        stream.truncate(2**32)
    (theirs / "leaderboards" / "b.csv").write_text("metric,mean,values" + ",c" * 3_000_000 + "\n")
    report = merge(theirs, ours)
    reasons = {name: why for kind, name, why in report.lines if kind == "refused"}
    assert "more than the 134217728 that are read" in reasons["a.csv"]
    assert "more than 1000 columns" in reasons["b.csv"]


def test_millions_of_equal_rows(theirs: Path, ours: Path) -> None:
    shutil.rmtree(jobs(without_tables(theirs))[1])
    file = jobs(theirs)[0] / "predictions.parquet"
    row = pq.read_table(file).slice(0, 1)
    with pq.ParquetWriter(file, row.schema) as writer:
        million = row.take(pa.array([0] * 1_000_000))
        for _ in range(10):
            writer.write_table(million, row_group_size=1_000_000)
    sign(jobs(theirs)[0])
    assert file.stat().st_size < 500_000
    refused(theirs, ours, "has 10000000 rows, more than the")


def test_an_evaluation_of_millions_of_equal_rows(theirs: Path, ours: Path) -> None:
    shutil.rmtree(jobs(without_tables(theirs))[1])
    (file,) = jobs(theirs)[0].glob("evaluations/drift*.parquet")
    reencode(
        jobs(theirs)[0],
        lambda table: table.slice(0, 1).take(pa.array([0] * 1_000_000)),
        f"evaluations/{file.stem}",
    )
    report = merge(theirs, ours)
    assert any(
        kind == "refused" and "has 1000000 rows, more than the" in why for kind, _, why in report.lines
    )


def test_a_long_text_that_is_repeated(theirs: Path, ours: Path) -> None:
    shutil.rmtree(jobs(without_tables(theirs))[1])

    def long(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index("domain")
        return table.set_column(place, "domain", pa.array(["x" * 5000] * len(table)))

    reencode(jobs(theirs)[0], long)
    refused(theirs, ours, "a text of more than 4096 letters")
