"""Tables and metrics from plug-in files: made, stored, and made anew when what they read changes."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.report import tables
from mmbench.benchmark.report.chosen_tables import frames, known_tables
from mmbench.benchmark.report.results import Filter, results
from mmbench.benchmark.report.tables import tables_of
from rich.console import Console
from sklearn.metrics import cohen_kappa_score

from ..conftest import Command
from .test_score_cache import sheets, store, trained  # noqa: F401

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
QUIET = Console(quiet=True)

#: A table whose one value is the mean of a column of the outputs that it reads; it says in a file how often it scored.
PLUGIN = """
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from mmbench.leaderboards.catalog import Table
from mmbench.leaderboards.metrics.base import Metric
from mmbench.leaderboards.stats.bootstrap import Resampled
from mmbench.leaderboards.tables.accuracy import table_of
from mmbench.leaderboards.tables.groups import cells_of, groups_of, sheet_key
from mmbench.leaderboards.tables.score_sheet import SheetEntry, sheet_from, stored_sheet

TABLES = {"outputs": "OUTPUTS"}
LOG = Path(__file__).with_suffix(".log")
SIZE = Metric("size", "the mean output", "lower", (-np.inf, np.inf), "label", "none")


def outputs(results):
    groups = [replace(g, metrics=(SIZE,)) for g in groups_of([r for r in results if r.READER is not None])]
    return table_of(groups, [cells_of(group, scored) for group in groups])


def scored(result):
    def make():
        with LOG.open("a") as log:
            log.write(result.job + "\\n")
        read = result.READER()
        table = pd.concat(read.values()) if isinstance(read, dict) else read
        values = np.full((1, 1), float(table.filter(regex="^(score|logit_0)$").mean().iloc[0]))
        entry = SheetEntry(Resampled(values, np.repeat(values[None], 5, axis=0), 2), "all")
        return sheet_from({"READER": entry}, ["size"], 5)

    return stored_sheet(result.cache, "outputs", sheet_key([SIZE], 5, 0), make)


OUTPUTS = Table("outputs", "Outputs", outputs, reads={"READS"}, across="condition")
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(reader: str, reads: str) -> Path:
        file = tmp_path / f"{reader}_{reads}.py"
        file.write_text(PLUGIN.replace("READER", reader).replace("READS", reads))
        return file

    return write


def rewrite(file: Path) -> None:
    """Adds one to the outputs of an evaluation, and writes its marker anew."""
    table = pq.read_table(file)
    for index, name in enumerate(table.column_names):
        if name in ("score", "logit_0"):
            values = table[name].to_numpy() + np.float32(1)
            table = table.set_column(
                index, table.schema.field(index), pa.array(values, table.schema.field(index).type)
            )
    stream = io.BytesIO()
    pq.write_table(table, stream)
    file.write_bytes(stream.getvalue())
    marker = json.loads(file.with_suffix(".json").read_text())
    marker |= {"size": len(stream.getvalue()), "sha256": hashlib.sha256(stream.getvalue()).hexdigest()}
    file.with_suffix(".json").write_text(json.dumps(marker))


@pytest.mark.parametrize(
    ("reader", "reads", "changed"), [("further", "conditions", "drift"), ("features", "features", "ood-")]
)
def test_a_table_from_outside_is_stored_and_made_anew_when_what_it_reads_changes(
    store: Path,  # noqa: F811
    plugin: Callable[[str, str], Path],
    reader: str,
    reads: str,
    changed: str,
) -> None:
    file = plugin(reader, reads)

    def made() -> pd.DataFrame:
        return dict(frames(["outputs"], results(store), plugins=(file,)))["outputs"]

    def scored() -> int:
        return len(file.with_suffix(".log").read_text().splitlines())

    first = made()
    assert set(first["hole"]) == {""}
    jobs = scored()
    assert jobs == first["n"].sum()
    pd.testing.assert_frame_equal(made(), first)
    assert scored() == jobs
    assert any("/outputs-" in name for name in sheets(store))
    rewrite(next(store.glob(f"jobs/toyc-*-s0-*/evaluations/{changed}*.parquet")))
    assert scored() == jobs
    again = made()
    assert scored() == jobs + 1  # of the changed job alone
    assert not np.allclose(again["mean"], first["mean"])
    file.write_text(file.read_text() + "# another version\n")
    made()
    assert scored() == 2 * jobs + 1


def test_a_table_that_reads_what_it_does_not_declare_has_holes_that_say_so(
    store: Path,  # noqa: F811
    plugin: Callable[[str, str], Path],
) -> None:
    file = plugin("features", "predictions")
    frame = dict(frames(["outputs"], results(store), plugins=(file,)))["outputs"]
    assert (
        frame["hole"].str.contains("table outputs reads features, which its declaration does not name").all()
    )


def test_a_table_from_outside_is_made_block_by_block(
    store: Path,  # noqa: F811
    plugin: Callable[[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = plugin("further", "conditions")
    whole = dict(frames(["outputs"], results(store), plugins=(file,)))["outputs"]
    monkeypatch.setattr(tables, "MANY", 1)
    example = EXAMPLES / "metric.py"
    made = tables_of(store, Filter(), "outputs,accuracy", QUIET, plugins=(file, example)).frames
    pd.testing.assert_frame_equal(made["outputs"].reindex(columns=list(whole)), whole, check_exact=True)
    assert "cohen_kappa" in set(made["accuracy"]["metric"])  # scored in another process


def test_a_name_of_mmbench_cannot_be_taken(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from mmbench.leaderboards.catalog import TABLES as KNOWN\nMINE = KNOWN['cost']\n"
        "TABLES = {'cost': 'MINE'}\n"
    )
    with pytest.raises(UsageError, match=r"'cost' of mine.py .* is one of mmbench's"):
        known_tables((file,))


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:  # noqa: F811
    shutil.copytree(trained, tmp_path / "runs")
    return tmp_path


def kappas(folder: Path) -> dict[str, list[float]]:
    """Job -> Cohen's kappa by scikit-learn, and the lowest recall of a class; from the files themselves."""
    values: dict[str, list[float]] = {}
    for file in folder.glob("runs/jobs/toyc-*/predictions.parquet"):
        rows = pd.read_parquet(file)
        rows = rows[(rows["split"] == "test") & (rows["condition"] == "clean")]
        truth = np.asarray(rows["target"])
        guess = np.asarray(rows[["logit_0", "logit_1"]]).argmax(axis=1)
        lowest = min(float((guess[truth == label] == label).mean()) for label in (0, 1))
        values[file.parent.name] = [float(cohen_kappa_score(truth, guess)), lowest]
    return values


def test_the_examples_of_the_documentation_through_the_command(mmbench: Command, folder: Path) -> None:
    both = ("--plugin", str(EXAMPLES / "table.py"), "--plugin", str(EXAMPLES / "metric.py"))
    what = ("leaderboard", "--what", "accuracy,worst_class", "--format", "terminal,csv")
    first = mmbench(*what, *both)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Recall of the worst class" in first.stdout
    expected = kappas(folder)
    for place, (name, metric) in enumerate(
        (("accuracy", "cohen_kappa"), ("worst_class", "worst_class_recall"))
    ):
        frame = pd.read_csv(folder / "runs" / "leaderboards" / f"{name}.csv")
        rows = frame[(frame["metric"] == metric) & (frame["condition"] == "clean")]
        assert set(rows["task"]) == {"toyc"}
        assert len(rows) == 2
        for _, row in rows.iterrows():
            values = [float(value) for value in str(row["values"]).split()]
            assert values == pytest.approx([expected[job][place] for job in str(row["jobs"]).split()])
    without = mmbench("leaderboard", "--what", "accuracy", "--format", "csv")
    assert without.returncode == 0
    assert "cohen_kappa" not in (folder / "runs" / "leaderboards" / "accuracy.csv").read_text()
    unknown = mmbench("leaderboard", "--what", "worst_class")
    assert unknown.returncode == 2
    assert "unknown leaderboard 'worst_class'" in unknown.stderr


def test_every_command_that_makes_tables_takes_plugins(mmbench: Command, folder: Path) -> None:
    both = ("--plugin", str(EXAMPLES / "table.py"), "--plugin", str(EXAMPLES / "metric.py"))
    page = mmbench("export", "--what", "worst_class", "--out", "page.html", *both)
    assert page.returncode == 0, page.stderr
    assert "worst_class_recall" in (folder / "page.html").read_text()
    for command in ("plot", "findings"):
        ended = mmbench(command, *both)
        assert ended.returncode == 0, ended.stderr
    helped = mmbench("leaderboard", "--help", COLUMNS="300")
    words = " ".join(helped.stdout.replace("│", " ").split())
    assert [name for name, table in known_tables().items() if f"{name}: {table.title}" not in words] == []


def test_tables_of_a_changed_plugin_are_printed_anew(mmbench: Command, folder: Path) -> None:
    file = folder / "mine.py"
    shutil.copy(EXAMPLES / "table.py", file)
    what = ("leaderboard", "--what", "worst_class", "--format", "terminal,csv", "--plugin", "mine.py")
    first = mmbench(*what)
    assert "Recall of the worst class" in first.stdout
    assert mmbench(*what).stdout == first.stdout
    file.write_text(file.read_text().replace("Recall of the worst class", "Worst recall"))
    assert "Worst recall" in mmbench(*what).stdout
