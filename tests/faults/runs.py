"""Real runs of the command that are killed at random moments, and what is left of them afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..benchmark.conftest import MMBENCH

#: Of a job's folder these differ between two runs that give the same results: times, machine, epochs gone on from.
#: ``scores/`` follows from the predictions, and is made by the tables where it is not there.
OTHER = ("environment.json", "log.txt", "lock", "scores")
#: What a finished job has no more of: the course of its training, and files that were never finished.
PASSING = ("claim.", "last.ckpt", "progress.json", "failed.json", ".")
#: Unfinished notes of a launcher: some bytes, which no one reads or is in need of.
NOTES = (".job.json.", ".failed.json.")
#: A store that nobody works on for so many seconds hangs.
PATIENCE = 240.0


def hashes(store: Path) -> dict[str, str]:
    """File of a job -> hash of its content, of all that follows from what was asked.

    The marker of a job is hashed without its entry for ``environment.json``, which tells times.
    """
    files = (file for file in (store / "jobs").rglob("*") if file.is_file())
    names = {file: str(file.relative_to(store / "jobs")) for file in files}
    return {
        name: hashlib.sha256(_without_environment(file)).hexdigest()
        for file, name in sorted(names.items())
        if name.split("/")[1] not in OTHER
    }


def _without_environment(file: Path) -> bytes:
    if file.name != "done.json":
        return file.read_bytes()
    marker = json.loads(file.read_bytes())
    marker["files"].pop("environment.json", None)
    return json.dumps(marker, sort_keys=True).encode()


def left_over(store: Path) -> list[str]:
    """What is in the folders of finished jobs and of no more use."""
    found = (*store.glob("jobs/*/*"), *store.glob("jobs/*/evaluations/*"))
    passing = (file for file in found if file.name.startswith(PASSING) or file.suffix == ".tmp")
    return sorted(str(file.relative_to(store)) for file in passing if not file.name.startswith(NOTES))


def finished(store: Path) -> dict[str, tuple[int, int]]:
    """Result of a finished job -> which file it is and when it was written: a second training would change both."""
    found: dict[str, tuple[int, int]] = {}
    for marker in store.glob("jobs/*/done.json"):
        status = marker.with_name("predictions.parquet").stat()
        found[marker.parent.name] = status.st_ino, status.st_mtime_ns
    return found


@dataclass
class Run:
    """A launcher with its workers, in a session of their own.

    Attributes:
        arguments: of the command.
        folder: where it is called.
        environment: with these variables.
    """

    arguments: Sequence[str]
    folder: Path
    environment: dict[str, str]
    launcher: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.said = open(self.folder / "said.txt", "wb")  # noqa: SIM115 - as long as the launcher
        self.launcher = subprocess.Popen(
            [str(MMBENCH), *self.arguments],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", **self.environment},
            stdout=self.said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def members(self) -> list[int]:
        """The processes of the session that live, the launcher too."""
        found = []
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                try:
                    words = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue  # it has just ended
                if int(words[3]) == self.launcher.pid and words[0] not in "ZX":
                    found.append(int(entry.name))
        return found

    def workers(self) -> list[int]:
        """The worker processes that live."""
        return [pid for pid in self.members() if b"spawn_main" in _command(pid)]

    def kill(self, whom: str, draw: random.Random) -> bool:
        """Kills a worker, the launcher or everything; whether there was something to kill."""
        if whom == "worker":
            workers = self.workers()
            if not workers:
                return False
            _kill(draw.choice(workers))
            return True
        if self.launcher.poll() is not None:
            return False
        if whom == "everything":
            os.killpg(self.launcher.pid, signal.SIGKILL)
        else:
            self.launcher.kill()
        self.launcher.wait()
        return True

    def end(self) -> int:
        """Waits until it ends by itself; its exit code."""
        try:
            return self.launcher.wait(PATIENCE)
        finally:
            self.close()

    def close(self) -> None:
        """Ends whatever still runs."""
        if self.launcher.poll() is None:
            os.killpg(self.launcher.pid, signal.SIGKILL)
            self.launcher.wait()
        self.said.close()

    def output(self) -> str:
        """What was said."""
        return (self.folder / "said.txt").read_text(errors="replace")


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it had just ended
        os.kill(pid, signal.SIGKILL)


def changes(store: Path, seconds: float) -> Iterator[None]:
    """Yields whenever a file of a job has come, gone or been replaced."""
    known, end = _names(store), time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.003)
        names = _names(store)
        if names != known:
            known = names
            yield


def _names(store: Path) -> set[tuple[str, int]]:
    found: set[tuple[str, int]] = set()
    for folder, _, files in os.walk(store / "jobs"):
        for name in files:
            try:
                found.add((f"{folder}/{name}", os.stat(f"{folder}/{name}").st_ino))
            except OSError:
                continue
    return found
