"""What a worker process loads before its job has ended: neither tables nor launchers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import Command

#: Neither is needed by a worker until its job has ended.
UNWANTED = (
    "mmbench.leaderboards.tables",
    "mmbench.benchmark.report",
    "mmbench.slurm",
    "mmbench.benchmark.launch.local_pool",
    "mmbench.benchmark.launch.launcher",
    "mmbench.benchmark.launch.detached",
    "mmbench.benchmark.launch.plan",
    "mmbench.benchmark.launch.run",
)
#: Parts that only some jobs need: raw media and their encoders, hyper-parameter searches.
FOR_SOME = (
    "mmbench.benchmark.features",
    "mmbench.benchmark.search",
    "mmbench.datasets.cache",
    "mmbench.datasets.encoders.",
    "mmbench.datasets.media",
)
#: Modules of mmbench that a worker may load until it has trained a method like ``erm`` on arrays.
MOST = 92
IMPORT = (
    "import sys, mmbench.benchmark.launch.worker, mmbench.benchmark.train.job_runner; print(*sys.modules)"
)
#: A method that says what its process has loaded when it trains.
SPY = '''
import os, sys
from dataclasses import dataclass
from pathlib import Path

from mmbench.methods.erm import ERM
from mmbench.methods.method import fixed

METHODS = {"spy": "Spy"}


@dataclass(frozen=True)
class SpyParams:
    width: int = fixed(40)
    layers: int = fixed(1)


class Spy(ERM):
    """Writes down the modules of its process."""

    Params = SpyParams

    def after_epoch(self, validation_loss):
        Path(os.environ["SPY"]).write_text(" ".join(sys.modules))
'''


def unwanted(modules: str) -> list[str]:
    return [name for name in modules.split() if name.startswith((*UNWANTED, *FOR_SOME))]


def test_the_worker_and_the_job_runner_import_no_table_and_no_launcher():
    ended = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    assert "mmbench.benchmark.train.job_runner" in ended.stdout.split()
    assert unwanted(ended.stdout) == []


@pytest.mark.slow
def test_a_worker_that_trains_has_loaded_no_table_and_no_launcher(mmbench: Command, tmp_path: Path):
    (tmp_path / "spy.py").write_text(SPY)
    asked = ("--methods", "spy", "--plugin", "spy.py", "--datasets", "toy", "--seeds", "0", "--epochs", "1")
    ran = mmbench("run", *asked, "--device", "cpu", "--workers", "1", SPY=str(tmp_path / "modules"))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    modules = (tmp_path / "modules").read_text()
    assert "mmbench.benchmark.train.job_runner" in modules.split()
    assert unwanted(modules) == []
    ours = [name for name in modules.split() if name.startswith("mmbench.")]
    assert len(ours) <= MOST, sorted(ours)
