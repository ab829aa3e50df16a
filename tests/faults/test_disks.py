"""A store on a disk that is full, and on one that cannot be written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mmbench.benchmark.launch.local_pool import InProcess
from mmbench.benchmark.launch.run import plan
from mmbench.benchmark.train.context import Context

from ..benchmark.report.test_faulty_results import Call
from .runs import hashes, left_over
from .small import asked, train

FULL = "No space left on device"
TO_DO = "free some space, and the same command goes on"


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2.9 MB, which holds the results of two networks and not of three."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        mount("-t", "tmpfs", "-o", "size=2900k", "none", str(place))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a disk cannot be mounted here, which takes root: {getattr(error, 'stderr', error)}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> Path:
    """Takes all that is left of a disk."""
    filler = place / "filler"
    with open(filler, "wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(1024))
        except OSError:
            return filler


def run_on(disk: Path, folder: Path, call: Call, *more: str) -> tuple[int, str]:
    words = (
        "run --methods erm(layers=1) --datasets toy --epochs 2 --device cpu --workers 1 --corruptions drift"
    )
    return call(*words.split(), "--data-root", folder / "data", "--store", disk / "runs", *more)


def test_a_disk_that_fills_up_costs_the_jobs_that_find_no_place_until_there_is_some(
    folder: Path, disk: Path, call: Call
):
    assert train(folder, store=folder / "calm", seeds=[0, 1, 2]).ok
    summary = train(folder, store=disk / "runs", seeds=[0, 1, 2])
    assert summary.done == 2
    (outcome,) = summary.failed
    assert outcome.reason.startswith(f"{disk / 'runs'}/jobs/{outcome.job_id}/")
    assert outcome.reason.endswith(f"{FULL}: {TO_DO}")
    _, said = call("status", "--store", disk / "runs")  # why, it knows only if the reason found a place
    assert "2 done" in said
    mount("-o", "remount,size=12m", str(disk))
    assert train(folder, store=disk / "runs", seeds=[0, 1, 2]).ok
    assert hashes(disk / "runs") == hashes(folder / "calm")
    assert not left_over(disk / "runs")


def test_on_a_full_disk_every_command_ends_with_one_line(folder: Path, disk: Path, call: Call):
    assert train(folder, store=disk / "runs").ok
    fill(disk)
    before = hashes(disk / "runs")
    for arguments in (
        (
            "run",
            "--methods",
            "erm(layers=1)",
            "--datasets",
            "toy",
            "--data-root",
            folder / "data",
            "--seeds",
            "7",
        ),
        ("leaderboard", "--format", "csv"),
        ("export",),
        ("plot",),
        ("findings", "--out", disk / "found"),
        ("merge", folder / "runs", "--name", "theirs"),
    ):
        code, said = call(*arguments, "--store", disk / "runs")
        if arguments[0] == "merge":  # it has nothing to write
            assert code == 0
            continue
        last = said.strip().splitlines()[-1]
        assert code == 2, said
        assert last.startswith("mmbench: ")
        assert str(disk) in last
        assert FULL in last
        assert "Traceback" not in said
    assert hashes(disk / "runs") == before
    code, said = call("leaderboard", "--store", disk / "runs", "--out", folder / "out", "--what", "accuracy")
    assert code == 0, said


def test_on_a_disk_that_stays_full_the_outcome_says_so_and_no_claim_is_left(folder: Path, disk: Path):
    """Not even failed.json can be written."""
    planned = plan(asked(folder, store=disk / "runs"))
    planned.store.add(planned.jobs)
    filler = fill(disk)
    context = Context(store=disk / "runs", data_root=folder / "data")
    (outcome,) = InProcess().run(planned.todo, context)
    assert not outcome.ok
    assert str(disk) in outcome.reason
    assert FULL in outcome.reason
    assert outcome.reason.endswith(TO_DO)
    assert not list(disk.glob("runs/jobs/*/claim.*"))  # an empty one would be waited for
    filler.unlink()
    assert train(folder, store=disk / "runs", corruptions=[]).ok


def test_a_store_that_cannot_be_written_is_still_read(folder: Path, disk: Path, call: Call):
    assert train(folder, store=disk / "runs").ok
    for scores in disk.glob("runs/jobs/*/scores/*"):
        scores.unlink()
    mount("-o", "remount,ro", str(disk))
    code, said = call("status", "--store", disk / "runs")
    assert (code, "1 done" in said) == (0, True)
    code, said = call("leaderboard", "--store", disk / "runs", "--out", folder / "out", "--what", "accuracy")
    assert code == 0, said
    assert run_on(disk, folder, call, "--seeds", "0")[0] == 0  # there is nothing to do
    for more in (
        ("--seeds", "1"),
        ("--seeds", "0", "--corruptions", "spikes"),
    ):
        code, said = run_on(disk, folder, call, *more)
        last = said.strip().splitlines()[-1]
        assert code == 2, said
        assert last.startswith("mmbench: ")
        assert str(disk / "runs") in last
        assert "Read-only file system" in last
        assert "another" in last  # what to do: name another place
    code, said = call("leaderboard", "--store", disk / "runs", "--what", "accuracy")
    assert code == 2
    assert "make it writable, or name another place with --out or --store" in said
    assert os.listdir(disk) == ["runs"]
