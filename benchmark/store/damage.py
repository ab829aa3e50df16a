"""Whether the files of finished jobs are still what was written."""

from __future__ import annotations

from .job_folder import JobFolder
from .names import StoreError


def damage(job: JobFolder) -> list[str]:
    """Reads every file of a finished job that has a hash, and compares it.

    Args:
        job: its folder; one that is not done has no hashes.

    Returns:
        One line for each file that has changed or cannot be read.
    """
    if not job.is_done():
        return []
    found: list[str] = []
    reads = [(job.read, name) for name in job.hashed_names()]
    reads += [(job.read_evaluation, name) for name in job.evaluation_names()]
    for read, name in reads:
        try:
            read(name)
        except StoreError as error:
            found.append(str(error))
    return list(dict.fromkeys(found))
