"""How fast the command answers where nothing is trained.

    python tests/speed/cli.py

Every command is a new process, as a user starts it, timed from its start to its end: once to warm up, then in
rounds of all commands. ``status`` and a ``plan`` of 500 see a store of 500 jobs, every second one done. The plan of
the published search, 11,115 networks, has a promise of its own, and is of stand-ins with an empty store. An
empty Python and the processor time of ``--help`` are shown beside: where that time is much shorter than
the answer took, other work was in the way, and the promise is about an idle machine.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from measure import Row, median, print_machine, print_table, scratch, write_data
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.job_matrix import jobs_of
from mmbench.benchmark.store.job_folder import RESULTS
from mmbench.benchmark.store.store import Store

ROUNDS = 11
JOBS = 500
PROMISED = 0.5
PROMISED_SEARCH = 2.0
SEARCH = "mmbench plan, 11,115 networks"
SUITE = ("epic", "hac", "hust", "mosei", "sims")
NINE = "erm,rna,simmmdg,moosa,cmrf,nel,jat,mbcd,gmp"


def fill(store: Path, data: Path) -> None:
    """Writes 500 jobs, every second one with results."""
    experiment = Experiment.read(
        {
            "methods": ["erm"],
            "datasets": ["mosi"],
            "seeds": list(range(JOBS)),
            "store": store,
            "data_root": data,
        }
    )
    jobs = jobs_of(experiment)
    results = Store(store)
    results.add(jobs)
    for job in jobs[::2]:
        results.job(job.id).finish(dict.fromkeys(RESULTS, b"nothing"), {})


def seconds(command: list[str]) -> tuple[float, float]:
    """Wall and processor time of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode:
        sys.exit(f"{' '.join(command)}: {ended.stderr or ended.stdout}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    print_machine()
    beside = Path(sys.executable).with_name("mmbench")
    mmbench = str(beside) if beside.exists() else shutil.which("mmbench")
    if mmbench is None:
        sys.exit("no command mmbench: install the package first")
    with scratch() as folder:
        data, store = folder / "data", folder / "runs"
        write_data(data)
        fill(store, data)
        seconds([mmbench, "data", "synth", ",".join(SUITE), "--data-root", str(data)])
        for file in data.rglob("*.*"):  # as if it had lain there: the hash of a file just written is not kept
            long_ago = file.stat().st_mtime - 3600
            os.utime(file, (long_ago, long_ago))
        # One thread each, as in the workers: starting more is not what is measured.
        os.environ |= {"MMBENCH_DATA": str(data), "OMP_NUM_THREADS": "1"}
        plan = [
            mmbench,
            "plan",
            "--methods",
            "erm,ebmc",
            "--datasets",
            "mosi",
            "--store",
            str(folder / "new"),
        ]
        large = [mmbench, "plan", "--methods", "erm", "--datasets", "mosi", "--seeds", f"0-{JOBS - 1}"]
        search = [mmbench, "plan", "--suite", "mmdg", "--preset", "paper", "--methods", NINE]
        commands = {
            "mmbench --help": [mmbench, "--help"],
            "mmbench list methods": [mmbench, "list", "methods"],
            "mmbench plan, 10 jobs": plan,
            f"mmbench plan, {JOBS} jobs": [*large, "--store", str(store)],
            f"mmbench status, {JOBS} jobs": [mmbench, "status", "--store", str(store)],
            SEARCH: [*search, "--store", str(folder / "new")],
            "an empty Python": [sys.executable, "-c", "pass"],
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for turn in range(ROUNDS + 1):
            for name, command in commands.items():
                spent = seconds(command)
                if turn:
                    times[name].append(spent)
    rows = []
    for name, spent in times.items():
        promised = {SEARCH: PROMISED_SEARCH}.get(name, PROMISED if name.startswith("mmbench") else None)
        processor, *_ = median([cpu for _, cpu in spent])
        note = f"processor time {processor:.3f} s"
        rows.append(Row(name, *median([wall for wall, _ in spent]), "s", promised, note))
    print_table(f"The command, {ROUNDS} runs each", rows)


if __name__ == "__main__":
    main()
