"""Locks of folders, on one machine and on many that share a file system.

Two things together. A lock of the operating system (``flock``) parts the processes of one machine; it goes with its
process, however that ends. Across machines, where such locks may not reach, there is a file ``claim.N``:

* It is created with ``O_EXCL``, so one of many gets it. Its time of change is its heartbeat, set anew by a thread.
* Who finds the highest claim free or dead creates the next number. No claim is ever taken away from under somebody
  else, so there is no moment in which two can both think that they took it over.
* Dead is what did not beat for ``STALE`` seconds by the clock of the file system: that of a file just written beside
  it, whatever the clocks of the machines say; and who waits for it watches it, as that clock may jump. A claim of this machine whose lock is free is dead at once, and so is
  one that the same submission to a queue made before it was started again.
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

from ..core.environment import origin

#: Seconds between heartbeats, until silence counts as death, and between looks at a claim of another machine.
BEAT, STALE, LOOK = 10.0, 120.0, 1.0
#: A claim that looks dead is watched for this part of ``STALE``: three heartbeats.
SURE = 4
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
        if self.is_lost():
            raise LostClaimError("another process took this job over, as this one gave no sign of life")

    def is_lost(self) -> bool:
        """Whether another took it over."""
        if not self.lost.is_set() and _latest(self.file.parent)[0] != _number(self.file.name):
            self.lost.set()
        return self.lost.is_set()

    def beat(self, every: float) -> None:
        """Sets the claim's time of change again and again, until it is released."""
        while not self.over.wait(every):
            try:
                os.utime(self.file)
            except FileNotFoundError:
                self.lost.set()
                return
            except OSError:
                continue  # the file system may come back

    def release(self, forget: bool) -> None:
        """Releases the claim, so that another process can hold the folder.

        Args:
            forget: there is nothing left to do, so its traces are removed.
        """
        self.over.set()
        with contextlib.suppress(OSError):
            if not forget:
                try:
                    self.file.write_text('{"free": true}\n')
                except OSError:  # the disk is full: an empty claim would be waited for
                    self.file.unlink()
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
    with open(folder / "lock", "ab", opener=no_link) as stream:
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
    """What the living holder of a folder wrote in its claim (host, pid, origin, time); None where there is none."""
    locks = True
    number, content = _latest(folder)
    known = {key: value for key, value in content.items() if key != "free"}
    try:
        with open(folder / "lock", "rb") as stream:
            locks = _lock(stream.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return known
    beat = _beat(folder, number)
    dead = _is_over(content, locks) or (beat is not None and _is_old(folder, beat))
    return None if number == 0 or dead else known


def no_link(file: str, flags: int) -> int:
    """The opener of ``open`` for a file of a store that is written to.

    Args:
        file: its path.
        flags: as ``os.open`` takes them.

    Returns:
        The descriptor.

    Raises:
        OSError: it is a symbolic link.
    """
    try:
        return os.open(file, flags | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(
                errno.ELOOP, "is a link, and nothing is written outside the store; remove it", file
            ) from None
        raise


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
    watched = _Watched()
    while True:
        number, content = _latest(folder)
        if number == 0 or _is_over(content, locked) or watched.is_dead(folder, number):
            file = folder / f"claim.{number + 1}"
            try:
                handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                continue
            try:
                with os.fdopen(handle, "w") as stream:
                    stream.write(json.dumps(_myself()) + "\n")
            except OSError as error:
                file.unlink()  # the disk is full: an empty claim would be waited for
                raise OSError(error.errno, error.strerror, str(file)) from error
            return Claim(file)
        time.sleep(LOOK)


@dataclass
class _Watched:
    """The claim of another machine, looked at again and again by this process's own stopwatch.

    The clock of a file system may jump, too, and then every claim looks old or from the future at once: so one that
    looks dead is taken over only after it was seen not to beat for a while.
    """

    seen: tuple[int, float] = (0, 0.0)
    since: float = 0.0

    def is_dead(self, folder: Path, number: int) -> bool:
        beat = _beat(folder, number)
        if beat is None:
            return False  # it was just removed: look again
        if self.seen != (number, beat):
            self.seen, self.since = (number, beat), time.monotonic()
        return time.monotonic() - self.since > STALE / SURE and _is_old(folder, beat)


def _latest(folder: Path) -> tuple[int, Mapping[str, Any]]:
    """The highest number of a claim and its content, empty where it cannot be read (yet); 0 where there is none."""
    number = max((_number(name) for name in os.listdir(folder)), default=0)
    try:
        content = json.loads((folder / f"claim.{number}").read_bytes())
    except (OSError, ValueError):
        return number, {}
    return number, content if isinstance(content, dict) else {}


def _number(name: str) -> int:
    begin, _, number = name.partition(".")
    return int(number) if begin == "claim" and number.isdecimal() else 0


def _is_over(said: Mapping[str, Any], locks: bool) -> bool:
    """Whether a claim shows that no process holds it, whatever its heartbeat.

    Args:
        said: its content.
        locks: whether the lock of this machine is known to be free, or held by this process.
    """
    mine = _myself()
    if said.get("free"):
        return True
    if said and locks and said.get("boot") == mine["boot"]:
        return True
    return _started_before(said.get("origin"), mine["origin"])


def _started_before(other: Any, mine: Mapping[str, Any]) -> bool:
    """Whether another origin is an earlier start of the same submission: a queue starts a submission again only when it
    has ended everywhere."""
    if not isinstance(other, dict) or not mine.get("id"):
        return False
    same = (other.get("launcher"), other.get("id")) == (mine.get("launcher"), mine["id"])
    return same and int(other.get("restarts") or 0) < int(mine.get("restarts") or 0)


def _beat(folder: Path, number: int) -> float | None:
    """When a claim last showed life, by the clock of the file system; None where it is gone."""
    try:
        with open(folder / f"claim.{number}", "rb") as stream:  # opened, so that NFS asks the server
            return os.fstat(stream.fileno()).st_mtime
    except FileNotFoundError:
        return None


def _is_old(folder: Path, beat: float) -> bool:
    """Whether nobody who lives can have beaten then: too long ago, or in a future that the clock jumped back from."""
    return abs(_now(folder) - beat) > STALE


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
        "origin": origin(),
        "time": time.time(),
    }


@lru_cache
def _boot() -> str:
    """This start of this machine's kernel: what its locks reach."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()
