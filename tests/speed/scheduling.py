"""What it costs to hand out jobs, on this machine and to SLURM.

    python tests/speed/scheduling.py [pool|slurm|status|launchers]...

An empty job goes through the local pool as any other: sent to a worker, held, begun, its results written and
flushed, its done marker, its outcome back; only its training is left out. Starting the workers is included.
SLURM is given the number of networks of the published search at once, by the command: from its start until the last
job is queued and written down. Each array task begins with a long sleep, and all are cancelled, so nothing is trained;
where no SLURM answers this is left out. ``status`` sees the published search in the middle: done, running, queued,
failed, not begun. Last, eight launchers run the same experiment at once; each network is counted when it is trained.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from empty import nothing
from measure import Row, median, print_machine, print_table, scratch, write_data
from mmbench.benchmark.core.job import Job
from mmbench.benchmark.launch.local_pool import LocalPool
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.job_matrix import jobs_of
from mmbench.benchmark.search.study import studies_of
from mmbench.benchmark.search.trials import repeat_of
from mmbench.benchmark.store.job_folder import RESULTS, Submission
from mmbench.benchmark.store.store import Store
from mmbench.benchmark.train.context import Context

MMBENCH = str(Path(sys.executable).with_name("mmbench"))
NINE = "erm,rna,simmmdg,moosa,cmrf,nel,jat,mbcd,gmp"
SUITE = ("epic", "hac", "hust", "mosei", "mosi", "sims")
ROUNDS, EMPTY, STATUSES = 3, 1000, 11
LAUNCHERS, SHARED = 8, 24
now = time.perf_counter

#: Writes down each network when it was trained.
WITNESS = '''
import os
from dataclasses import dataclass

from mmbench.methods.erm import ERM
from mmbench.methods.method import fixed

METHODS = {"witnessed": "Witnessed"}


@dataclass(frozen=True)
class WitnessedParams:
    width: int = fixed(40)
    layers: int = fixed(1)


class Witnessed(ERM):
    """Trained for one epoch."""

    Params = WitnessedParams

    def after_epoch(self, validation_loss):
        with open(os.environ["WITNESS"], "a") as file:
            file.write(f"{os.getpid()}\\n")
'''


def main() -> None:
    print_machine()
    with scratch() as root:
        write_data(root / "small")
        command("data", "synth", ",".join(SUITE), "--data-root", str(root / "data"))
        long_ago = time.time() - 3600
        for file in root.glob("data/**/*.*"):  # the hash of a file just written is not kept
            os.utime(file, (long_ago, long_ago))
        parts = {"pool": pools, "slurm": submission, "status": status, "launchers": launchers}
        for name in sys.argv[1:] or parts:
            parts[name](root)


def command(*arguments: str, **environment: str) -> str:
    """What mmbench says."""
    ended = subprocess.run(
        [MMBENCH, *arguments], capture_output=True, text=True, env={**os.environ, **environment}
    )
    if ended.returncode:
        sys.exit(f"mmbench {' '.join(arguments)}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}")
    return ended.stdout


def pools(root: Path) -> None:
    rows = [pool(root, workers) for workers in dict.fromkeys((1, len(os.sched_getaffinity(0))))]
    print_table(f"Empty jobs by the local pool, {ROUNDS} times", rows)


def pool(root: Path, workers: int) -> Row:
    """Empty jobs by the local pool."""
    each = []
    for turn in range(ROUNDS):
        asked = {"methods": "erm", "datasets": "mosi", "seeds": f"0-{EMPTY - 1}"}
        place = {"data_root": root / "small", "store": root / f"empty-{workers}-{turn}"}
        experiment = Experiment.read({**asked, **place})
        store, jobs = Store(experiment.store), jobs_of(experiment)
        store.add(jobs)
        began = now()
        outcomes = list(
            LocalPool(workers, work=nothing).run(jobs, Context(experiment.store, experiment.root))
        )
        each.append((now() - began) / EMPTY)
        if not all(outcome.ok for outcome in outcomes) or not all(
            store.job(job.id).is_done() for job in jobs
        ):
            sys.exit(f"an empty job failed: {next(one for one in outcomes if not one.ok)}")
    return Row(f"an empty job, of {EMPTY} by {workers} workers", *median(each), "ms", 0.030)


def submission(root: Path) -> None:
    """The command until all jobs are with SLURM."""
    if subprocess.run("sinfo", shell=True, capture_output=True).returncode:
        print("no SLURM answers, so nothing is submitted: tests/slurm_cluster.sh start, and its env.sh")
        return
    (root / "config/mmbench/slurm").mkdir(parents=True)
    (root / "config/mmbench/slurm/asleep.yaml").write_text("setup: [exec sleep 600]\n")
    seconds, tasks, jobs = [], set(), []
    for turn in range(ROUNDS):
        # As many networks as the published search, which asks for them in two waves.
        asked = {"suite": "mmdg", "methods": NINE, "seeds": "0-12"}
        store = root / f"queued-{turn}"
        jobs = jobs_of(Experiment.read({**asked, "data_root": root / "data", "store": store}))
        words = [word for key, value in asked.items() for word in (f"--{key}", value)]
        words += ["--data-root", str(root / "data"), "--store", str(store)]
        notes = [store / "jobs" / job.id / "submitted.json" for job in jobs]
        began = now()
        launcher = subprocess.Popen(
            [MMBENCH, "run", *words, "--launcher", "slurm", "--slurm", "asleep"],
            stdout=subprocess.DEVNULL,
            env={**os.environ, "XDG_CONFIG_HOME": str(root / "config")},
        )
        try:
            while notes and launcher.poll() is None:
                notes = [note for note in notes if not note.exists()]
                time.sleep(0.1)
            seconds.append(now() - began)
            if notes:
                sys.exit("the launcher ended before all was queued")
        finally:
            launcher.send_signal(signal.SIGINT)
            launcher.wait()
            command("cancel", "--store", str(store))
        tasks = {json.loads(file.read_bytes())["id"] for file in store.glob("jobs/*/submitted.json")}
    note = f"{len(tasks)} array tasks of {len({task.partition('_')[0] for task in tasks})} arrays"
    row = Row(f"planning and submitting {len(jobs)} jobs", *median(seconds), "s", 30.0, note)
    print_table(f"SLURM, {ROUNDS} times", [row])


def in_the_middle(root: Path, held: ExitStack) -> int:
    """The published search, with jobs in every state; how many there are."""
    from mmbench.benchmark.train.job_runner import Progress

    asked = {"suite": "mmdg", "methods": NINE, "preset": "paper"}
    experiment = Experiment.read({**asked, "data_root": root / "data", "store": root / "middle"})
    jobs: list[Job] = []
    for study in studies_of(experiment):
        trials = [study.sampled_job(index) for index in range(1 + study.trial.draws)]
        jobs += trials
        jobs += [repeat_of(trials[0], study.trial, index) for index in range(study.trial.repeats)]
    store = Store(experiment.store)
    store.add(jobs)
    score = {"metric": 0.5, "loss": 1.0}
    fit = {"metric": "accuracy", "selected_epoch": 0, "selected_by": score, "epochs": []}
    results = {**dict.fromkeys(RESULTS, b"nothing"), "fit.json": json.dumps(fit).encode()}
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda job: store.job(job.id).finish(results, {}), jobs[: len(jobs) // 2]))
        list(threads.map(lambda job: store.job(job.id).fail("on purpose"), jobs[len(jobs) // 2 :: 20]))
    queued = enumerate(jobs[len(jobs) // 2 + 1 :: 3])
    store.submit({job.id: Submission("slurm", f"{place}_0") for place, job in queued})
    for job in jobs[len(jobs) // 2 + 2 :: 60]:
        claim = held.enter_context(store.job(job.id).hold())
        Progress(store.job(job.id).path / "progress.json", 20, claim)
    return len(jobs)


def status(root: Path) -> None:
    """The command on a store of many jobs."""
    with ExitStack() as held:
        count = in_the_middle(root, held)
        # No SLURM knows what is queued there, so none is asked.
        environment = {name: value for name, value in os.environ.items() if name != "SLURM_CONF"}
        seconds, said = [], ""
        for turn in range(STATUSES + 1):
            began = now()
            asked = [MMBENCH, "status", "--store", str(root / "middle")]
            said = subprocess.run(asked, capture_output=True, text=True, env=environment).stdout
            if turn:
                seconds.append(now() - began)
    note = said.partition(": ")[2].partition("\n")[0]
    row = Row(f"mmbench status of {count} jobs", *median(seconds), "s", 2.0, note)
    print_table(f"The state of a store, {STATUSES} times", [row])


def launchers(root: Path) -> None:
    """What came of an experiment that many launchers ran at once."""
    (root / "witnessed.py").write_text(WITNESS)
    witness, store = root / "witness", root / "shared"
    asked = ["--methods", "witnessed", "--plugin", str(root / "witnessed.py"), "--datasets", "mosi"]
    asked += ["--seeds", f"0-{SHARED - 1}", "--epochs", "1", "--device", "cpu", "--workers", "1"]
    asked += ["--data-root", str(root / "small"), "--store", str(store)]
    environment = {**os.environ, "WITNESS": str(witness), "OMP_NUM_THREADS": "1"}
    began = now()
    started = [
        subprocess.Popen([MMBENCH, "run", *asked], stdout=subprocess.DEVNULL, env=environment)
        for _ in range(LAUNCHERS)
    ]
    codes = Counter(process.wait() for process in started)
    seconds = now() - began
    trained = len(witness.read_text().split())
    done = sum(record.state == "done" for record in Store(store))
    verdict = "holds" if (codes, trained, done) == (Counter({0: LAUNCHERS}), SHARED, SHARED) else "BROKEN"
    print(
        f"\n{LAUNCHERS} launchers of {SHARED} jobs at once: {done} done, {trained} trained by "
        f"{len(set(witness.read_text().split()))} processes, {codes[0]} launchers content, "
        f"{seconds:.0f} s: nothing lost or doubled: {verdict}"
    )


if __name__ == "__main__":
    main()
