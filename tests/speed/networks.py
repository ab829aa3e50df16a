"""How many networks an hour two cores train and test: this code beside a plain script for the same task.

    python tests/speed/networks.py

The plain script is a program of ours of the usual kind. One process with torch's default of a thread a core: the network of
ERM with the modules of torch in float32, one modality after the other and padding included; AdamW and clipping by norm;
validation after every epoch; then the predictions of the test samples under every condition, each through the whole network.
This code has two workers of one thread each, which train jobs of ERM on the same files with as many epochs. ``fair`` has
other encoders than the published one; the plain script has the published one for both.

Both are warm, so start-up does not count. They take turns; the figure is the wall time of a network of this code (half that
of two) over that of one of the script. Whatever else runs on the machine takes more from the one that runs alone.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

import torch
from measure import Row, estimate, print_machine, print_table, scratch, write_data
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.job_matrix import jobs_of
from mmbench.benchmark.store.store import Store
from mmbench.benchmark.train.context import Context
from mmbench.benchmark.train.job_runner import run_job, task_data
from mmbench.benchmark.train.minibatches import minibatches
from mmbench.benchmark.train.predict import default_conditions
from mmbench.corruptions.corruption import apply_all
from mmbench.datasets.batch import Batch
from mmbench.methods.erm import ERM
from mmbench.methods.shared import networks
from plain_encoder import plain
from torch.nn import functional as F

COUNTS = {"train": 400, "valid": 100, "test": 150}
STEPS, EPOCHS, ROUNDS, CORES = 44, 2, 3, 2
PROMISED = 1 / 5
PROTOCOLS = ("fair", "as-published")


def experiment(folder: Path, protocol: str, worker: int) -> Experiment:
    """The jobs of a worker: more than it is asked for."""
    return Experiment.read(
        {
            "methods": ["erm"],
            "datasets": ["mosi"],
            "seeds": list(range(ROUNDS + 1)),
            "protocol": {"name": protocol, "epochs": EPOCHS},
            "store": folder / f"runs-{protocol}-{worker}",
            "data_root": folder / "data",
        }
    )


def of_this_code(folder: Path, protocol: str, worker: int) -> Iterator[None]:
    """Trains and tests a network each time it is continued."""
    torch.set_num_threads(1)
    asked = experiment(folder, protocol, worker)
    jobs = jobs_of(asked)
    Store(asked.store).add(jobs)
    for job in jobs:
        outcome = run_job(job, Context(asked.store, asked.root))
        if not outcome.ok:
            sys.exit(f"a job failed: {outcome.reason}")
        yield


def of_the_script(folder: Path, protocol: str, worker: int) -> Iterator[None]:
    """As ``of_this_code``, in plain torch."""
    torch.set_num_threads(CORES)
    networks.encode_together = lambda *inputs: [plain(*parts) for parts in zip(*inputs, strict=True)]
    asked = experiment(folder, protocol, worker)
    job = jobs_of(asked)[0]
    data = task_data(job, Context(asked.store, asked.root), torch.device("cpu"))
    spec, rules = data.spec("as-published"), Protocol.model_validate({"name": protocol, "epochs": EPOCHS})
    train, valid, test = data.train.batch, data.valid.batch, data.test.batch

    def errors(network: ERM, batch: Batch) -> float:
        predicted = torch.cat([network(part).prediction for part in minibatches(batch, 256)])
        return float(F.l1_loss(predicted, batch.target))

    while True:
        network = ERM(ERM.Params(), spec)
        optimizer = torch.optim.AdamW(network.parameters(), lr=rules.learning_rate)
        for _ in range(rules.epochs):
            network.train()
            for rows in torch.randperm(len(train)).split(rules.batch_size):
                batch = train.take(rows)
                optimizer.zero_grad()
                F.l1_loss(network(batch).prediction, batch.target).backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
            network.eval()
            with torch.inference_mode():
                errors(network, valid)
        with torch.inference_mode():
            for _, changed in apply_all(default_conditions(test.modalities), test):
                errors(network, changed)
        yield


ROLES: dict[str, Callable[[Path, str, int], Iterator[None]]] = {"ours": of_this_code, "script": of_the_script}


def serve(role: str, folder: str, protocol: str, worker: str) -> None:
    """Trains a network for each line that is read, and answers with a line."""
    for _ in ROLES[role](Path(folder), protocol, int(worker)):
        print("done", flush=True)
        if not sys.stdin.readline():
            return


@contextmanager
def process(role: str, folder: Path, protocol: str, worker: int) -> Iterator[subprocess.Popen[str]]:
    """A process that has trained its first network."""
    command = [sys.executable, __file__, role, str(folder), protocol, str(worker)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        wait([running])
        yield running
        cast(IO[str], running.stdin).close()


def wait(running: list[subprocess.Popen[str]]) -> None:
    """Until each has trained a network."""
    for one in running:
        while (line := cast(IO[str], one.stdout).readline()) != "done\n":
            if not line:
                sys.exit("a process ended before its network was trained")


def seconds(running: list[subprocess.Popen[str]]) -> float:
    """Wall time of a network of each of some processes, at the same time."""
    begun = time.perf_counter()
    for one in running:
        cast(IO[str], one.stdin).write("next\n")
        cast(IO[str], one.stdin).flush()
    wait(running)
    return time.perf_counter() - begun


def row(folder: Path, protocol: str) -> Row:
    """The figure of one protocol."""
    with ExitStack() as stack:
        script = stack.enter_context(process("script", folder, protocol, 0))
        ours = [stack.enter_context(process("ours", folder, protocol, core)) for core in range(CORES)]
        turns = [(seconds(ours) / CORES, seconds([script])) for _ in range(ROUNDS)]
    figure = estimate({"turns": turns}, lambda medians: float(medians["turns"][0] / medians["turns"][1]))
    own, other = (3600 / sorted(column)[len(column) // 2] for column in zip(*turns, strict=True))
    note = f"{1 / figure[0]:.1f} times as many: {own:.0f} and {other:.0f} an hour, of {EPOCHS} epochs"
    return Row(f"a network, {protocol}", *figure, "x", PROMISED, note)


def main() -> None:
    print_machine()
    with scratch() as folder:
        write_data(folder / "data", COUNTS, STEPS)
        rows = [row(folder, protocol) for protocol in PROTOCOLS]
    print_table(f"Time for a network on {CORES} cores: this code / a plain script", rows)


if __name__ == "__main__":
    serve(*sys.argv[1:]) if len(sys.argv) > 1 else main()
