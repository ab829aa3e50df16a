"""SLURM's answers: which jobs are queued, how jobs ended, how large an array may be."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable

from ..benchmark.launch.detached import UnreachableError

#: Of arrays, where the site cannot be asked: SLURM's own default.
DEFAULT_ARRAY = 1001


#: How the accounting's word begins for what somebody ended.
CANCELLED = "CANCELLED"


def can_submit() -> bool:
    """Whether this machine has SLURM's command that submits jobs."""
    return shutil.which("sbatch") is not None


def _ask(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        message = str(getattr(error, "stderr", "") or error).strip()
        raise UnreachableError(message.splitlines()[-1] if message else "no answer") from None


def alive() -> dict[str, str]:
    """Id -> state (``PENDING``, ``RUNNING``, ...) of the user's array tasks and jobs that SLURM still has.

    Raises:
        UnreachableError: it does not answer.
    """
    lines = _ask("squeue", "--me", "--array", "--noheader", "--format=%i %T").splitlines()
    return dict(line.split()[:2] for line in lines if line.strip())


def endings(jobs: Iterable[str]) -> dict[str, str]:
    """How jobs that are gone ended, as the accounting has it: ``TIMEOUT``, ``CANCELLED by 0``. Without those that it
    does not know; it keeps nothing of what was cancelled before it began."""
    names = sorted(set(jobs))
    states: dict[str, str] = {}
    for start in range(0, len(names), 500):
        asked = ",".join(names[start : start + 500])
        try:
            answer = _ask("sacct", "-n", "-X", "-P", "-j", asked, "--format=JobID,State")
        except UnreachableError:
            return states
        rows = (line.partition("|") for line in answer.splitlines())
        states |= {name.strip(): state.strip() for name, _, state in rows}
    return states


def array_limit() -> int:
    """The most tasks of an array on this site (``MaxArraySize``)."""
    try:
        match = re.search(r"MaxArraySize\s*=\s*(\d+)", _ask("scontrol", "show", "config"))
    except UnreachableError:
        return DEFAULT_ARRAY
    return max(1, int(match[1])) if match else DEFAULT_ARRAY


def cancel(jobs: Iterable[str]) -> None:
    """Cancels array tasks.

    Raises:
        UnreachableError: SLURM does not answer.
    """
    names = sorted(jobs)
    for start in range(0, len(names), 100):
        _ask("scancel", *names[start : start + 100])
