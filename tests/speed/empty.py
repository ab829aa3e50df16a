"""A job without work, as a worker does it: held, begun, finished. Workers import it by its name."""

from __future__ import annotations

from mmbench.benchmark.core.job import Job
from mmbench.benchmark.launch.local_pool import Context, Outcome
from mmbench.benchmark.store.store import RESULTS, Store


def nothing(job: Job, context: Context) -> Outcome:
    """All of a job but its training: what ``run_job`` asks of the store and writes to it."""
    store = Store(context.store)
    with store.hold(job.id) as claim:
        assert not store.is_done(job.id)
        store.begin(job.id)
        claim.check()
        store.finish(job.id, dict.fromkeys(RESULTS, b"nothing"), {"seconds": {}})
    return Outcome(job.id, ok=True)
