"""A colleague's store, and ours."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from mmbench.benchmark import Experiment, run
from mmbench.benchmark.cli.main import main

from ..conftest import write_dataset
from .colleague import Call


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs the command in this process; its exit code and all it printed, on one line."""

    def call(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["mmbench", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "300")  # a reason that is folded beside other columns is not found
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), " ".join((said.out + said.err).split())

    return call


@pytest.fixture(scope="package")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A colleague's folder: a store of two seeds, tested under a corruption and against another dataset."""
    folder = tmp_path_factory.mktemp("colleague")
    write_dataset(folder / "data" / "toyc", 1, "classification")
    write_dataset(folder / "data" / "toyo", 3, "classification")
    asked = {"methods": ["erm(layers=1)"], "datasets": ["toyc"], "seeds": [0, 1], "protocol": {"epochs": 1}}
    asked |= {"launcher": "debug", "device": "cpu", "corruptions": ["drift"], "ood": ["toyo"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        assert run(Experiment.read({**asked, "data_root": folder / "data", "store": folder / "runs"})).ok
        patch.setattr(
            sys, "argv", ["mmbench", "leaderboard", "--store", str(folder / "runs"), "--format", "csv"]
        )
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
    return folder / "runs"


@pytest.fixture
def theirs(trained: Path, tmp_path: Path) -> Path:
    """As ``trained``, with the tables that are soon scored."""
    slow = shutil.ignore_patterns("misd*", "ood.*", "calibration*")
    return Path(shutil.copytree(trained, tmp_path / "theirs", ignore=slow))


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return tmp_path / "ours"
