"""Tables over a whole benchmark: 7,402 finished jobs under 104 conditions each.

    python tests/speed/tables.py [JOBS]

The predictions are planted: 54 networks (nine methods, three seeds, regression and classification), each on 686
test samples, clean, with modalities missing, under damage, and with an OOD set. They are scored for real, which
is timed; then every job of the benchmark links to the files of one of them, so that the store has all its files
without their hours. Tables: every leaderboard of the whole store as a frame and as a CSV file, in a new process.
From cold: in a store as ``mmbench run`` leaves it, where each worker has scored its job and the end of the run has
compared the rows of each block (which is timed, too), and no table is made yet. After a change: jobs of one block in
a hundred have ended since. With nothing kept but scores: every block is compared anew. Again: the same command.

Beside it, a store as a paper has it: 22 methods on four tasks, three seeds each, scored and with nothing else kept; its
tables, and its page with the tables alone and with pictures.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import Row, print_machine, print_table, scratch
from mmbench.benchmark.core.job import Data, Job
from mmbench.benchmark.report.block_cache import blocks_of
from mmbench.benchmark.report.results import Filter, results
from mmbench.benchmark.report.score_job import table_blocks
from mmbench.benchmark.store.store import Store
from mmbench.corruptions.missing import Missing
from rich.console import Console

SAMPLES, TRAIN, OOD, WIDTH, CLASSES = 686, 500, 400, 40, 6
METHODS = ("erm", "rna", "simmmdg", "moosa", "cmrf", "nel", "jat", "mbcd", "gmp")
SEEDS = (0, 1, 2)
#: Methods and tasks of the smaller store.
WIDE, TASKS = 22, 4
KINDS = ("gaussian-noise", "frame-dropout", "block-dropout", "freeze", "drift", "spikes")
MODALITIES = ("text", "audio", "vision")
now = time.perf_counter


def conditions() -> dict[str, list[str]]:
    """File -> its conditions: those of the predictions, then one file a corruption."""
    patterns = [condition.name for condition in Missing.conditions(MODALITIES)]
    rates = [f"random-modality@{k / 10:.1f}" for k in range(1, 8)]
    severe = {k: [f"{k}:{m}@{s}" for m in MODALITIES for s in range(1, 6)] for k in KINDS}
    return {"predictions": ["clean", *patterns], **severe, "random-modality": rates}


class Network:
    """A planted network: a method and a seed on one kind of task."""

    def __init__(self, kind: str, method: int, seed: int) -> None:
        self.kind, self.draw = kind, np.random.default_rng([method, seed])
        shared = np.random.default_rng(1)
        self.latent = shared.normal(size=SAMPLES)
        self.noise = 0.6 + 0.02 * method + 0.01 * seed
        self.classes = shared.integers(0, CLASSES, SAMPLES)

    def table(self, names: list[str]) -> pa.Table:
        """Outputs under some conditions."""
        parts = []
        for place, name in enumerate(names):
            noise = self.noise * (1 + place / len(names))
            columns = {
                "split": pa.array(["test"] * SAMPLES).dictionary_encode(),
                "condition": pa.array([name] * SAMPLES).dictionary_encode(),
                "sample_id": pa.array([f"utterance-{row:05d}" for row in range(SAMPLES)]),
                "domain": pa.array(["mosi"] * SAMPLES).dictionary_encode(),
                **self.outputs(SAMPLES, noise),
            }
            parts.append(pa.table(columns))
        return pa.concat_tables(parts).unify_dictionaries()

    def outputs(self, count: int, noise: float) -> dict[str, pa.Array]:
        """Target and answer of the first ``count`` samples."""
        if self.kind == "regression":
            score = self.latent[:count] + noise * self.draw.normal(size=count)
            target = np.clip(self.latent[:count], -3, 3).astype(np.float32)
            return {"target": pa.array(target), "score": pa.array(score.astype(np.float32))}
        logits = np.eye(CLASSES)[self.classes[:count]] + noise * self.draw.normal(size=(count, CLASSES))
        columns = {f"logit_{c}": pa.array(logits[:, c].astype(np.float32)) for c in range(CLASSES)}
        return {"target": pa.array(self.classes[:count]), **columns}

    def features(self, split: str, count: int, shift: float) -> pa.Table:
        """Clean outputs with features, for the OOD scores."""
        fused = (self.draw.normal(size=(count, WIDTH)) + shift).astype(np.float32)
        return pa.table(
            {
                "split": pa.array([split] * count).dictionary_encode(),
                "condition": pa.array(["clean"] * count).dictionary_encode(),
                "sample_id": pa.array([f"{split}-{row:05d}" for row in range(count)]),
                "domain": pa.array(["mosi"] * count).dictionary_encode(),
                **self.outputs(count, self.noise),
                "fused": pa.FixedSizeListArray.from_arrays(pa.array(fused.ravel()), WIDTH),
            }
        )


def write_network(folder: Path, network: Network) -> None:
    """The prediction files of a network, with their markers."""
    (folder / "evaluations").mkdir(parents=True)
    for name, names in conditions().items():
        file = folder / ("predictions.parquet" if name == "predictions" else f"evaluations/{name}.parquet")
        pq.write_table(network.table(names), file, compression="zstd")
    own = [network.features("train", TRAIN, 0), network.features("test", SAMPLES, 0.1)]
    pq.write_table(pa.concat_tables(own).unify_dictionaries(), folder / "evaluations/features.parquet")
    pq.write_table(network.features("ood-mosei", OOD, 0.8), folder / "evaluations/ood-mosei.parquet")
    for file in (folder / "evaluations").glob("*.parquet"):
        marker = {"schema": 1, **stamp(file)}
        file.with_suffix(".json").write_text(json.dumps(marker))
    (folder / "fit.json").write_text(json.dumps({"parameters": 342881, "selected_epoch": 7}))
    (folder / "environment.json").write_text(
        json.dumps({"seconds": {"fit": 12.5, "predict": 1.5}, "peak_process_memory_bytes": 2**30})
    )


def stamp(file: Path) -> dict[str, object]:
    """Size and hash of a file."""
    content = file.read_bytes()
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def jobs(count: int, methods: int = len(METHODS)) -> Iterator[tuple[str, Job]]:
    """The jobs of the benchmark, block after block, each with the name of its network; of more methods than there are
    networks, several share one."""
    protocol = {"name": "fair", "selection": "source-validation", "epochs": 20}
    for number, (method, seed) in zip(range(count), endless(methods), strict=False):
        block = number // (methods * len(SEEDS))
        name = METHODS[method % len(METHODS)]
        label = name if method < len(METHODS) else f"{name}-{method}"
        kind = ("regression", "classification")[block % 2]
        job = Job(
            task=f"source{block:03d}->target",
            method=label,
            params={"width": 40},
            version="1",
            modalities=MODALITIES,
            data=(Data("target", "0" * 64, "open", True),),
            protocol=protocol,
            seed=seed,
            label=label,
            metrics="mosi" if kind == "regression" else "classification",
        )
        yield f"{kind}-{name}-{seed}", job


def endless(methods: int) -> Iterator[tuple[int, int]]:
    while True:
        yield from product(range(methods), SEEDS)


def add_job(store: Store, job: Job, network: Path) -> Path:
    """A finished job whose results are links to those of a network."""
    folder = store.job(job.id).path
    (folder / "evaluations").mkdir(parents=True)
    for file in [*network.glob("*.*"), *network.glob("evaluations/*")]:
        os.link(file, folder / file.relative_to(network))
    (folder / "job.json").write_text(json.dumps({"schema": 1, **job.to_dict()}))
    files = {name: stamp(network / name) for name in ("predictions.parquet", "fit.json")}
    files["job.json"] = stamp(folder / "job.json")
    (folder / "done.json").write_text(json.dumps({"schema": 1, "files": files}))
    return folder


def build(root: Path, count: int) -> tuple[float, float]:
    """The store; seconds that scoring one job took with all tables, and with one new metric."""
    networks, small, store = root / "networks", Store(root / "small"), Store(root / "runs")
    kinds = ("regression", "classification")
    for kind, method, seed in product(kinds, range(len(METHODS)), SEEDS):
        write_network(networks / f"{kind}-{METHODS[method]}-{seed}", Network(kind, method, seed))
    chosen = dict(jobs(2 * len(METHODS) * len(SEEDS)))
    for name, job in chosen.items():
        add_job(small, job, networks / name)
    first = tables(small.path, root / "first")[0]
    wide = Store(root / "wide")
    for into, each in ((store, jobs(count)), (wide, jobs(WIDE * TASKS * len(SEEDS), WIDE))):
        for name, job in each:
            folder = add_job(into, job, networks / name)
            (folder / "scores").mkdir()
            scored = small.job(chosen[name].id).path / "scores"
            for file in scored.iterdir():
                os.link(file, folder / "scores" / file.name)
    return first / len(chosen), new_metric(small.path) / len(chosen)


def tables(store: Path, out: Path, kind: str = "csv") -> tuple[float, float]:
    """Seconds, and GiB at the most, of the command that makes every table of a store."""
    began = now()
    command = [Path(sys.executable).parent / "mmbench", "leaderboard", "--store", store, "--out", out]
    usage = ["/usr/bin/env", "python3", "-c", _WATCH, *command, "--what", "all", "--format", kind]
    done = subprocess.run(usage, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    return now() - began, int(re.findall(r"peak (\d+)", done.stderr)[-1]) / 2**20


_WATCH = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


def new_metric(store: Path) -> float:
    """Seconds to score every job of a store with a metric that was not there before: in as many processes as tables
    of a large store are made in, which are there already."""
    halves = [frozenset(block.jobs) for block in blocks_of(Store(store))]
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        list(pool.map(score_anew, [store] * cores, [frozenset(list(half)[:1]) for half in halves]))
        began = now()
        list(pool.map(score_anew, [store] * len(halves), halves))
        return now() - began


def score_anew(store: Path, jobs: frozenset[str]) -> None:
    """Scores some jobs with a metric more."""
    from mmbench.leaderboards.metrics import registry as metrics
    from mmbench.leaderboards.tables.accuracy import accuracy, missing
    from mmbench.leaderboards.tables.robustness import robustness

    for family in ("mosi", "classification"):
        name = f"{family}_again_{len(jobs)}"
        first = next(known for known in metrics.FAMILIES[family] if "_again_" not in known)
        metrics.METRICS[name] = replace(metrics.METRICS[first], name=name)
        metrics.FAMILIES[family] = (name, *metrics.FAMILIES[family])
    found = results(store, Filter(jobs=jobs))
    for make in (accuracy, missing, robustness):
        make(found)


def page_rows(store: Path, out: Path) -> list[Row]:
    """What the tables and the page of a store take from its scores, and how large the page is."""
    cold, _ = tables(store, out)
    page, _ = tables(store, out, "html")
    began = now()
    file = out / "page.html"
    command = [Path(sys.executable).parent / "mmbench", "export", "--store", store, "--out", file]
    subprocess.run(command, check=True, capture_output=True)
    pictures = now() - began
    size = f"{file.stat().st_size / 1e6:.1f} MB, promised 2"
    of = f"{WIDE} methods on {TASKS} tasks"
    return [
        Row(f"all tables of {of} from scores", cold, cold, cold, "s", 15.0),
        Row(f"the page of {of}", page, page, page, "s", 10.0),
        Row(f"the page of {of} with pictures", pictures, pictures, pictures, "s", None, size),
    ]


def _gib(memory: float) -> str:
    return f"{memory:.2f} GiB at the most, promised 2"


def main() -> None:
    """Builds, measures, prints."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 7402
    tested = sum(map(len, conditions().values()))
    with scratch() as root:
        began = now()
        each, new = build(root, count)
        made = now() - began
        began = now()
        table_blocks(Store(root / "runs"), Console(quiet=True))
        compared = now() - began
        cold, memory = tables(root / "runs", root / "tables")
        again, _ = tables(root / "runs", root / "tables")
        for file in list(root.glob("runs/jobs/*/done.json"))[:: 100 * len(METHODS) * len(SEEDS)]:
            file.touch()
        changed, _ = tables(root / "runs", root / "tables")
        shutil.rmtree(root / "runs" / "made")
        scores, most = tables(root / "runs", root / "tables")
        smaller = page_rows(root / "wide", root / "wide-tables")
        rows = sum(1 for file in (root / "tables").glob("*.csv") for _ in file.open())
    print_machine()
    print_table(
        f"Tables of {count} jobs under {tested} conditions: {rows} rows",
        [
            Row("all tables from cold", cold, cold, cold, "s", 15.0, _gib(memory)),
            Row("all tables after a change", changed, changed, changed, "s", None),
            Row("all tables again", again, again, again, "s", 1.0),
            Row("all tables with nothing kept but scores", scores, scores, scores, "s", None, _gib(most)),
            Row("comparing every block", compared, compared, compared, "s", None, "at the end of the run"),
            Row("1000 jobs scored for a new metric", 1000 * new, 1000 * new, 1000 * new, "s", 60.0),
            Row("a job scored for all tables", each, each, each, "s", None, "by its worker, when it ends"),
            *smaller,
        ],
    )
    print(f"(the store was made in {made:.0f} s)")


if __name__ == "__main__":
    main()
