"""A launcher from outside: background processes of this machine, which go on when the command has ended.

    mmbench run --methods erm --datasets mosi --launcher background --plugin launcher.py --workers 2
    mmbench status --plugin launcher.py
    mmbench cancel --plugin launcher.py

It is a small queue: every process is given its share of the jobs, and is known by its number. A launcher for another
queue differs in what ``batches`` submits, and in whom ``alive`` and ``cancel`` ask.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from mmbench.benchmark.core.job import Job
from mmbench.benchmark.launch.detached import Detached, JobBatch
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.store.job_folder import Submission
from mmbench.benchmark.train.context import Context
from pydantic import TypeAdapter

LAUNCHERS = {"background": "Background"}
#: Writes a context as plain values, and reads it: unlike pickles, they run nothing.
CONTEXT = TypeAdapter(Context)


@dataclass(frozen=True)
class Background(Detached):
    """Background processes that share the jobs, on the CPU.

    Attributes:
        workers: how many processes, at most.
    """

    name: ClassVar[str] = "background"

    workers: int = 1

    @classmethod
    def from_experiment(cls, experiment: Experiment, networks: int) -> Background:
        """As many processes as ``--workers`` says, one without it."""
        return cls(experiment.workers or 1)

    @property
    def device(self) -> str:
        """The CPU."""
        return "cpu"

    def batches(self, jobs: Sequence[Job], context: Context) -> Iterator[JobBatch]:
        """One share of the jobs for each process."""
        for place in range(min(self.workers, len(jobs))):
            share = list(jobs[place :: self.workers])
            yield JobBatch(tuple(job.id for job in share), partial(start, share, context))

    @classmethod
    def alive(cls, ids: Collection[str]) -> set[str]:
        """The processes that live. The number of one that ended may be another program's by now."""
        return {number for number in ids if Path(__file__).name.encode() in command_line(number)}

    @classmethod
    def cancel(cls, ids: Collection[str]) -> None:
        """Ends processes."""
        for number in ids:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(int(number), signal.SIGKILL)  # a training takes SIGTERM for a hint


def start(jobs: list[Job], context: Context) -> dict[str, Submission]:
    """Starts a process for some jobs; id of a job -> where it was queued."""
    folder = context.store / Background.name
    folder.mkdir(exist_ok=True)
    log = folder / f"{jobs[0].id}.txt"
    with open(log, "ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-P", __file__],  # -P: its folder holds no modules
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            start_new_session=True,  # Ctrl-C at the terminal is not for it
        )
    assert process.stdin
    told = {"jobs": [job.to_dict() for job in jobs], "context": CONTEXT.dump_python(context, mode="json")}
    with process.stdin as stream:
        stream.write(json.dumps(told).encode())
    return {job.id: Submission(Background.name, str(process.pid), log=str(log)) for job in jobs}


def command_line(process: str) -> bytes:
    """What a process was started with; empty where it has ended."""
    try:
        return Path("/proc", process, "cmdline").read_bytes()
    except OSError:
        return b""


def main() -> None:
    """What such a process does: one job after the other."""
    os.environ["MMBENCH_ORIGIN"] = json.dumps({"launcher": Background.name, "id": str(os.getpid())})
    from mmbench.benchmark.launch.worker import see_gpu, work, work_logged

    see_gpu("")
    told = json.load(sys.stdin)
    context = CONTEXT.validate_python(told["context"])
    for values in told["jobs"]:
        work_logged(Job.from_dict(values), context, work)


if __name__ == "__main__":
    main()
