"""Small datasets on disk, and the command as a user calls it."""

from __future__ import annotations

import atexit
import io
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from functools import cache as cache_of_the_process
from pathlib import Path

import numpy as np
import pytest
from mmbench.benchmark.cli.main import main
from mmbench.benchmark.core.environment import gpu_names
from mmbench.benchmark.report.chosen_tables import use_metrics
from mmbench.datasets.dataset import SPLITS, Samples, Target
from mmbench.datasets.layout.write import write_open_layout

MMBENCH = Path(sys.executable).parent / "mmbench"
Command = Callable[..., subprocess.CompletedProcess[str]]
Call = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of file hashes of the test's own, and no data root from outside."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("MMBENCH_DATA", raising=False)


def make_samples(
    count: int,
    seed: int,
    kind: str = "regression",
    widths: tuple[int, ...] = (6, 3),
    steps: int = 4,
    scale: float = 1.0,
) -> Samples:
    """Samples whose text tells the target well and whose audio tells it a little."""
    draw = np.random.default_rng(seed)
    latent = draw.normal(size=count)
    names = ("text", "audio", "vision")[: len(widths)]
    lengths = draw.integers(1, steps + 1, size=count)
    mask = np.arange(steps) < lengths[:, None]
    features = {}
    for place, (name, width) in enumerate(zip(names, widths, strict=True)):
        noise = draw.normal(size=(count, steps, width))
        signal = latent[:, None, None] / (1 + 2 * place)
        features[name] = ((signal + 0.3 * noise) * 5 + 2).astype(np.float32) * mask[..., None]
    target = np.clip(latent, -3, 3).astype(np.float32) * np.float32(scale)
    if kind == "classification":
        target = (latent > 0).astype(np.int64)
    return Samples(
        features=features,
        mask=dict.fromkeys(names, mask),
        present={name: np.ones(count, bool) for name in names},
        target=target,
        sample_id=np.array([f"{seed}-{row}" for row in range(count)]),
        domain=np.full(count, ""),
        previous=np.where(np.arange(count) % 3 == 0, -1, np.arange(count) - 1),
    )


def write_dataset(
    folder: Path, seed: int = 0, kind: str = "regression", counts: tuple[int, int, int] = (40, 12, 16), **more
) -> None:
    """A dataset in the open layout."""
    splits = {
        split: make_samples(count, 10 * seed + place, kind, **more)
        for place, (split, count) in enumerate(zip(SPLITS, counts, strict=True))
    }
    if kind == "classification":
        target = Target("classification", classes=("no", "yes"), metrics="classification")
    else:
        limit = 3.0 * more.get("scale", 1.0)
        target = Target("regression", (-limit, limit), metrics="regression")
    write_open_layout(folder, splits, target)


@cache_of_the_process
def _toys() -> Path:
    """What ``data_root`` copies, which is quicker than to write it."""
    root = Path(tempfile.mkdtemp(prefix="mmbench-toys-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    write_dataset(root / "toy")
    write_dataset(root / "toyc", 1, "classification")
    write_dataset(root / "toyw", 2, widths=(6, 5))
    write_dataset(root / "toys", 3, scale=1 / 3)
    return root


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """Datasets toy (regression), toyc (classification), toyw (wider audio), toys (labels in [-1, 1])."""
    return Path(shutil.copytree(_toys(), tmp_path / "data", dirs_exist_ok=True))


@pytest.fixture
def mmbench_process(tmp_path: Path, data_root: Path) -> Command:
    """Calls the command as a process, in a folder of its own, with the small datasets as data root.

    For what is promised of a process; each takes seconds to import what it needs.
    """

    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(MMBENCH), *arguments],
            cwd=tmp_path,
            env={**os.environ, "MMBENCH_DATA": str(data_root), "OMP_NUM_THREADS": "1", **environment},
            capture_output=True,
            text=True,
            timeout=240,
        )

    return call


@pytest.fixture
def mmbench(tmp_path: Path, data_root: Path) -> Command:
    """As ``mmbench_process``, but in this process; the launcher ``local`` starts its workers all the same."""

    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        here = {"MMBENCH_DATA": str(data_root), "OMP_NUM_THREADS": "1", "COLUMNS": "80", **environment}
        return call_main(arguments, tmp_path, here)

    return call


def call_main(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Calls the command's main function as its process would.

    Args:
        arguments: of the command.
        folder: the working folder.
        environment: variables beside those that are set; what the command sets is undone.
    """
    output, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    level, code = logging.getLogger("mmbench").level, 0
    with (
        pytest.MonkeyPatch.context() as patch,
        chdir(folder),
        redirect_stdout(output),
        redirect_stderr(errors),
    ):
        before = dict(os.environ)
        os.environ.update(environment)
        gpu_names.cache_clear()
        patch.setattr(sys, "argv", [str(MMBENCH), *map(str, arguments)])
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except Exception:  # as Python says it where nobody catches it
            traceback.print_exc()
            code = 1
        finally:
            for name in os.environ.keys() - before.keys():
                del os.environ[name]
            os.environ.update(before)
            logging.getLogger("mmbench").setLevel(level)
            use_metrics()  # forgets those of plug-ins
            gpu_names.cache_clear()
    said = [stream.buffer.getvalue().decode() for stream in (output, errors)]  # pyright: ignore
    return subprocess.CompletedProcess([*arguments], code, *said)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """Calls the command in this process, which is quicker; its exit code and what it says."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("PYTHONSAFEPATH", "1")  # the command sets it, for the processes that it starts
    monkeypatch.delenv("MMBENCH_CACHE", raising=False)

    def call_command(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["mmbench", *map(str, words)])
        code: object = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        said = capsys.readouterr()
        assert isinstance(code, int)
        return code, said.out + said.err

    yield call_command
    use_metrics()  # the end of the process, of which other tests share this one
