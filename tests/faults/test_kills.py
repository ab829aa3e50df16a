"""Whatever is killed, whenever: in the end the store is that of a run that nothing disturbed.

``MMBENCH_FAULTS`` says how many times; ``make faults`` asks for 200.
"""

from __future__ import annotations

import itertools
import os
import random
import time
from pathlib import Path

import pytest

from ..benchmark.conftest import write_dataset
from .runs import Run, changes, finished, hashes, left_over

KILLS = int(os.environ.get("MMBENCH_FAULTS") or 2)
SEED = int(os.environ.get("MMBENCH_FAULTS_SEED") or 0)
ASKED = "--methods erm(layers=1) --datasets toy --seeds 0,1 --epochs 20 --device cpu --corruptions drift --ood toys"


def run(folder: Path, store: str, workers: int = 2) -> Run:
    environment = {"MMBENCH_DATA": str(folder / "data"), "XDG_CACHE_HOME": str(folder / "cache")}
    return Run(["run", *ASKED.split(), "--store", store, "--workers", str(workers)], folder, environment)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "data" / "toy")
    write_dataset(tmp_path / "data" / "toys", 3, scale=1 / 3)
    return tmp_path


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(60 + 60 * KILLS)
def test_killed_at_random_moments_a_store_ends_as_an_undisturbed_one(folder: Path):
    began, draw = time.monotonic(), random.Random(SEED)
    calm = run(folder, "calm")
    assert calm.end() == 0, calm.output()
    wanted = hashes(folder / "calm")
    assert not left_over(folder / "calm")
    done: dict[str, int] = dict.fromkeys(("worker", "launcher", "everything"), 0)
    number = 0
    for number in itertools.count():
        if sum(done.values()) >= KILLS:
            break
        store = folder / f"store{number}"
        disturb(folder, store, draw, done)
        last = run(folder, store.name)
        assert last.end() == 0, last.output()
        assert hashes(store) == wanted
        assert not left_over(store)
        print(
            f"store {number}: {sum(done.values())} kills by now, {time.monotonic() - began:.0f} s", flush=True
        )
    seconds = time.monotonic() - began
    print(f"{sum(done.values())} kills {done} in {number} stores, all equal, {seconds:.0f} s, seed {SEED}")


def disturb(folder: Path, store: Path, draw: random.Random, done: dict[str, int]) -> None:
    """Runs and kills until all is done, or there were enough kills. What is done is never done again."""
    while sum(done.values()) < KILLS:
        before = finished(store)
        going = run(folder, store.name, draw.choice((1, 1, 2)))
        try:
            while going.launcher.poll() is None and sum(done.values()) < KILLS:
                wait(going, store, draw)
                whom = draw.choice(("worker", "worker", "launcher", "everything"))
                done[whom] += going.kill(whom, draw)
                if whom == "worker" and draw.random() < 0.2:
                    break  # the launcher goes on without it, and ends
            going.end()
        finally:
            going.close()
        if draw.random() < 0.5:  # else the next run meets workers whose launcher is gone
            until_gone(going)
        now = finished(store)
        assert {name: now.get(name) for name in before} == before
        if going.launcher.returncode == 0:
            return


def wait(going: Run, store: Path, draw: random.Random) -> None:
    """Until a random moment: any, or just when a file changes."""
    if draw.random() < 0.3:
        end = time.monotonic() + draw.uniform(0, 8)
        while time.monotonic() < end and going.launcher.poll() is None:
            time.sleep(0.02)
        return
    count = draw.randint(1, 30)
    for seen, _ in enumerate(changes(store, 15), 1):
        if seen >= count or going.launcher.poll() is not None:
            break
    time.sleep(draw.choice((0, 0, draw.uniform(0, 0.05))))


def until_gone(going: Run) -> None:
    """Workers end soon after their launcher."""
    end = time.monotonic() + 20
    while going.members():
        assert time.monotonic() < end, f"still there: {going.members()}"
        time.sleep(0.05)
