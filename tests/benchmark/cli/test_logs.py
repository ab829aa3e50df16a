"""What the command says of its work on standard error, and how much."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import Call, Command

TOY = (
    "run",
    "--methods",
    "erm(layers=1)",
    "--datasets",
    "toy",
    "--epochs",
    "1",
    "--seeds",
    "0",
    "--device",
    "cpu",
)


@pytest.fixture
def broken(call: Call, tmp_path: Path) -> Path:
    """A store with one job that cannot be read."""
    folder = tmp_path / "runs" / "jobs" / "toy-erm"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text("{")
    return tmp_path / "runs"


def test_a_warning_is_one_plain_line_unless_quiet_is_asked_for(call: Call, broken: Path):
    code, said = call("retry", "--store", broken)
    lines = [line for line in said.splitlines() if line.startswith("mmbench: warning: ")]
    assert (code, len(lines)) == (1, 1), said
    assert "toy-erm" in lines[0]
    code, said = call("-q", "retry", "--store", broken)
    assert code == 1
    assert "warning" not in said


def test_verbose_names_what_is_read_and_planned(call: Call, data_root: Path, tmp_path: Path):
    plan = ("plan", *TOY[1:], "--data-root", data_root, "--store", tmp_path / "runs")
    quiet, verbose = call(*plan)[1], call("--verbose", *plan)[1]
    assert "mmbench.data" not in quiet
    (line,) = {line for line in verbose.splitlines() if line.startswith("mmbench.data: ")}
    assert line == f"mmbench.data: dataset toy: format open, in {data_root / 'toy' / 'dataset.yaml'}"
    assert "mmbench.plan: planned 1 tasks" in verbose
    assert "mmbench." not in call(*plan)[1].replace("mmbench.yaml", "")  # of the next command nothing is left


def test_every_detail_names_what_plugins_bring(call: Call, tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text('CORRUPTIONS = {"mine": "Mine"}\n\n\nclass Mine:\n    """Mine."""\n')
    assert "brings" not in call("-v", "list", "corruptions", "--plugin", file)[1]
    assert (
        f"mmbench.registry: {file} brings corruptions: mine"
        in call("-vv", "list", "corruptions", "--plugin", file)[1]
    )


def test_quiet_and_verbose_exclude_each_other(call: Call):
    code, said = call("-q", "-v", "list", "methods")
    assert (code, said) == (2, "mmbench: --quiet and --verbose: give one of them\n")


def test_workers_say_it_in_the_log_of_their_job(mmbench: Command, tmp_path: Path):
    ended = mmbench("-v", *TOY, "--workers", "1")
    assert ended.returncode == 0, ended.stderr
    (log,) = (tmp_path / "runs").glob("jobs/*/log.txt")
    assert "mmbench.data: dataset toy" in log.read_text()


def test_a_program_that_uses_mmbench_sets_up_logging_itself():
    code = (
        "import logging, mmbench.benchmark.core.locate\n"
        "assert not logging.getLogger('mmbench').handlers\n"
        "assert not logging.root.handlers\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
