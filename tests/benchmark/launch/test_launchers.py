"""Several launchers over one store."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from mmbench.benchmark.store.store import Store

from ..cli.test_run import contents
from ..conftest import MMBENCH

WITNESS = '''
import os
from dataclasses import dataclass

from mmbench.methods.erm import ERM
from mmbench.methods.method import fixed

METHODS = {"witnessed": "Witnessed"}


@dataclass(frozen=True)
class WitnessedParams:
    width: int = fixed(40)
    layers: int = fixed(1)


class Witnessed(ERM):
    """Writes down each network when it was trained."""

    Params = WitnessedParams

    def after_epoch(self, validation_loss):
        with open(os.environ["WITNESS"], "a") as file:
            file.write(f"{os.getpid()}\\n")
'''


@pytest.mark.slow
def test_four_launchers_of_one_experiment_train_every_network_once(tmp_path: Path, data_root: Path):
    (tmp_path / "witnessed.py").write_text(WITNESS)
    witness = tmp_path / "witness"
    asked = ["--methods", "witnessed", "--plugin", "witnessed.py", "--datasets", "toy", "--seeds", "0-5"]
    command = [str(MMBENCH), "run", *asked, "--epochs", "1", "--device", "cpu", "--workers", "1"]
    environment = {
        **os.environ,
        "MMBENCH_DATA": str(data_root),
        "WITNESS": str(witness),
        "OMP_NUM_THREADS": "1",
    }
    launchers = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for launcher in launchers:
        output, _ = launcher.communicate(timeout=240)
        assert launcher.returncode == 0, output
        assert "all 6 jobs done" in output
    assert len(witness.read_text().split()) == 6
    store = Store(tmp_path / "runs")
    assert [record.state for record in store] == ["done"] * 6
    assert len(contents(store.path)) == 6
    assert not any(store.job(record.job.id).is_held() for record in store)
