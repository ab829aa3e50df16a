"""Removes files that killed processes left in the folder of a job."""

from __future__ import annotations

import os
from pathlib import Path

CHECKPOINT = "last.ckpt"
#: How the names of files begin that are there only while the job runs.
_PASSING = ("progress.json", CHECKPOINT, "claim.", ".")
#: How the names of temporary files begin that a launcher may be writing while another process holds the job.
_OF_LAUNCHERS = (".job.json.", ".submitted.json.", ".failed.json.")


def is_cluttered(folder: Path) -> bool:
    """Whether the folder of a finished job holds files that belong to a running one."""
    return any(name.startswith(_PASSING) for name in os.listdir(folder))


def clear(folder: Path, done: bool) -> None:
    """Removes what an earlier holder of a job left unfinished. Only the process that holds the job may call it.

    Args:
        folder: the folder of the job.
        done: whether the job is finished; its progress and its checkpoint are then removed, too.
    """
    for place in (folder, folder / "evaluations", folder / "scores"):
        for file in () if place.is_symlink() else place.glob("*.tmp"):
            if not file.name.startswith(_OF_LAUNCHERS):
                file.unlink(missing_ok=True)
    for name in ("progress.json", CHECKPOINT) if done else ():
        (folder / name).unlink(missing_ok=True)
