from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.planning.experiment import Experiment, as_values
from mmbench.slurm.resources import KEYS, profiles, resources, seconds_of

from ..benchmark.conftest import Command

ASKED = ("--methods", "erm", "--datasets", "toy", "--seeds", "0-7", "--launcher", "slurm")


@given(st.integers(0, 400), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_time_is_the_same_in_both_spellings(days: int, hours: int, minutes: int, seconds: int):
    total = 86400 * days + 3600 * hours + 60 * minutes + seconds
    clock, span = f"{days}-{hours:02}:{minutes:02}:{seconds:02}", f"{days}d{hours}h{minutes}m{seconds}s"
    if total:
        assert seconds_of(clock) == seconds_of(span) == total
    else:
        with pytest.raises(ValueError, match="above 0"):
            seconds_of(clock)


NUMBERS = st.one_of(st.integers(0, 99), st.integers(0, 10_000))


def _as_sbatch(text: str) -> int:
    """A time limit as SLURM's own reader takes it apart: its numbers in a row, and then what each was."""
    days, _, clock = text.rpartition("-")
    numbers = [int(part) for part in clock.split(":")] + [0, 0]
    if days or clock.count(":") == 2:
        hours, minutes, seconds = numbers[:3]
    else:
        hours, (minutes, seconds) = 0, numbers[:2]
    return int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds


@given(st.one_of(st.none(), NUMBERS), st.lists(NUMBERS, min_size=1, max_size=3), st.booleans())
def test_a_time_of_sbatch_is_read_as_sbatch_reads_it(days: int | None, clock: list[int], wide: bool):
    text = ":".join(f"{number:02}" if wide else str(number) for number in clock)
    text = text if days is None else f"{days}-{text}"
    if _as_sbatch(text):
        assert seconds_of(text) == _as_sbatch(text)
    else:
        with pytest.raises(ValueError, match="above 0"):
            seconds_of(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400), ("90:00", 5400), ("90:5", 5405), ("1:30:00", 5400), ("1-12", 129_600), ("0-1:30", 5400),
        ("1-0:0:1", 86_401), ("90s", 90), ("30min", 1800), ("1.5h", 5400),
    ],
)  # fmt: skip
def test_a_time_has_the_length_that_the_manual_of_sbatch_says(text: str, seconds: int):
    assert seconds_of(text) == seconds
    assert resources({"time": text, "grace": "1s"}).parameters()["time"] == -(-seconds // 60)


@pytest.mark.parametrize(
    "text",
    ["", "-1", "1-", "-4", "1:2:3:4", "1.5", "1:30h", "4 h", "infinite", "٣", "9²", "1-2h", ":30", "30:"],
)
def test_what_is_no_time_is_refused(text: str):
    with pytest.raises(ValueError, match="write a time"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("gpu,exclude=n1,n2,partition=a,b", {"profile": "gpu", "exclude": "n1,n2", "partition": "a,b"}),
        ("nodelist=n[1-3,7],m2,time=4h", {"nodelist": "n[1-3,7],m2", "time": "4h"}),
        ("constraint=a100|h100", {"constraint": "a100|h100"}),
        ("constraint=[rack1|rack2]&ib", {"constraint": "[rack1|rack2]&ib"}),
        ("constraint=(a100|h100)&avx", {"constraint": "(a100|h100)&avx"}),
        ("constraint=a100*2&h100", {"constraint": "a100*2&h100"}),
    ],
)
def test_lists_and_alternatives_reach_sbatch_as_they_are(text: str, values: dict[str, str]):
    assert as_values(text) == values
    given = resources(as_values(text)).parameters()
    assert {key: given[key] for key in values if key not in ("profile", "time")} == {
        key: value for key, value in values.items() if key not in ("profile", "time")
    }


@pytest.mark.parametrize(
    ("text", "given"),
    [("512", "512M"), ("500m", "500M"), ("32G", "32G"), ("32GB", "32G"), ("8gib", "8G"), ("2048k", "2048K"), ("0", "0")],
)  # fmt: skip
def test_memory_is_read_as_sbatch_reads_it(text: str, given: str):
    assert resources({"mem": text}).parameters()["mem"] == given


def test_yaml_reads_no_value_of_sbatch_as_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "mmbench" / "slurm"
    folder.mkdir(parents=True)
    values = "time: 90:00\naccount: 0123\nexclude: [n1, n2]\n"
    (folder / "lab.yaml").write_text(values)
    asked = tmp_path / "asked.yaml"
    inner = "".join(f"  {line}\n" for line in values.splitlines())
    asked.write_text(f"methods: erm\ndatasets: toy\nlauncher: slurm\nslurm:\n{inner}")
    for read in (resources(as_values("lab")), resources(Experiment.load(asked).slurm)):
        assert (read.time, read.account, read.exclude) == (90 * 60, "0123", "n1,n2")


def test_every_key_has_its_effect_on_what_sbatch_is_asked():
    text = (
        "partition=gpu,account=lab,qos=low,constraint=a100,reservation=course,nodelist=n1,exclude=n2,time=90m,"
        "gpus=a100:2,cpus=8,mem=32G,array_parallelism=7,timeouts=2,grace=2m"
    )
    found = resources(as_values(text))
    assert found.gpu_count == 2
    given = found.parameters()
    assert given["time"] == 90
    assert given["gpus_per_node"] == "a100:2"
    assert given["additional_parameters"] == {"reservation": "course"}
    assert (given["array_parallelism"], given["signal_delay_s"], found.timeouts) == (7, 120, 2)
    assert {given[key] for key in ("partition", "account", "qos", "constraint", "nodelist", "exclude", "mem")} == {
        "gpu", "lab", "low", "a100", "n1", "n2", "32G",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(profiles()))
def test_every_profile_of_the_package_is_valid(name: str):
    assert resources({"profile": name}).time > 0


def test_a_profile_of_ones_own_is_found_and_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "mmbench" / "slurm"
    folder.mkdir(parents=True)
    (folder / "lab.yaml").write_text("partition: long\ntime: 2d\nsetup: [module load cuda]\n")
    found = resources(as_values("lab,time=3h"))
    assert (found.partition, found.time, found.setup) == ("long", 3 * 3600, ("module load cuda",))
    (folder / "lab.yaml").write_text("partitoin: long\n")
    with pytest.raises(UsageError, match=r"lab\.yaml: unknown key 'partitoin': did you mean partition"):
        resources(as_values("lab"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partiton=gpu", "unknown key 'partiton': did you mean partition?"),
        ("gpuu", "no such profile: did you mean gpu?"),
        ("time=soon", "time=soon: write a time such as 30m"),
        ("mem=lots", "mem=lots: write a size such as 500M"),
        ("cpus=0", "cpus=0: write a whole number, at least 1"),
        ("gpus=all", "gpus=all: write a number, or kind and number"),
        ("partition=a b", "write a name without spaces"),
        ("time=1m,grace=2m", "should be less than the time"),
        ("grace=90", "write a time with its unit, such as 90s or 90m"),
        ("time=8h,gpu", "time=8h,gpu: write a time such as 30m"),
        ("constraint=[a|b", "a bracket is not closed: ] is missing"),
        ("constraint=a)b", "a bracket is closed that was not opened"),
        ("mem=1.5G", "write a size such as 500M"),
    ],
)
def test_what_is_wrong_is_answered_with_what_is_allowed(
    mmbench: Command, tmp_path: Path, text: str, message: str
):
    with pytest.raises(UsageError, match=re.escape(message)):
        resources(as_values(text))


def test_a_key_that_is_given_twice_is_refused():
    for text in ("partition=a,partition=b", "time=1h,time=2h"):
        with pytest.raises(ValueError, match="is given twice"):
            as_values(text)


def test_a_wrong_value_ends_a_run_before_it_begins(mmbench: Command, tmp_path: Path):
    for more, said in (
        (("--slurm", "tme=1h"), "tme"),
        (("--bundle-time", "long"), "long"),
        (("--device", "cuda"), "--device cuda: no GPU is asked of SLURM: write --slurm gpus=1"),
    ):
        ended = mmbench("run", *ASKED, *more)
        assert ended.returncode == 2
        assert said in ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_without_a_cluster_it_is_said_and_nothing_is_written(mmbench: Command, tmp_path: Path):
    (tmp_path / "bin").mkdir()
    ended = mmbench("run", *ASKED, PATH=str(tmp_path / "bin"))
    assert ended.returncode == 2
    assert (
        "no sbatch on this machine: call it where jobs are submitted (a login node), or use --launcher local"
        in (ended.stderr)
    )
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_shows_packing_and_script_and_writes_nothing(mmbench: Command, tmp_path: Path):
    ended = mmbench(
        "run", *ASKED, "--slurm", "cpu,partition=x,time=2h,cpus=1", "--bundle-time", "4m", "--dry-run"
    )
    assert ended.returncode == 0, ended.stderr
    assert "8 jobs in 4 array tasks" in ended.stdout
    assert "#SBATCH --partition=x\n" in ended.stdout
    assert "#SBATCH --time=120\n" in ended.stdout
    assert not (tmp_path / "runs").exists()


def test_an_experiment_keeps_what_is_asked_of_slurm(tmp_path: Path):
    asked = {"methods": "erm", "datasets": "toy", "launcher": "slurm", "slurm": "gpu,time=1h"}
    experiment = Experiment.read(asked)
    assert experiment.slurm == {"profile": "gpu", "time": "1h"}
    experiment.save(tmp_path / "asked.yaml")
    assert Experiment.load(tmp_path / "asked.yaml") == experiment
    assert set(KEYS) >= {"partition", "time", "gpus", "cpus", "mem", "array_parallelism"}


def test_where_the_setup_comes_from_is_said_before_the_first_submission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mmbench.benchmark.store.store import Store
    from mmbench.benchmark.train.context import Context
    from mmbench.slurm.launcher import Slurm
    from mmbench.slurm.resources import setup_origin

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = tmp_path / "mmbench" / "slurm" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("setup: [module load cuda, curl example.org | sh]\n")
    asked = {"profile": "mine"}
    assert setup_origin(asked) == f"the profile mine ({file})"
    assert setup_origin({**asked, "setup": "x"}) == "the experiment (slurm: setup)"
    launcher = Slurm(resources(asked), setup_from=setup_origin(asked))
    context = Context(store=Store(tmp_path / "runs").path, data_root=tmp_path)
    with caplog.at_level("WARNING", "mmbench"), contextlib.suppress(RuntimeError):  # no srun on this machine
        next(launcher.batches([], context), None)
    said = [record.getMessage() for record in caplog.records]
    begins = f"every array task begins with this command of the profile mine ({file}): "
    assert said == [begins + "module load cuda", begins + "curl example.org | sh"]
