"""``mmbench data encode`` in several processes at once, and interrupted."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mmbench.benchmark.features.dataset import exclusive_writer
from mmbench.datasets.cache.cache import FeatureCache
from mmbench.datasets.layout.open_layout import locate_open

from ..conftest import Call
from .clips import write_clips


def start(root: Path, *more: str) -> subprocess.Popen[str]:
    command = [str(Path(sys.executable).with_name("mmbench")), "data", "encode", "own"]
    command += ["--encoder", "near=log-mel,bins=16", "--data-root", str(root), *more]
    environment = os.environ | {"XDG_CACHE_HOME": str(root / "hashes")}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def test_two_that_write_one_dataset_never_mix_their_splits(tmp_path: Path):
    own = write_clips(tmp_path / "own")
    with exclusive_writer(own, FeatureCache(tmp_path / "cache" / "features")):
        other = start(tmp_path)
        end = time.monotonic() + 60
        while not list((tmp_path / "cache").glob("features/*/*.safetensors")) and time.monotonic() < end:
            time.sleep(0.05)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(2)
        assert not list(own.glob("*.npz"))
    assert other.wait(60) == 0
    assert len(locate_open(own / "dataset.yaml").load()) == 3


@pytest.mark.slow
def test_after_control_c_the_command_goes_on_and_the_result_trains(call: Call, tmp_path: Path):
    write_clips(tmp_path / "own", count=200, seconds=0.5)
    first = start(tmp_path)
    until = time.monotonic() + 120
    while not list((tmp_path / "cache").rglob("0*.json")) and time.monotonic() < until:
        time.sleep(0.005)
    first.send_signal(signal.SIGINT)
    said, _ = first.communicate(timeout=60)
    assert first.returncode == 130, said
    assert "the same command goes on from there" in said
    assert not (tmp_path / "own" / "dataset.yaml").exists()
    kept = sum(len(json.loads(file.read_bytes())["keys"]) for file in (tmp_path / "cache").rglob("0*.json"))
    assert 0 < kept < 200
    two = [start(tmp_path), start(tmp_path)]  # both at once, on what is left
    heard = [process.communicate(timeout=200)[0] for process in two]
    assert [process.returncode for process in two] == [0, 0], heard
    counts = [int(re.findall(r"encoded (\d+) of 200", text)[0]) if "encoded" in text else 0 for text in heard]
    assert sum(counts) == 200 - kept
    store = ("--store", tmp_path / "runs", "--launcher", "debug")
    run = (
        "run",
        "--methods",
        "erm",
        "--datasets",
        "own",
        "--preset",
        "quick",
        "--seeds",
        "0",
        "--epochs",
        "1",
    )
    code, said = call(*run, "--data-root", tmp_path, *store)
    assert code == 0, said
    assert "the job is done" in said
