"""What processes that were killed leave in the folder of a job."""

from __future__ import annotations

import os
from pathlib import Path

CHECKPOINT = "last.ckpt"
#: What a folder holds only while its job runs: how these names begin.
_PASSING = ("progress.json", CHECKPOINT, "claim.", ".")
#: Unfinished files that others than its holder may be writing.
_OF_LAUNCHERS = (".job.json.", ".submitted.json.", ".failed.json.")


def is_cluttered(folder: Path) -> bool:
    """Whether anything is left in the folder of a finished job."""
    return any(name.startswith(_PASSING) for name in os.listdir(folder))


def clear(folder: Path, done: bool) -> None:
    """Removes what an earlier holder of a job left unfinished. Only its present holder may.

    Args:
        folder: of the job.
        done: the job is finished; then what told of its course goes, too.
    """
    for place in (folder, folder / "evaluations", folder / "scores"):
        for file in () if place.is_symlink() else place.glob("*.tmp"):
            if not file.name.startswith(_OF_LAUNCHERS):
                file.unlink(missing_ok=True)
    for name in ("progress.json", CHECKPOINT) if done else ():
        (folder / name).unlink(missing_ok=True)
