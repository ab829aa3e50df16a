"""Tables that are still those of the store are said again, and made anew where anything has changed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from mmbench.benchmark import Experiment, run
from mmbench.benchmark.report import output_cache
from mmbench.benchmark.report.output_cache import signature

from ..conftest import Command

ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path: Path, data_root: Path) -> Path:
    asked = {"methods": ["erm(layers=1)"], "datasets": ["toyc"], "seeds": [0, 1], "protocol": {"epochs": 1}}
    asked |= {"launcher": "debug", "device": "cpu", "data_root": data_root, "store": tmp_path / "runs"}
    assert run(Experiment.read(asked)).ok
    return tmp_path / "runs"


def made_at(store: Path) -> int:
    return (store / "leaderboards" / "accuracy.csv").stat().st_mtime_ns


def test_the_same_command_says_the_same_and_writes_nothing(store: Path, mmbench: Command) -> None:
    first = mmbench("leaderboard")
    assert first.returncode == 0
    before = made_at(store)
    again = mmbench("leaderboard")
    assert (again.returncode, again.stdout) == (first.returncode, first.stdout)
    assert made_at(store) == before
    other = mmbench("leaderboard", "--seeds", "0")
    assert other.stdout != first.stdout
    assert mmbench("leaderboard").stdout == first.stdout


def test_what_has_changed_is_made_anew(store: Path, mmbench: Command) -> None:
    first = mmbench("leaderboard")
    (store / "leaderboards" / "accuracy.csv").write_text("edited")
    assert mmbench("leaderboard").stdout == first.stdout
    assert (store / "leaderboards" / "accuracy.csv").read_text() != "edited"
    predictions = next(store.glob("jobs/*/predictions.parquet"))
    content = bytearray(predictions.read_bytes())
    content[len(content) // 2] ^= 1
    predictions.write_bytes(content)
    broken = mmbench("leaderboard")
    assert broken.returncode == 1
    assert "has changed" in broken.stdout
    assert mmbench("leaderboard").returncode == 1  # said again, with its exit code


def test_a_signature_holds_all_that_tables_are_made_of(store: Path) -> None:
    seen = {signature(store, ["a"])}

    def changed() -> bool:
        before = len(seen)
        seen.add(signature(store, ["a"]))
        return len(seen) > before

    assert not changed()
    assert signature(store, ["b"]) not in seen
    folder = next(store.glob("jobs/*"))
    for name in ("job.json", "done.json", "predictions.parquet", "fit.json", "environment.json"):
        os.utime(folder / name, (1, 1))
        assert changed(), name
    (folder / "evaluations").mkdir()
    (folder / "evaluations" / "drift.json").write_text(json.dumps({}))
    assert changed()
    (folder / "done.json").unlink()
    assert changed()
    (folder / "failed.json").write_text(json.dumps({"reason": "out of memory"}))
    assert changed()
    shutil.rmtree(folder)
    assert changed()
    (store / "external").mkdir()
    (store / "external" / "paper.csv").write_text("method\n")
    assert changed()


def test_changed_code_in_any_folder_and_a_changed_plugin_make_tables_anew(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    for folder in ("benchmark", "leaderboards"):
        shutil.copytree(ROOT / folder, package / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(output_cache, "_PACKAGE", package)
    plugin = tmp_path / "plugin.py"
    plugin.write_text("TABLES = {}\n")

    def signatures() -> tuple[str, str]:
        return signature(store, ["a"], [plugin]), output_cache.signature_of_code([plugin])

    seen = signatures()
    assert signatures() == seen
    for file in (
        package / "leaderboards" / "tables" / "trust.py",
        package / "leaderboards" / "catalog.py",
        package / "benchmark" / "report" / "write.py",
        plugin,
    ):
        before = signatures()
        os.utime(file, (1, 1))
        assert all(now != then for now, then in zip(signatures(), before, strict=True)), file
