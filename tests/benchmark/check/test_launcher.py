"""The conformance test of launchers: mmbench's own and the example pass, and each fault is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmbench.benchmark.check.conformance import check_launcher
from mmbench.benchmark.core.errors import UsageError

from ..conftest import Command

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "launcher.py"
FAULTY = """
from dataclasses import dataclass

from mmbench.benchmark.launch.local_pool import InProcess

LAUNCHERS = {"twice": "Twice", "lossy": "Lossy", "silent": "Silent", "hasty": "Hasty", "odd": "Odd"}


class Twice(InProcess):
    def run(self, jobs, context):
        for outcome in super().run(jobs, context):
            yield outcome
            yield outcome


class Lossy(InProcess):
    def run(self, jobs, context):
        yield from super().run(jobs[:-1], context)


class Silent(InProcess):
    def run(self, jobs, context):
        for outcome in super().run(jobs, context):
            yield type(outcome)(outcome.job_id, outcome.ok)


class Hasty(InProcess):
    def preview(self, jobs, context):
        context.store.mkdir()
        return "done"


class Odd(InProcess):
    device = "tpu"
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "plugins"), [("debug", ()), ("local", ()), ("background", (EXAMPLE,))])
def test_launchers_keep_their_contract(
    mmbench: Command, mmbench_process: Command, tmp_path: Path, name: str, plugins: tuple[Path, ...]
):
    call = mmbench_process if name == "background" else mmbench  # its jobs outlive the command
    ended = call("check", "launcher", name, *(f"--plugin={file}" for file in plugins))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"launcher {name} keeps its contract" in ended.stdout
    assert not list(tmp_path.glob(".mmbench-check-*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "check", "why"),
    [
        ("twice", "Every job yields one outcome.", "outcomes of"),
        ("lossy", "Every job yields one outcome.", "outcomes of"),
        ("silent", "Every job yields one outcome.", "the reason is ''"),
        ("hasty", "It says in words", "the preview wrote to the store"),
        ("odd", "An experiment gives a launcher", "its device is 'tpu'"),
    ],
)
def test_a_faulty_launcher_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, check: str, why: str
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # which a launcher in this process sets
    (tmp_path / "faulty.py").write_text(FAULTY)
    found = [one for one in check_launcher(name, (tmp_path / "faulty.py",)) if one.what.startswith(check)]
    assert [one.ok for one in found] == [False]
    assert why in found[0].reason


def test_an_unknown_launcher_is_said():
    with pytest.raises(UsageError, match=r"unknown launcher 'locl'.*local"):
        list(check_launcher("locl"))
