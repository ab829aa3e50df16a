"""The version of the code, and the machine that it runs on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any

#: The environment variable in which a launcher says where a job runs; see ``origin``.
ORIGIN = "MMBENCH_ORIGIN"


@lru_cache
def code_version() -> str:
    """The commit of the checkout mmbench runs from, with ``+changes.HASH`` where files differ; ``installed.HASH``
    else. The hash is of mmbench's own source files."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return f"installed.{_sources(root)}"
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + (f"+changes.{_sources(root)}" if _git(root, "status", "--porcelain", *_OWN) else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


_OWN = ("benchmark", "corruptions", "datasets", "methods", "regimes", "slurm")


def _sources(root: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(file for folder in _OWN for file in (root / folder).rglob("*.py")):
        digest.update(f"{file.relative_to(root)} ".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()


@lru_cache
def gpu_names() -> tuple[str, ...]:
    """The GPUs of this machine that this process may use, found without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # As CUDA reads it: what follows a -1 is not seen.
        return tuple(takewhile(lambda item: item not in ("", "-1"), map(str.strip, visible.split(","))))
    if shutil.which("nvidia-smi") is None:
        return ()
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    count = sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    return tuple(str(index) for index in range(count))


def gpu_bytes() -> int | None:
    """The memory of the largest GPU of this machine, in bytes, found without importing torch; None where nothing says it."""
    if shutil.which("nvidia-smi") is None or not gpu_names():
        return None
    words = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True).stdout
        return max((int(line) for line in listed.split()), default=0) * 2**20 or None
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def machine_bytes() -> int | None:
    """The memory of this machine, or of the control group that this process is in, in bytes; None where nothing says it."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        whole = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:"))
    except (OSError, ValueError, StopIteration):
        return None
    with contextlib.suppress(OSError, ValueError):  # no such group, or "max"
        whole = min(whole, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return whole


def no_such_gpu(device: str, count: int, remedy: str = "--device cpu") -> str:
    """Why a device cannot be used, and what to ask for in its place.

    Args:
        device: as it was asked for: ``cuda`` or ``cuda:N``, of which this process may use none, or not that one.
        count: of the GPUs that it may use.
        remedy: what to write in its place.
    """
    if count:
        there = ", ".join(f"cuda:{place}" for place in range(count))
        return f"--device {device}: only {there} can be used here: name what is there, or {remedy}"
    hidden = " (CUDA_VISIBLE_DEVICES hides all)" if "CUDA_VISIBLE_DEVICES" in os.environ else ""
    return (
        f"--device {device}: no GPU can be used here{hidden}: use {remedy}; mmbench doctor says what is there"
    )


def cores() -> int:
    """The cores that this process may use."""
    import os

    return len(os.sched_getaffinity(0))


def origin() -> dict[str, Any]:
    """Where this process runs, as the launcher that started it says in ``MMBENCH_ORIGIN``, a JSON object.

    Returns:
        ``launcher`` and ``id``, as in a job's ``submitted.json``; ``restarts``, how often the launcher has started
        the same submission again; and whatever else the launcher tells. Empty where it says nothing.
    """
    try:
        facts = json.loads(os.environ.get(ORIGIN) or "{}")
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}
