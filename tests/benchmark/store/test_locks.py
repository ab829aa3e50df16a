"""Claims on a job by processes that behave like machines of their own: no lock of the one reaches the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from mmbench.benchmark.store import locks as claims
from mmbench.benchmark.store.locks import LostClaimError, hold, holder

from ..cli.test_run import until

#: Holds the folder some times, and each time reads a number and writes the next: two at once would lose one.
MACHINE = """
import os, sys, time
from pathlib import Path
from mmbench.benchmark.store import locks as claims

folder, name, times, work = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
claims._boot = lambda: name
claims._lock = lambda stream, how: False
claims.BEAT, claims.STALE, claims.LOOK = 0.1, 1.0, 0.01
for _ in range(times):
    with claims.hold(folder) as claim:
        number = int((folder / "number").read_text())
        (folder / "at work").touch()
        time.sleep(work)
        claim.check()
        (folder / "number").write_text(str(number + 1))
        claim.release(forget=number % 3 == 0)
"""


def machine(folder: Path, name: str, times: int, work: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", MACHINE, str(folder), name, str(times), str(work)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "number").write_text("0")
    return tmp_path


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch):
    """This process is on another machine, too."""
    monkeypatch.setattr(claims, "_boot", lambda: "here")
    monkeypatch.setattr(claims, "_lock", lambda stream, how: False)
    monkeypatch.setattr(claims, "STALE", 1.0)
    monkeypatch.setattr(claims, "LOOK", 0.01)


@pytest.mark.slow
def test_of_many_machines_one_at_a_time_holds_it(folder: Path):
    machines = [machine(folder, f"machine{number}", 15, 0.005) for number in range(4)]
    assert [one.wait(120) for one in machines] == [0, 0, 0, 0]
    assert (folder / "number").read_text() == "60"


def test_a_machine_that_dies_is_followed_once_it_is_silent(folder: Path, elsewhere):
    dying = machine(folder, "other", 1, 600)
    until(lambda: (folder / "at work").exists())
    assert (holder(folder) or {})["pid"] == dying.pid
    time.sleep(1.5)  # longer than silence may last, but it is not silent
    assert holder(folder)
    dying.kill()
    dying.wait()
    began = time.monotonic()
    assert holder(folder)
    with hold(folder):
        assert time.monotonic() - began > 0.5
    assert holder(folder) is None


def test_the_clock_of_a_machine_has_no_say(folder: Path, elsewhere, monkeypatch: pytest.MonkeyPatch):
    living = machine(folder, "other", 1, 600)
    try:
        until(lambda: (folder / "at work").exists())
        wrong = time.time() + 86400
        monkeypatch.setattr(time, "time", lambda: wrong)
        assert holder(folder)
    finally:
        living.kill()
        living.wait()


def test_who_was_silent_learns_that_another_took_over(folder: Path, elsewhere):
    stopped = machine(folder, "other", 1, 0.5)
    until(lambda: (folder / "at work").exists())
    os.kill(stopped.pid, signal.SIGSTOP)
    with hold(folder):
        os.kill(stopped.pid, signal.SIGCONT)
        assert stopped.wait(60) == 1  # its check raised
        assert (folder / "number").read_text() == "0"


def test_a_process_of_this_machine_that_died_is_followed_at_once(tmp_path: Path):
    script = "import sys, time\nfrom pathlib import Path\nfrom mmbench.benchmark.store.locks import hold\n"
    script += "with hold(Path(sys.argv[1])):\n    print('holds', flush=True)\n    time.sleep(600)\n"
    dying = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert dying.stdout
    dying.stdout.readline()
    assert (holder(tmp_path) or {})["pid"] == dying.pid
    taken = threading.Event()

    def follow() -> None:
        with hold(tmp_path):
            taken.set()

    follower = threading.Thread(target=follow)
    follower.start()
    assert not taken.wait(0.5)
    dying.kill()
    assert taken.wait(5)
    follower.join()


def test_a_submission_that_was_started_again_follows_itself_at_once(tmp_path: Path, elsewhere, monkeypatch):
    def start(**facts: object) -> None:
        monkeypatch.setenv("MMBENCH_ORIGIN", json.dumps({"launcher": "slurm", "id": "17_0", **facts}))

    (tmp_path / "lock").touch()
    before = {"launcher": "slurm", "id": "17_0", "restarts": 1}
    (tmp_path / "claim.3").write_text(json.dumps({"boot": "another", "origin": before, "pid": 1}))
    start(restarts=1)
    assert holder(tmp_path)  # another node of the same submission
    start(restarts=2, launcher="another")
    assert holder(tmp_path)
    start(restarts=2, id="17_1")
    assert holder(tmp_path)
    start(restarts=2)
    began = time.monotonic()
    with hold(tmp_path) as claim:
        assert time.monotonic() - began < 0.9
        assert claim.file.name == "claim.4"
        (tmp_path / "claim.5").write_text("{}")
        with pytest.raises(LostClaimError):
            claim.check()
