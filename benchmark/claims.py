"""Who is at a job, on one machine and on many that share a file system.

Two things together. A lock of the operating system (``flock``) parts the processes of one machine; it goes with its
process, however that ends. Across machines, where such locks may not reach, there is a file ``claim.N``:

* It is created with ``O_EXCL``, so one of many gets it. Its time of change is its heartbeat, set anew by a thread.
* Who finds the highest claim free or dead creates the next number. No claim is ever taken away from under somebody
  else, so there is no moment in which two can both think that they took it over.
* Dead is what did not beat for ``STALE`` seconds by the clock of the file system: that of a file just written beside
  it, whatever the clocks of the machines say. A claim of this machine whose lock is free is dead at once, and so is
  one that the same SLURM job made before it was started again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import platform
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

#: Seconds between heartbeats, until silence counts as death, and between looks at a claim of another machine.
BEAT, STALE, LOOK = 10.0, 120.0, 1.0
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class LostClaimError(Exception):
    """Another process took the job over, because this one gave no sign of life."""


@dataclass
class Claim:
    """A claim that this process holds.

    Attributes:
        file: where it stands.
        over: set when it ends.
        lost: set when it was taken over.
    """

    file: Path
    over: threading.Event = field(default_factory=threading.Event)
    lost: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raises LostClaimError where another took it over."""
        if not self.lost.is_set() and _latest(self.file.parent)[0] != _number(self.file.name):
            self.lost.set()
        if self.lost.is_set():
            raise LostClaimError("another process took this job over, as this one gave no sign of life")

    def beat(self, every: float) -> None:
        """Shows life until it is over."""
        while not self.over.wait(every):
            try:
                os.utime(self.file)
            except FileNotFoundError:
                self.lost.set()
                return
            except OSError:
                continue  # the file system may come back

    def release(self, forget: bool) -> None:
        """Lets others have it.

        Args:
            forget: there is nothing left to do, so its traces are removed.
        """
        self.over.set()
        with contextlib.suppress(OSError):
            if not forget:
                self.file.write_text('{"free": true}\n')
                return
            own = _number(self.file.name)
            for name in os.listdir(self.file.parent):
                if 0 < _number(name) <= own:
                    (self.file.parent / name).unlink(missing_ok=True)


@contextmanager
def hold(folder: Path) -> Iterator[Claim]:
    """Holds a folder; waits while another process holds it, here or on another machine.

    Whoever is given the claim releases it.
    """
    with open(folder / "lock", "ab") as stream:
        locked = _lock(stream.fileno(), fcntl.LOCK_EX)
        claim = _take(folder, locked)
        heart = threading.Thread(target=claim.beat, args=[BEAT], daemon=True)
        heart.start()
        try:
            yield claim
        finally:
            if not claim.over.is_set():
                claim.release(forget=False)
            heart.join()


def holder(folder: Path) -> Mapping[str, Any] | None:
    """What the living holder of a folder says of itself (host, pid, slurm, time); None where there is none."""
    locks = True
    number, said = _latest(folder)
    known = {key: value for key, value in said.items() if key != "free"}
    try:
        with open(folder / "lock", "rb") as stream:
            locks = _lock(stream.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return known
    return None if number == 0 or _is_dead(folder, number, said, locks) else known


def _lock(stream: int, how: int) -> bool:
    """Whether the file system knows locks. Raises BlockingIOError where another holds it and waiting is not asked."""
    try:
        fcntl.flock(stream, how)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    return True


def _take(folder: Path, locked: bool) -> Claim:
    while True:
        number, said = _latest(folder)
        if number == 0 or _is_dead(folder, number, said, locked):
            file = folder / f"claim.{number + 1}"
            try:
                handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                continue
            with os.fdopen(handle, "w") as stream:
                stream.write(json.dumps(_myself()) + "\n")
            return Claim(file)
        time.sleep(LOOK)


def _latest(folder: Path) -> tuple[int, Mapping[str, Any]]:
    """The highest number of a claim and its content, empty where it cannot be read (yet); 0 where there is none."""
    number = max((_number(name) for name in os.listdir(folder)), default=0)
    try:
        said = json.loads((folder / f"claim.{number}").read_bytes())
    except (OSError, ValueError):
        return number, {}
    return number, said if isinstance(said, dict) else {}


def _number(name: str) -> int:
    begin, _, number = name.partition(".")
    return int(number) if begin == "claim" and number.isdecimal() else 0


def _is_dead(folder: Path, number: int, said: Mapping[str, Any], locks: bool) -> bool:
    """Whether nobody is at a claim.

    Args:
        folder: where it stands.
        number: its number.
        said: its content.
        locks: whether the lock of this machine is known to be free, or held by this process.
    """
    mine = _myself()
    if said.get("free"):
        return True
    if said and locks and said.get("boot") == mine["boot"]:
        return True
    same_job = mine["slurm_job"] and said.get("slurm_job") == mine["slurm_job"]
    if same_job and int(said.get("slurm_restarts", 0)) < mine["slurm_restarts"]:
        return True  # SLURM starts a job again only when it has ended everywhere
    try:
        with open(folder / f"claim.{number}", "rb") as stream:  # opened, so that NFS asks the server
            beat = os.fstat(stream.fileno()).st_mtime
    except FileNotFoundError:
        return False  # it was just removed: look again
    return _now(folder) - beat > STALE


def _now(folder: Path) -> float:
    """The time by the clock of the file system; that of this machine where nothing can be written."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".clock") as stream:
            stream.write(b"-")
            stream.flush()
            os.fsync(stream.fileno())
            return os.fstat(stream.fileno()).st_mtime
    except OSError:
        return time.time()


def _myself() -> dict[str, Any]:
    return {
        "host": platform.node(),
        "boot": _boot(),
        "pid": os.getpid(),
        "slurm_job": os.environ.get("SLURM_JOB_ID", ""),
        "slurm_restarts": int(os.environ.get("SLURM_RESTART_COUNT") or 0),
        "slurm": slurm_id(),
        "time": time.time(),
    }


def slurm_id() -> str:
    """The SLURM job that this process belongs to, such as ``12_3`` for an array task; empty outside."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")


@lru_cache
def _boot() -> str:
    """This start of this machine's kernel: what its locks reach."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()
