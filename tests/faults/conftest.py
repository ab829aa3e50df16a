"""A small finished store, and the command in this process and in others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ..benchmark.conftest import cache, data_root
from ..benchmark.conftest import mmbench_process as mmbench
from ..benchmark.report.test_faulty_results import call
from .small import train

__all__ = ["cache", "call", "data_root", "mmbench"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a store ``runs`` of one network, tested under a corruption, too."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        train(folder, write=True)
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))
