"""What the code of a training loads: a worker starts once for many jobs, and on a cluster once for each."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Parts of the package that no training needs.
ABOVE = (
    "mmbench.leaderboards",
    "mmbench.slurm",
    "mmbench.benchmark.report",
    "mmbench.benchmark.launch",
    "mmbench.benchmark.exchange",
    "mmbench.benchmark.check",
    "mmbench.benchmark.cli",
)


@pytest.fixture(scope="module")
def loaded() -> list[str]:
    """The modules of mmbench that are there after the job runner was imported in a new process."""
    code = "import sys, mmbench.benchmark.train.job_runner; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split() if name.startswith("mmbench.")]


def test_the_job_runner_loads_no_tables_and_no_launcher(loaded: list[str]):
    assert "mmbench.benchmark.train.job_runner" in loaded
    assert [name for name in loaded if name.startswith(ABOVE)] == []


def test_reading_a_store_loads_no_tables():
    code = "import sys, mmbench.benchmark.store.reader; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "mmbench.leaderboards.tables" not in done.stdout.split()
