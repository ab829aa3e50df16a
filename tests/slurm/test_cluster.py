"""Runs over a real SLURM: what is asked for is what the local pool gives, whatever happens on the way."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from mmbench.benchmark import Experiment, run
from mmbench.benchmark.launch.detached import ASK
from mmbench.benchmark.planning.job_matrix import jobs_of
from mmbench.benchmark.store.job_folder import Submission
from mmbench.benchmark.store.store import Store
from mmbench.slurm import queue

from ..benchmark.cli.test_run import contents, until
from ..benchmark.conftest import MMBENCH, Command

pytestmark = pytest.mark.slurm

TOY = ("--datasets", "toy", "--epochs", "2", "--device", "cpu")
ON_SLURM = ("--launcher", "slurm", "--slurm", "time=1h")


@pytest.mark.slow
def test_bundles_on_slurm_predict_what_the_local_pool_predicts(mmbench: Command, tmp_path: Path):
    asked = ("--methods", "erm(layers=1),mixup(layers=1)", "--seeds", "0-5", *TOY)
    there = (*asked, *ON_SLURM, "--bundle-time", "8m", "--store", "there")
    shown = mmbench("run", *there, "--dry-run").stdout
    ran = mmbench("run", *there)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "all 12 jobs done" in ran.stdout
    assert mmbench("run", *asked, "--workers", "1", "--store", "here").returncode == 0
    assert len(contents(tmp_path / "here")) == 12
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    ids = {json.loads(file.read_text())["id"] for file in tmp_path.glob("there/jobs/*/submitted.json")}
    (script,) = tmp_path.glob("there/slurm/*_submission.sh")
    assert script.read_text().strip() in shown
    assert "12 jobs in 3 array tasks of 1 array;" in shown
    assert len(ids) == 3  # four jobs of 120 s, as they are first guessed, in each array task
    assert len({number.partition("_")[0] for number in ids}) == 1


#: Each step takes a while, so that something can happen in the middle of a training, until the test says that it has.
SLOW = '''
import os, time
from dataclasses import dataclass
from pathlib import Path

from mmbench.methods.erm import ERM
from mmbench.methods.method import fixed

METHODS = {"slow": "Slow"}


@dataclass(frozen=True)
class SlowParams:
    width: int = fixed(40)
    layers: int = fixed(1)
    way: str = fixed("train")
    seconds: float = fixed(1.0)
    slow_restarts: int = fixed(9)


class Slow(ERM):
    """Trains slowly, and writes down every epoch of every process that trains it."""

    Params = SlowParams

    def after_epoch(self, validation_loss):
        with open(Path(os.environ["WITNESS"]), "a") as file:
            file.write(f"{os.getpid()} {self.params.way}\\n")

    def loss(self, batch):
        if self.params.way == "raise":
            raise RuntimeError("on purpose")
        restarts = int(os.environ.get("SLURM_RESTART_COUNT", 0))
        slow = restarts <= self.params.slow_restarts and not Path(os.environ["WITNESS"] + "-hurry").exists()
        if self.training and "SLURM_JOB_ID" in os.environ and slow:
            time.sleep(self.params.seconds)
        return super().loss(batch)
'''


@dataclass
class Cluster:
    """Runs of slow jobs in a folder, started without waiting for them."""

    folder: Path
    environment: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def command(self, methods: str, seeds: str, epochs: int) -> list[str]:
        asked = [str(MMBENCH), "run", "--methods", methods, "--plugin", "slow.py", "--datasets", "toy"]
        return [*asked, "--seeds", seeds, "--epochs", str(epochs), "--device", "cpu"]

    def start(self, methods: str, seeds: str, epochs: int, *more: str) -> subprocess.Popen[str]:
        given = ON_SLURM[:2] if "--slurm" in more else ON_SLURM
        command = [*self.command(methods, seeds, epochs), *given, *more]
        self.started.append(
            subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True,
                stderr=subprocess.STDOUT,
            )
        )  # fmt: skip
        return self.started[-1]

    def experiment(self, methods: str, seeds: str, epochs: int, **more: object) -> Experiment:
        asked = {"methods": methods, "datasets": "toy", "seeds": seeds, "protocol": {"epochs": epochs}}
        here = {"plugins": [self.folder / "slow.py"], "data_root": self.environment["MMBENCH_DATA"]}
        return Experiment.read({**asked, **here, "device": "cpu", **more})

    def locally(self, methods: str, seeds: str, epochs: int) -> dict[str, bytes]:
        """What the same jobs predict where nothing disturbs them."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("WITNESS", self.environment["WITNESS"])
            here = {"launcher": "debug", "store": self.folder / "here"}
            assert run(self.experiment(methods, seeds, epochs, **here)).ok
        return contents(self.folder / "here")

    def epochs(self) -> list[str]:
        """The processes that trained an epoch, one word each."""
        witness = Path(self.environment["WITNESS"])
        return [line.split()[0] for line in witness.read_text().splitlines()] if witness.exists() else []

    def until_it_trained(self, starts: int) -> None:
        """Waits until so many processes have trained an epoch each."""
        until(lambda: len(set(self.epochs())) == starts)

    def hurry(self) -> None:
        """Lets every step that begins from now on take no longer than it must."""
        Path(self.environment["WITNESS"] + "-hurry").touch()

    def until_it_trains(self, epochs: int = 5) -> str:
        """Waits for so many epochs, and gives the array task that trains."""
        until(lambda: len(self.epochs()) >= epochs)
        return next(iter(self.notes().values()))["id"]

    def until_it_starts(self, other_than: int = 0) -> int:
        """Waits for a process at the first job that is another one; its number."""
        found: list[int] = []

        def started() -> bool:
            for file in self.folder.glob("runs/jobs/*/progress.json"):
                found.append(json.loads(file.read_text())["pid"])
            return bool(found) and found[-1] != other_than

        until(started)
        return found[-1]

    def notes(self) -> dict[str, dict]:
        files = sorted(self.folder.glob("runs/jobs/*/submitted.json"))
        return {file.parent.name: json.loads(file.read_text()) for file in files}

    def environments(self) -> list[dict]:
        return [json.loads(file.read_text()) for file in self.folder.glob("runs/jobs/*/environment.json")]


@pytest.fixture
def cluster(
    tmp_path: Path, data_root: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Cluster]:
    """Jobs of other tests run meanwhile, but for tests marked ``alone``, which disturb all jobs of the cluster."""
    lock = open(tmp_path_factory.getbasetemp().parent / "slurm.lock", "w")  # noqa: SIM115 - one for all workers of pytest
    fcntl.flock(lock, fcntl.LOCK_EX if request.node.get_closest_marker("alone") else fcntl.LOCK_SH)
    (tmp_path / "slow.py").write_text(SLOW)
    environment = {**os.environ, "MMBENCH_DATA": str(data_root), "OMP_NUM_THREADS": "1"}
    environment["WITNESS"] = str(tmp_path / "witness")
    made = Cluster(tmp_path, environment)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
            process.wait()
    subprocess.run(["scancel", *{note["id"] for note in made.notes().values()}], check=False)
    lock.close()


def ended(process: subprocess.Popen[str], code: int = 0, patience: float = 200) -> str:
    output, _ = process.communicate(timeout=patience)
    assert process.returncode == code, output
    return output


@pytest.mark.slow
def test_a_job_that_fails_is_named_and_costs_itself_alone(cluster: Cluster, mmbench: Command):
    output = ended(cluster.start("slow(way=raise),slow(seconds=0.0)", "0", 2), 1)
    assert "1 of 2 jobs failed" in output
    assert "RuntimeError: on purpose" in output
    status = mmbench("status")
    assert status.returncode == 1
    assert "1 done, 1 failed" in status.stdout


@pytest.mark.slow
def test_what_ends_before_its_launcher_wrote_down_where_it_is_counts(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    store = Store(cluster.folder / "runs")
    asked = {"launcher": "slurm", "slurm": {"time": "1h"}, "store": store.path}
    experiment = cluster.experiment("slow(seconds=0.0),slow(way=raise)", "0", 2, **asked)
    good, bad = jobs_of(experiment)
    store.add([good, bad])
    store.job(good.id).fail("out of memory")
    store.job(bad.id).fail("out of memory")
    write = Store.submit

    def at_last(self: Store, notes: Mapping[str, Submission]) -> None:
        """As where many notes are written to a slow disk: SLURM has nothing left when it begins."""
        until(lambda: not queue.alive())
        write(self, notes)

    monkeypatch.setattr(Store, "submit", at_last)
    monkeypatch.setenv("WITNESS", cluster.environment["WITNESS"])
    (failed,) = run(experiment).failed
    assert (failed.job_id, failed.reason) == (bad.id, "RuntimeError: on purpose")
    assert store.record(good).state == "done"


#: The command, killed when SLURM has the jobs and nothing says so.
KILLED = """
import os, signal
from mmbench.benchmark.cli.main import main
from mmbench.benchmark.launch.detached import ASK
from mmbench.benchmark.store.job_folder import Submission
from mmbench.benchmark.store.store import Store
Store.submit = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
main()
"""


@pytest.mark.slow
def test_a_launcher_that_is_killed_before_it_wrote_down_where_jobs_are_loses_and_doubles_none(
    cluster: Cluster,
):
    command = [sys.executable, "-c", KILLED, *cluster.command("slow(seconds=0.05)", "0", 2)[1:], *ON_SLURM]
    killed = subprocess.run(command, cwd=cluster.folder, env=cluster.environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert queue.alive()
    assert not cluster.notes()
    ended(cluster.start("slow(seconds=0.05)", "0", 2))
    assert len(cluster.epochs()) == 2
    assert contents(cluster.folder / "runs") == cluster.locally("slow(seconds=0.05)", "0", 2)


@pytest.mark.slow
def test_while_jobs_are_queued_again_nobody_calls_them_lost_and_cancel_waits_for_them(cluster: Cluster):
    launcher = cluster.start("slow(seconds=99.0)", "0", 2)
    cluster.until_it_starts()
    ((name, note),) = cluster.notes().items()
    store = Store(cluster.folder / "runs")
    with store.launching():  # as another launcher does
        subprocess.run(["scancel", note["id"]], check=True)
        until(lambda: not queue.alive())
        time.sleep(3 * ASK)
        assert not store.job(name).failure()
        command = [str(MMBENCH), "cancel"]
        cancel = subprocess.Popen(
            command, cwd=cluster.folder, env=cluster.environment, stdout=subprocess.PIPE
        )
        time.sleep(3)
        sbatch = ["sbatch", "--parsable", "--output=/dev/null", "--wrap=sleep 99"]
        number = subprocess.run(sbatch, check=True, capture_output=True, text=True).stdout.strip()
        store.submit({name: Submission("slurm", number)})
    said, _ = cancel.communicate(timeout=60)
    assert b"1 submission cancelled, 1 job with them" in said
    ended(launcher, 1)
    assert store.job(name).failure() == f"slurm {number}"


@pytest.mark.slow
def test_requeued_in_the_middle_it_goes_on_and_predicts_the_same(cluster: Cluster):
    launcher = cluster.start("slow", "0", 16)
    task = cluster.until_it_trains(3)
    subprocess.run(["scontrol", "requeue", task], check=True)
    cluster.until_it_trained(2)
    cluster.hurry()
    ended(launcher)
    (environment,) = cluster.environments()
    assert environment["resumed_epochs"]
    assert environment["origin"]["restarts"] == 1
    assert environment["code_changed"] is False
    assert len(set(cluster.epochs())) == 2
    assert contents(cluster.folder / "runs") == cluster.locally("slow", "0", 16)


@pytest.mark.slow
@pytest.mark.alone
def test_preempted_again_and_again_it_goes_on_and_predicts_the_same(cluster: Cluster):
    launcher = cluster.start("slow", "0", 22, "--slurm", "partition=batch,time=1h,timeouts=0")
    for starts in (1, 2):
        cluster.until_it_trained(starts)
        cluster.until_it_trains(len(cluster.epochs()) + 2)
        subprocess.run(["sbatch", "-p", "urgent", "-c", "4", "-o", "/dev/null", "--wrap", "true"], check=True)
    cluster.until_it_trained(3)
    cluster.hurry()
    ended(launcher)
    (environment,) = cluster.environments()
    assert len(environment["resumed_epochs"]) == 2
    assert environment["origin"]["restarts"] >= 2
    assert len(set(cluster.epochs())) == 3
    assert contents(cluster.folder / "runs") == cluster.locally("slow", "0", 22)


@pytest.mark.slow
def test_what_ends_no_epoch_within_its_time_limit_fails_and_says_so(cluster: Cluster):
    launcher = cluster.start("slow(seconds=99.0)", "0", 2, "--slurm", "time=10m,timeouts=9")
    trained = 0
    for _ in range(2):
        trained = cluster.until_it_starts(other_than=trained)
        (task,) = {note["id"] for note in cluster.notes().values()}
        subprocess.run(["scancel", "--signal=USR2", task], check=True)
    output = ended(launcher, 1)
    assert "no epoch of it ends within the time limit of 10 min, twice in a row" in output
    assert "mmbench retry --slurm time=1h" in output


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_out_of_time_it_goes_on_from_its_checkpoint_and_predicts_the_same(cluster: Cluster):
    # SLURM sends its signal 30 s to 90 s after the start. The steps of the first start alone take 100 s, so that it is
    # always interrupted, and always after some epochs; the second start has nothing to wait for.
    slow = "slow(seconds=3.2,slow_restarts=0)"
    launcher = cluster.start(slow, "0", 16, "--slurm", "time=2m,grace=30s,timeouts=9")
    ended(launcher, patience=280)
    (environment,) = cluster.environments()
    assert environment["resumed_epochs"]
    assert environment["origin"]["restarts"] >= 1
    assert contents(cluster.folder / "runs") == cluster.locally(slow, "0", 16)


@pytest.mark.slow
def test_out_of_time_too_often_it_fails_and_more_time_goes_on_with_it(cluster: Cluster, mmbench: Command):
    # Ten minutes are so few that submitit takes any such signal for the end of the time.
    launcher = cluster.start("slow", "0", 12, "--slurm", "time=10m,timeouts=0")
    subprocess.run(["scancel", "--signal=USR2", cluster.until_it_trains(4)], check=True)
    assert "ran out of time more than 0 times" in ended(launcher, 1)
    before = len(cluster.epochs())
    assert before < 12
    cluster.hurry()
    refused = mmbench("retry", "--slurm", "partition=nowhere", WITNESS=cluster.environment["WITNESS"])
    assert "sbatch refused" in refused.stderr  # and it can be tried again all the same
    again = mmbench("retry", "--slurm", "time=1h,partition=batch", WITNESS=cluster.environment["WITNESS"])
    assert again.returncode == 0, again.stdout + again.stderr
    (environment,) = cluster.environments()
    assert environment["resumed_epochs"]
    assert len(cluster.epochs()) < before + 12
    assert contents(cluster.folder / "runs") == cluster.locally("slow", "0", 12)


@pytest.mark.slow
def test_cancelled_by_slurm_or_the_command_it_is_said_and_retry_goes_on(cluster: Cluster, mmbench: Command):
    launcher = cluster.start("slow", "0,1", 24, "--bundle-time", "2m")
    cluster.until_it_trained(2)
    (_, first), (name, _) = cluster.notes().items()
    subprocess.run(["scancel", first["id"]], check=True)
    assert "1 submission cancelled, 1 job with them" in mmbench("cancel", name).stdout
    output = ended(launcher, 1)
    assert "2 of 2 jobs failed" in output
    assert "CANCELLED" in output
    status = mmbench("status")
    assert status.returncode == 1
    assert "2 cancelled" in status.stdout
    cluster.hurry()
    assert mmbench("retry", WITNESS=cluster.environment["WITNESS"]).returncode == 0
    assert contents(cluster.folder / "runs") == cluster.locally("slow", "0,1", 24)


@pytest.mark.slow
@pytest.mark.alone
def test_interrupted_the_launcher_leaves_jobs_running_and_two_launchers_train_none_twice(
    cluster: Cluster,
):
    first = cluster.start("slow", "0,1", 8, "--bundle-time", "2m")
    cluster.until_it_trains(2)
    first.send_signal(signal.SIGINT)
    assert "mmbench cancel --store runs" in ended(first, 130)
    assert len(cluster.epochs()) < 2 * 8
    # Now two at once attach to what is queued, one of them asks for one more; SLURM's controller starts anew.
    both = [cluster.start("slow", seeds, 8, "--bundle-time", "2m") for seeds in ("0,1", "0-2")]
    script = Path(__file__).parents[1] / "slurm_cluster.sh"
    if os.environ["SLURM_CONF"] == f"{os.environ.get('MMBENCH_SLURM', '/tmp/mmbench-slurm')}/slurm.conf":
        subprocess.run([script, "restart"], check=True, timeout=60)
    cluster.hurry()
    for launcher in both:
        ended(launcher)
    assert len(cluster.epochs()) == 3 * 8
    assert len(set(cluster.epochs())) == 3
    assert contents(cluster.folder / "runs") == cluster.locally("slow", "0-2", 8)
