"""Claims between machines: of one that is dead, of two that believe to have one, and under clocks that jump."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mmbench.benchmark.store import locks as claims
from mmbench.benchmark.store.locks import hold, holder

from ..benchmark.cli.test_run import until
from ..benchmark.conftest import write_dataset
from ..benchmark.store.test_locks import elsewhere, machine
from .hosts import SILENCE, host
from .runs import hashes, left_over
from .small import train

__all__ = ["elsewhere"]
ASKED = ("run", "--methods", "erm(layers=1)", "--datasets", "toy", "--seeds", "0", "--launcher", "debug")
ASKED += ("--device", "cpu", "--data-root", "data")
DAY = 86400


@contextmanager
def beating(claim: Path) -> Iterator[None]:
    """Keeps a claim alive for a while."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(SILENCE / 20):
            os.utime(claim)

    heart = threading.Thread(target=beat)
    heart.start()
    try:
        yield
    finally:
        ended.set()
        heart.join()


@pytest.mark.slow
def test_the_claim_of_a_dead_host_is_named_waited_for_and_taken_over(folder: Path, trained: Path):
    (job,) = folder.glob("runs/jobs/*")
    for name in ("done.json", "predictions.parquet", "weights.safetensors"):
        (job / name).unlink()
    claim = job / "claim.4"
    claim.write_text(json.dumps({"host": "node7", "boot": "another", "pid": 77}))
    words = (
        f"{job.name}: process 77 on node7 is at it; waited for, and taken over after {SILENCE:.0f} s without"
    )
    going = host("node8", folder, *ASKED, "--epochs", "2", "--corruptions", "drift")
    with beating(claim):  # it dies when it was seen, however long the other takes to start
        assert going.stdout is not None
        assert any(words in line for line in going.stdout)
    said, _ = going.communicate(timeout=120)
    assert going.returncode == 0, said
    assert hashes(folder / "runs") == hashes(trained / "runs")
    assert not left_over(folder / "runs")


@pytest.mark.slow
def test_of_two_hosts_at_one_job_the_silent_one_leaves_it_to_the_other(tmp_path: Path):
    write_dataset(tmp_path / "data" / "toy")
    asked = (*ASKED, "--epochs", "50", "--corruptions", "drift")
    silent = host("node7", tmp_path, *asked)
    until(lambda: any(tmp_path.glob("runs/jobs/*/last.ckpt")))
    os.kill(silent.pid, signal.SIGSTOP)
    other = host("node8", tmp_path, *asked)
    said, _ = other.communicate(timeout=200)
    assert other.returncode == 0, said
    files = {file: file.stat() for file in tmp_path.glob("runs/jobs/*/*") if file.name != "lock"}
    os.kill(silent.pid, signal.SIGCONT)
    said, _ = silent.communicate(timeout=100)
    assert silent.returncode == 1
    assert "another process took this job over, as this one gave no sign of life" in said
    now = {file: file.stat() for file in tmp_path.glob("runs/jobs/*/*") if file.name != "lock"}
    assert {file: (at.st_ino, at.st_mtime_ns) for file, at in now.items() if file.is_file()} == {
        file: (at.st_ino, at.st_mtime_ns) for file, at in files.items() if file.is_file()
    }
    calm = {"protocol": {"epochs": 50}, "store": tmp_path / "calm"}
    assert train(tmp_path, **calm).ok
    assert hashes(tmp_path / "runs") == hashes(tmp_path / "calm")


@pytest.fixture
def claimed(tmp_path: Path) -> Path:
    """A folder with the claim of another machine, which does not beat."""
    (tmp_path / "lock").touch()
    (tmp_path / "claim.1").write_text('{"host": "node7", "boot": "another", "pid": 77}')
    return tmp_path


@pytest.mark.parametrize("jump", [-3650 * DAY, -DAY, DAY, 3650 * DAY])
def test_a_dead_claim_is_taken_over_whatever_its_clock_said(claimed: Path, elsewhere, jump: int):
    then = time.time() + jump
    os.utime(claimed / "claim.1", (then, then))
    assert holder(claimed) is None
    began = time.monotonic()
    with hold(claimed) as claim:
        assert claim.file.name == "claim.2"
        assert claims.STALE / claims.SURE <= time.monotonic() - began < 10


@pytest.mark.parametrize("jump", [-DAY, DAY])
def test_a_living_claim_is_kept_when_the_clock_of_the_file_system_jumps(
    tmp_path: Path, elsewhere, monkeypatch: pytest.MonkeyPatch, jump: int
):
    (tmp_path / "number").write_text("0")
    living = machine(tmp_path, "other", 1, 600)
    taken = threading.Event()

    def follow() -> None:
        with hold(tmp_path):
            taken.set()

    follower = threading.Thread(target=follow)
    try:
        until(lambda: (tmp_path / "at work").exists())
        now = claims._now
        monkeypatch.setattr(claims, "_now", lambda folder: now(folder) + jump)
        follower.start()
        assert not taken.wait(3 * claims.STALE)
    finally:
        living.kill()
        living.wait()
    assert taken.wait(10)
    follower.join()
