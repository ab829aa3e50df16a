"""A job without work, as a worker does it: held, begun, finished. Workers import it by its name."""

from __future__ import annotations

from mmbench.benchmark.core.job import Job
from mmbench.benchmark.store.job_folder import RESULTS
from mmbench.benchmark.store.store import Store
from mmbench.benchmark.train.context import Context, Outcome


def nothing(job: Job, context: Context) -> Outcome:
    """All of a job but its training: what ``run_job`` asks of the store and writes to it."""
    store = Store(context.store)
    with store.job(job.id).hold() as claim:
        assert not store.job(job.id).is_done()
        store.job(job.id).begin()
        claim.check()
        store.job(job.id).finish(dict.fromkeys(RESULTS, b"nothing"), {"seconds": {}})
    return Outcome(job.id, ok=True)
