"""A result that was cut short or in which a bit flipped: it is found and named, and what the message says mends it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ..benchmark.report.test_faulty_results import Call
from .runs import hashes
from .small import train


def says(said: str, words: str) -> bool:
    """Whether a message holds some words, wherever its lines are broken."""
    return "".join(words.split()) in "".join(said.split())


def job_of(folder: Path) -> Path:
    (job,) = folder.glob("runs/jobs/*")
    return job


def damage(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    if how == "truncated":
        file.write_bytes(content[: len(content) // 2])
        return
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["predictions.parquet", "fit.json", "done.json"])
def test_what_was_cut_short_is_said_and_made_again(folder: Path, trained: Path, call: Call, name: str):
    damage(job_of(folder) / name, "truncated")
    code, said = call("status", "--store", folder / "runs")
    assert code == 1
    assert says(said, "its results are no longer whole; the next run makes them again")
    assert train(folder).ok
    assert hashes(folder / "runs") == hashes(trained / "runs")
    assert call("status", "--store", folder / "runs")[0] == 0


@pytest.mark.parametrize("name", ["predictions.parquet", "done.json"])
def test_a_flipped_bit_is_a_hole_and_deleting_as_it_says_mends_it(
    folder: Path, trained: Path, call: Call, name: str
):
    job = job_of(folder)
    if name == "done.json":  # its hash is another
        values = json.loads((job / name).read_text())
        values["files"]["predictions.parquet"]["sha256"] = "0" * 64
        (job / name).write_text(json.dumps(values))
    else:
        damage(job / name, "flipped")
    code, said = call("leaderboard", "--store", folder / "runs", "--what", "accuracy")
    assert code in (1, 2)
    assert says(said, "predictions.parquet: its content or job.json has changed since it was written")
    assert says(said, f"delete the folder {job} and run again")
    assert "Traceback" not in said
    shutil.rmtree(job)
    assert train(folder).ok
    assert hashes(folder / "runs") == hashes(trained / "runs")


@pytest.mark.parametrize("how", ["truncated", "flipped"])
def test_a_damaged_evaluation_is_made_again_from_the_weights(
    folder: Path, trained: Path, call: Call, how: str
):
    file = job_of(folder) / "evaluations" / "drift.parquet"
    damage(file, how)
    code, said = call("leaderboard", "--store", folder / "runs", "--what", "robustness")
    assert code in (1, 2)
    assert says(said, str(file))
    if how == "flipped":
        assert says(said, "delete it and run again")
        file.unlink()
    before = (job_of(folder) / "predictions.parquet").stat().st_ino
    assert train(folder).ok
    assert (job_of(folder) / "predictions.parquet").stat().st_ino == before
    assert hashes(folder / "runs") == hashes(trained / "runs")


@pytest.mark.parametrize("how", ["truncated", "flipped"])
def test_damaged_weights_are_named_where_they_are_needed(folder: Path, how: str):
    file = job_of(folder) / "weights.safetensors"
    damage(file, how)
    (outcome,) = train(folder, corruptions=["drift", "spikes"]).failed
    assert str(file) in outcome.reason
    assert f"delete the folder {file.parent} and run again" in outcome.reason
    shutil.rmtree(file.parent)
    assert train(folder, corruptions=["drift", "spikes"]).ok
