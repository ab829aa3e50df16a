"""The tables of the command are functions of Python: the same names, the same rows."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import mmbench.benchmark as bench
import numpy as np
import pandas as pd
import pytest
from mmbench.benchmark.report.pictures import PICTURES
from mmbench.benchmark.report.results import results
from mmbench.leaderboards.catalog import TABLES

from ..conftest import Call, call_main, write_dataset


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods on two tasks, tested under noise and against another set; ``csv`` has what the command writes."""
    root = tmp_path_factory.mktemp("api")
    write_dataset(root / "data" / "toy")
    write_dataset(root / "data" / "toys", 3)
    asked = bench.Experiment.read(
        {
            "methods": "erm,majority",
            "datasets": "toy,toys",
            "seeds": "0,1",
            "data_root": root / "data",
            "store": root / "runs",
            "launcher": "debug",
            "device": "cpu",
            "protocol": {"epochs": 1},
            "corruptions": "gaussian-noise",
            "ood": "toys",
        }
    )
    assert bench.run(asked).ok
    here = {"MMBENCH_DATA": str(root / "data"), "COLUMNS": "80"}
    ended = call_main(("leaderboard", "--what", "all", "--format", "csv", "--out", "csv"), root, here)
    assert ended.returncode in (0, 1), ended.stderr
    ended = call_main(("leaderboard", "--what", "training", "--format", "csv", "--out", "csv"), root, here)
    assert ended.returncode == 0, ended.stderr
    ended = call_main(("findings", "--format", "json", "--out", "csv"), root, here)
    assert ended.returncode == 0, ended.stderr
    return root


def test_every_table_of_the_catalogue_is_a_function_with_its_own_documentation():
    for name, declared in TABLES.items():
        function = getattr(bench, name)
        assert function.__name__ == name
        assert (function.__doc__ or "").startswith(
            f"{declared.title}: the table of ``mmbench leaderboard --what {name}``."
        )
        assert list(inspect.signature(function).parameters)[:4] == ["store", "methods", "datasets", "seeds"]
        assert name in dir(bench)
    with pytest.raises(AttributeError, match="has no attribute 'robustnes'"):
        _ = bench.robustnes


@pytest.mark.parametrize("name", TABLES)
def test_a_function_gives_what_the_command_writes(root: Path, name: str):
    files = list((root / "csv").glob(f"{name}*.csv"))
    if not files:  # nobody named it, and there is nothing for it
        assert not TABLES[name].needs(results(root / "runs"))
        return
    made = getattr(bench, name)(root / "runs")
    written = pd.read_csv(files[0], keep_default_na=False)
    assert len(made) == len(written) > 0
    for column in ("method", "quantity", "condition", "metric", "jobs"):
        if column in written and column in made:
            assert made[column].astype(str).tolist() == written[column].astype(str).tolist()
    for column in ("mean", "low", "high", "value"):
        if column in written and column in made:
            read = np.asarray(pd.to_numeric(written[column], errors="coerce"), float)
            assert made[column].to_numpy(float) == pytest.approx(read, nan_ok=True)


def test_the_rows_are_chosen_as_by_the_flags(root: Path):
    everything = bench.accuracy(root / "runs")
    chosen = bench.accuracy(root / "runs", methods="erm", datasets=["toy"], seeds=[1])
    assert set(chosen["method"]) == {"erm"}
    assert set(chosen["task"]) == {"toy"}
    assert set(chosen["n"]) == {1}
    assert 0 < len(chosen) < len(everything)
    assert bench.accuracy(root / "runs", seeds="0-1").equals(everything)
    assert bench.table("accuracy", root / "runs").equals(everything)
    with pytest.raises(bench.UsageError, match="did you mean erm"):
        bench.accuracy(root / "runs", methods=["ern"])


def test_findings_are_those_of_the_command(root: Path):
    (file,) = (root / "csv").glob("findings*.json")
    answers = json.loads(file.read_text())
    found = bench.findings(root / "runs")
    assert found["number"].tolist() == [one["number"] for one in answers]
    assert found["answer"].tolist() == [one["answer"] for one in answers]
    assert found["statistic"].tolist() == [one["statistic"] for one in answers]


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_findings_are_by_the_metric_that_leads(root: Path, tmp_path: Path, call: Call, metric: str):
    status, said = call(
        "findings", "--store", root / "runs", "--metric", metric, "--format", "json", "--out", tmp_path
    )
    assert status == 0, said
    (file,) = tmp_path.iterdir()
    (lost,) = (one["estimates"] for one in json.loads(file.read_text()) if one["number"] == "5a")
    frame = (
        bench.missing(root / "runs", methods=["erm"])
        .query(f"metric == '{metric}'")
        .set_index(["task", "condition"])
    )
    means = frame["mean"].unstack("condition")
    shares = means["average_missing"] / means["clean"] - 1  # of each task; errors grow
    (missing,) = (one["mean"] for one in lost if one["label"] == "erm, missing")
    assert missing == pytest.approx(shares.mean())


def test_findings_by_an_unknown_metric_are_refused(root: Path, call: Call):
    status, said = call("findings", "--store", root / "runs", "--metric", "maee")
    assert status == 2
    assert "--metric 'maee': no table has it" in said


def test_pictures_are_those_that_there_is_data_for(root: Path):
    drawn = bench.pictures(root / "runs", root / "pictures")
    assert {"missing.png", "degradation-toy.png", "degradation-toy.pdf"} <= {file.name for file in drawn}
    assert all(file.stat().st_size > 1000 for file in drawn)
    with pytest.raises(
        bench.UsageError, match="unknown picture 'learning_curves': did you mean learning-curves"
    ):
        bench.pictures(root / "runs", root / "pictures", "learning_curves")
    with pytest.raises(bench.UsageError, match="more than one epoch"):
        bench.pictures(root / "runs", root / "pictures", "learning-curves")


def test_every_picture_is_a_function_and_gives_what_is_written(root: Path):
    written = {file.stem for file in bench.pictures(root / "runs", root / "all") if file.suffix == ".png"}
    drawn: dict[str, tuple[float, float]] = {}
    for name in PICTURES:
        function = getattr(bench, f"plot_{name.replace('-', '_')}")
        assert function.__name__ in dir(bench)
        assert (function.__doc__ or "").startswith(f"The picture of ``mmbench plot {name}``")
        assert list(inspect.signature(function).parameters)[:4] == ["store", "methods", "datasets", "seeds"]
        try:
            figures = function(root / "runs", size="230x180mm")
        except bench.UsageError as error:
            assert "nothing to draw" in str(error)  # noqa: PT017
        else:
            drawn |= {stem: tuple(figure.get_size_inches()) for stem, figure in figures.items()}
    assert set(drawn) == written
    for size in drawn.values():
        assert size == pytest.approx((230 / 25.4, 180 / 25.4))
    (figure,) = bench.plot("missing", root / "runs", top=1, style="paper").values()
    assert len(figure.legends[0].get_texts()) == 1
    assert figure.get_size_inches()[0] == 7


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"size": "3.3"}, "--size '3.3': write WIDTHxHEIGHT in inches, such as 3.3x2.5, or in millimetres: 84x64mm"),
        ({"size": "84x64"}, "each side is 1 to 60 inches"),
        ({"size": "8x6cm"}, "write WIDTHxHEIGHT in inches"),
        ({"style": "poster"}, "--style 'poster': known: paper, slide"),
        ({"style": "slides"}, "did you mean slide"),
        ({"name": "degradations"}, "unknown picture 'degradations': did you mean degradation"),
        ({"name": "mechanism"}, "nothing to draw: mechanism: no diagnostics were kept: run with --diagnostics"),
    ],
)  # fmt: skip
def test_pictures_that_cannot_be_drawn_say_why(root: Path, asked: dict[str, str], said: str):
    with pytest.raises(bench.UsageError, match=re.escape(said)):
        bench.plot(**{"name": "missing", "store": root / "runs", **asked})


def test_progress_is_shown_in_lines_where_there_is_no_terminal(
    root: Path, capsys: pytest.CaptureFixture[str]
):
    asked = bench.Experiment.read(
        {
            "methods": "majority",
            "datasets": "toy",
            "seeds": "7",
            "data_root": root / "data",
            "store": root / "other",
            "launcher": "debug",
            "device": "cpu",
        }
    )
    assert bench.run(asked, showing=bench.progress(root / "other")).ok
    assert "[1/1] done toy majority text+audio seed 7" in capsys.readouterr().out


def test_a_job_loads_by_its_id_and_by_its_folder_and_answers_as_stored(root: Path):
    job = next(record for record in bench.accuracy(root / "runs", "erm", "toy")["jobs"]).split()[0]
    stored = bench.predictions(root / "runs", job)
    for given in (job, root / "runs" / "jobs" / job):
        network = bench.load(given, root / "runs", root / "data")
        answered = network.predict("test")
        own = stored[(stored["split"] == "test") & (stored["condition"] == "clean")]
        assert answered["sample_id"].tolist() == own["sample_id"].tolist()
        np.testing.assert_allclose(np.asarray(answered["score"]), np.asarray(own["score"]), atol=1e-6)
    assert len(network.predict("valid")) == 12
