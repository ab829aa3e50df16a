"""A bit that flips in what is derived from predictions is told or mended, and never tabled."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from mmbench.benchmark.report import output_cache, tables
from mmbench.benchmark.report.block_cache import RECORDS
from mmbench.benchmark.report.chosen_tables import chosen_tables, frames
from mmbench.benchmark.report.results import Filter, results
from mmbench.benchmark.report.tables import tables_of
from mmbench.benchmark.store.store import Store
from rich.console import Console

from ..conftest import Call
from .test_score_cache import all_frames, assert_same, trained  # noqa: F401


@pytest.fixture
def store(trained: Path, tmp_path: Path) -> Path:  # noqa: F811
    return Path(shutil.copytree(trained, tmp_path / "runs"))


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_a_flipped_bit_of_a_sheet_is_scored_anew(store: Path, part: float) -> None:
    before = all_frames(results(store))
    files = sorted(store.glob("jobs/*/scores/*.safetensors"))
    assert len(files) > 20
    for file in files:
        flip(file, int(part * file.stat().st_size))
    rotten = {file: file.read_bytes() for file in files}
    assert_same(all_frames(results(store)), before)
    assert all(file.read_bytes() != content for file, content in rotten.items())


@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_a_flipped_bit_of_a_stored_block_is_made_anew(
    store: Path, part: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MANY", 1)
    quiet = Console(quiet=True)
    before = tables_of(store, Filter(), "accuracy,missing", quiet).frames
    files = sorted((store / RECORDS / "blocks").iterdir())
    assert files
    for file in files:
        flip(file, int(part * file.stat().st_size))
    after = tables_of(store, Filter(), "accuracy,missing", quiet).frames
    for name, frame in before.items():
        pd.testing.assert_frame_equal(after[name], frame, check_exact=True)


def test_a_changed_letter_of_what_was_printed_is_not_printed(store: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("a\n")
    output_cache.store_output(
        store, tmp_path, "now", output_cache.PrintedOutput("score 0.51\n", True), [table]
    )
    assert output_cache.stored_output(store, tmp_path, "now") == output_cache.PrintedOutput(
        "score 0.51\n", True
    )
    (file,) = (store / RECORDS).glob("*.json")
    file.write_text(file.read_text().replace("0.51", "0.61"))
    assert output_cache.stored_output(store, tmp_path, "now") is None


def _change_digit(text: str) -> str:
    """Another number of the same length in the place of the first with a decimal point."""
    return re.sub(r"\.(\d)", lambda found: f".{(int(found[1]) + 1) % 10}", text, count=1)


@pytest.mark.parametrize("name", ["environment.json", "fit.json"])
def test_a_changed_digit_of_a_record_is_a_hole_with_its_reason(store: Path, name: str) -> None:
    file = sorted(store.glob(f"jobs/*/{name}"))[0]
    before = file.read_text()
    file.write_text(_change_digit(before))
    assert file.read_text() != before
    assert len(file.read_text()) == len(before)
    broken = {one.job: one for one in results(store) if one.state != "done"}
    assert list(broken) == [file.parent.name]
    assert f"{name}: its content" in broken[file.parent.name].reason
    assert not broken[file.parent.name].cost
    found = results(store)
    accuracy = dict(frames(chosen_tables("accuracy", found), found))["accuracy"]
    assert accuracy.to_csv().count(f"{name}: its content") > 0


def test_the_marker_names_every_record(store: Path) -> None:
    for marker in store.glob("jobs/*/done.json"):
        names = set(json.loads(marker.read_text())["files"])
        assert names == {
            "predictions.parquet",
            "fit.json",
            "weights.safetensors",
            "inputs.safetensors",
            "environment.json",
            "job.json",
        }


def test_a_job_of_version_0_1_has_its_environment_as_it_stands(store: Path) -> None:
    marker = sorted(store.glob("jobs/*/done.json"))[0]
    values = json.loads(marker.read_text())
    del values["files"]["environment.json"]
    marker.write_text(json.dumps(values))
    environment = json.loads(marker.with_name("environment.json").read_text())
    assert environment
    assert Store(store).job(marker.parent.name).environment() == environment


def test_status_compares_every_file_with_its_hash(store: Path, call: Call) -> None:
    code, said = call("status", "--store", store, "--verify")
    assert code == 0
    assert "is what was written" in said
    weights = sorted(store.glob("jobs/*/weights.safetensors"))[0]
    flip(weights, weights.stat().st_size - 1)
    evaluation = sorted(store.glob("jobs/*/evaluations/*.parquet"))[-1]
    flip(evaluation, 100)
    assert call("status", "--store", store)[0] == 0
    code, said = call("status", "--store", store, "--verify")
    assert code == 1
    assert f"{weights}: its content" in said.replace("\n", "")
    assert f"{evaluation}: its content" in said.replace("\n", "")


def test_status_is_told_to_programs(store: Path, call: Call) -> None:
    code, said = call("status", "--store", store, "--format", "json")
    about = json.loads(said)
    assert code == 0
    assert {job["id"] for job in about["jobs"]} == {folder.name for folder in (store / "jobs").iterdir()}
    assert about["counts"] == {"done": len(about["jobs"])}
    assert call("status", "--store", store, "--format", "xml")[0] == 2
