"""``mmbench new``: each skeleton works before anything is changed, and nothing is overwritten."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mmbench.benchmark.check.conformance import check_entry
from mmbench.benchmark.check.skeleton import TEMPLATES

from ..conftest import Call


@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_skeleton_keeps_its_contract(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
):
    monkeypatch.chdir(tmp_path)  # where a launcher is tried
    code, said = call("new", kind, "my_thing", "--out", tmp_path / "plugins")
    assert code == 0, said
    file = tmp_path / "plugins" / "my_thing.py"
    assert f"mmbench check {kind} my_thing --plugin {file}" in said
    code, said = call("check", kind, "my_thing", "--plugin", file)
    assert code == 0, said
    assert "my_thing" in call("list", f"{kind}s", "--plugin", file)[1]


@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_skeleton_is_tidy_and_reads_well(call: Call, tmp_path: Path, kind: str):
    assert call("new", kind, "my_thing", "--out", tmp_path)[0] == 0
    for file in (tmp_path / "my_thing.py", tmp_path / "test_my_thing.py"):
        text = file.read_text()
        assert "$" not in text
        assert max(map(len, text.splitlines())) <= 120
    ruff = [Path(sys.executable).parent / "ruff", "check", "--isolated", "--select", "F,W,B,UP,SIM", tmp_path]
    ended = subprocess.run(ruff, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout


def test_the_test_of_a_skeleton_finds_a_broken_contract(call: Call, tmp_path: Path):
    assert call("new", "corruption", "my_noise", "--out", tmp_path)[0] == 0
    pytest_ = [Path(sys.executable).parent / "pytest", "-q", "-p", "no:cacheprovider", tmp_path]
    whole = subprocess.run(pytest_, capture_output=True, text=True, cwd=tmp_path)
    assert whole.returncode == 0, whole.stdout
    file = tmp_path / "my_noise.py"
    file.write_text(file.read_text().replace("(0.1, 0.2, 0.3, 0.4, 0.5)", "(0.5, 0.4, 0.3, 0.2, 0.1)"))
    broken = subprocess.run(pytest_, capture_output=True, text=True, cwd=tmp_path)
    assert broken.returncode == 1
    assert "a higher severity does less" in broken.stdout


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("method", "my-method", "'my-method' is no name for a method"),
        ("method", "class", "'class' is no name for a method"),
        ("method", "2nd", "is no name for a method"),
        ("method", "../up", "is no name for a method"),
        ("method", "___", "is no name for a method"),
        ("method", "erm", "'erm' is the name of a method"),
        ("encoder", "log_mel", "'log-mel' is the name of an encoder"),
        ("metric", "accuracy", "'accuracy' is the name of a metric"),
        ("table", "calibration", "'calibration' is the name of a table"),
        ("launcher", "local", "'local' is the name of a launcher"),
        ("table", "clean", "its file uses CLEAN for something else"),
        ("metric", "metrics", "its file uses METRICS for something else"),
        ("encoder", "media", "its file uses Media for something else"),
        ("launcher", "job", "its file uses Job for something else"),
        ("corruption", "freeze", "'freeze' is the name of a corruption"),
        ("thing", "mine", "thing"),
    ],
)
def test_a_bad_name_is_refused(call: Call, tmp_path: Path, kind: str, name: str, message: str):
    code, said = call("new", kind, name, "--out", tmp_path / "plugins")
    assert code == 2
    assert message in said
    assert not (tmp_path / "plugins").exists()


@pytest.mark.parametrize("there", ["mine.py", "test_mine.py"])
def test_nothing_is_overwritten(call: Call, tmp_path: Path, there: str):
    (tmp_path / there).write_text("my own\n")
    code, said = call("new", "method", "mine", "--out", tmp_path)
    assert (code, "is there already" in said) == (2, True), said
    assert [file.name for file in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "my own\n"


def test_two_kinds_may_have_one_name_in_one_folder(call: Call, tmp_path: Path):
    for kind in ("method", "metric"):
        assert call("new", kind, "mine", "--out", tmp_path)[0] == 0
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {"mine.py", "test_mine.py", "mine_metric.py", "test_mine_metric.py"}
    assert 'with_name("mine_metric.py")' in (tmp_path / "test_mine_metric.py").read_text()
    code, said = call("new", "metric", "mine", "--out", tmp_path)
    assert (code, "mine_metric.py is there already" in said.replace("\n", " ")) == (2, True), said
    assert not [one for one in check_entry("metric", "mine", (tmp_path / "mine_metric.py",)) if not one.ok]
