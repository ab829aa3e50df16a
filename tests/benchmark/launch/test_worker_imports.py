"""What a worker process loads before its job has ended: neither tables nor launchers."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..conftest import Command
from ..train.test_imports import LATER

#: Parts that only some jobs need: raw media and their encoders, hyper-parameter searches.
FOR_SOME = (
    "mmbench.benchmark.features",
    "mmbench.benchmark.search",
    "mmbench.datasets.cache",
    "mmbench.datasets.encoders.",
    "mmbench.datasets.media",
)
#: Modules of mmbench that a worker may load until it has trained a method like ``erm`` on arrays.
MOST = 132
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


@pytest.mark.slow
def test_a_worker_that_trains_has_loaded_no_table_and_no_launcher(mmbench: Command, tmp_path: Path):
    (tmp_path / "spy.py").write_text(SPY)
    asked = ("--methods", "spy", "--plugin", "spy.py", "--datasets", "toy", "--seeds", "0", "--epochs", "1")
    ran = mmbench("run", *asked, "--device", "cpu", "--workers", "1", SPY=str(tmp_path / "modules"))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    modules = (tmp_path / "modules").read_text()
    assert "mmbench.benchmark.train.job_runner" in modules.split()
    assert [name for name in modules.split() if name.startswith((*LATER, *FOR_SOME))] == []
    ours = [name for name in modules.split() if name.startswith("mmbench.")]
    assert len(ours) <= MOST, sorted(ours)
