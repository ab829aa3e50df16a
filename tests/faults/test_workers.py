"""A worker that dies before it has begun with a job, as when memory runs out while it starts."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from mmbench.benchmark.core.processes import SafeContext
from mmbench.benchmark.launch.local_pool import start_worker

from ..benchmark.conftest import write_dataset
from .runs import Run

#: Python runs this in every process of the session; a worker that starts dies at once while there are files to take.
DYING = """
import os, sys
from pathlib import Path

here = Path(os.environ["DYING"])
left = sorted(here.glob("die-*")) if "--multiprocessing-fork" in sys.argv else []
if left:
    left[0].unlink()
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "data" / "toy")
    (tmp_path / "sitecustomize.py").write_text(DYING)
    return tmp_path


def run(folder: Path, deaths: int) -> Run:
    for number in range(deaths):
        (folder / f"die-{number}").touch()
    path = f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    environment = {"DYING": str(folder), "PYTHONPATH": path, "XDG_CACHE_HOME": str(folder / "cache")}
    asked = "run --methods erm(layers=1) --datasets toy --seeds 0,1 --epochs 1 --device cpu --workers 1"
    return Run([*asked.split(), "--data-root", "data"], folder, environment)


@pytest.mark.slow
def test_a_worker_that_dies_as_it_starts_costs_no_job(folder: Path):
    going = run(folder, 2)
    assert going.end() == 0, going.output()
    assert "all 2 jobs done" in going.output()
    assert not list(folder.glob("die-*"))


def test_workers_that_always_die_as_they_start_end_the_run_with_a_reason(folder: Path):
    going = run(folder, 1000)
    assert going.end() == 1
    assert "2 of 2 jobs failed" in going.output()
    assert going.output().count("times a worker died as it started, often the sign that memory ran out") >= 2


def test_control_c_does_not_end_a_worker_that_is_just_starting(tmp_path: Path):
    for delay in (0.0, 0.02, 0.1):
        worker = SafeContext().Process(target=start_worker, args=["", 1, (), os.getpid()])
        worker.start()
        time.sleep(delay)
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGINT)
        worker.join(60)
        assert worker.exitcode == 0
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
