"""Runs over a real SLURM: what is asked for is what the local pool gives, whatever happens on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ..benchmark.conftest import Command

pytestmark = pytest.mark.slurm

TOY = ("--datasets", "toy", "--epochs", "2", "--device", "cpu")
ON_SLURM = ("--launcher", "slurm", "--slurm", "time=1h")


def contents(store: Path) -> dict[str, bytes]:
    """What every finished job predicted."""
    return {file.parent.name: file.read_bytes() for file in store.glob("jobs/*/predictions.parquet")}


@pytest.mark.slow
def test_bundles_on_slurm_predict_what_the_local_pool_predicts(mmbench: Command, tmp_path: Path):
    asked = ("--methods", "erm(layers=1),mixup(layers=1)", "--seeds", "0-5", *TOY)
    ran = mmbench("run", *asked, *ON_SLURM, "--bundle-time", "8m", "--store", "there")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "all 12 jobs done" in ran.stdout
    assert mmbench("run", *asked, "--workers", "1", "--store", "here").returncode == 0
    assert len(contents(tmp_path / "here")) == 12
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    ids = {json.loads(file.read_text())["id"] for file in tmp_path.glob("there/jobs/*/slurm.json")}
    assert len(ids) == 3  # four jobs of 120 s, as they are first guessed, in each array task
    assert len({number.partition("_")[0] for number in ids}) == 1
