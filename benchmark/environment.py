"""What code and machine this is."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import lru_cache
from itertools import takewhile
from pathlib import Path


@lru_cache
def code_version() -> str:
    """The commit of the checkout mmbench runs from, with ``+changes`` where files differ; "installed"
    else."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return "installed"
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


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
