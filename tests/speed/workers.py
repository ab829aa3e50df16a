"""What it costs to start local workers: forked from a server that imports once, or each with its own imports.

    python tests/speed/workers.py

A worker is ready when it has imported torch and Lightning. Each measurement is a process of its own, because a server lives on;
both ways take turns. CPU time is that of the process and of all that it starts.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

from measure import Row, estimate, median, print_machine, print_table

ROUNDS, COUNTS = 3, (1, 2, 4)

#: Starts workers, waits until all are ready, and leaves nothing behind that would not be counted.
START = """
import os, sys
from importlib import import_module
from multiprocessing import forkserver
from mmbench.benchmark.core.processes import ONE_THREAD, SafeContext, importing_once
from mmbench.benchmark.launch.local_pool import SHARED

os.environ |= ONE_THREAD
context = importing_once(SHARED, ONE_THREAD) if sys.argv[1] == "forked" else SafeContext()
workers = [context.Process(target=import_module, args=[SHARED[-1]]) for _ in range(int(sys.argv[2]))]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
    assert worker.exitcode == 0
if sys.argv[1] == "forked":
    forkserver._forkserver._stop()
"""


def main() -> None:
    print_machine()
    rows = []
    for count in COUNTS:
        pairs = [[*_start("forked", count), *_start("own", count)] for _ in range(ROUNDS)]
        for place, what in enumerate(("wall", "CPU")):
            timed = {"pair": [[pair[place], pair[2 + place]] for pair in pairs]}
            for name, side in (("forked", 0), ("each with its own imports", 1)):
                rows.append(
                    Row(
                        f"{count} workers, {name}, {what}",
                        *median([pair[place + 2 * side] for pair in pairs]),
                        "s",
                    )
                )
            ratio = estimate(timed, lambda medians: float(medians["pair"][0] / medians["pair"][1]))
            rows.append(Row(f"{count} workers, {what}: forked / own imports", *ratio, "x"))
    print_table("workers that have imported torch and Lightning", rows)


def _start(way: str, count: int) -> tuple[float, float]:
    """Seconds of the wall and of processors until so many workers were ready."""
    before, begin = _processors(), time.perf_counter()
    subprocess.run([sys.executable, "-c", START, way, str(count)], check=True)
    return time.perf_counter() - begin, _processors() - before


def _processors() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
