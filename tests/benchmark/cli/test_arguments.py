"""Nothing that is given to a command is passed over: it adds up, is refused, or is said what it means."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmbench.benchmark.cli.flags import experiment_from
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.method_spec import describe
from mmbench.benchmark.core.registry import entries, find
from mmbench.benchmark.core.strings import as_seeds
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.notes import notes

from ..conftest import Command

TOY = ("--methods", "erm", "--datasets", "toy")
PLUGIN = """
from dataclasses import dataclass
from typing import Literal
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.method import fixed, searched

METHODS = {"NAME": "Mine"}

@dataclass(frozen=True)
class P(ERMParams):
    kind: Literal["sum", "mean"] = fixed("mean")
    power: Literal[1, 2] = fixed(2)
    hidden: int = searched(32, choices=(32, 64))
    rate: float = searched(0.1, low=0.0, high=0.5)

class Mine(ERM):
    Params = P
"""


def write_plugin(folder: Path, name: str) -> Path:
    file = folder / f"{name}.py"
    file.write_text(PLUGIN.replace("NAME", name))
    return file


def test_flags_of_lists_add_up(mmbench: Command, data_root: Path, tmp_path: Path):
    for name in ("one", "two"):
        write_plugin(tmp_path, name)
    given = ("--methods", "one,erm", "--methods", "two(kind=sum)", "--datasets", "toy", "--datasets", "toyc")
    more = ("--plugin", "one.py", "--plugin", "two.py", "--seeds", "0-1", "--seeds", "3")
    ended = mmbench("plan", *given, *more, "--modalities", "T", "--modalities", "T+A")
    assert ended.returncode == 0, ended.stderr
    assert "36 jobs: 0 done, 36 to do" in ended.stdout  # 3 methods, 2 datasets, 2 modality sets, 3 seeds


def test_the_values_of_a_repeated_flag_are_one_list():
    flags = {"methods": ["erm", "mixup"], "datasets": ["toy"], "corruptions": ["features", "missing-rates"]}
    more = {
        "ood": ["a", "b,c"],
        "data": ["x=/x", "y=/y"],
        "seeds": ["0-2", "7"],
        "held_out_classes": ["p", "q"],
    }
    experiment = experiment_from(None, {**flags, **more, "plugins": ["a.py", "b.py,c.py"]})
    assert (experiment.methods, experiment.corruptions) == (["erm", "mixup"], ["features", "missing-rates"])
    assert (experiment.ood, experiment.seeds) == (["a", "b", "c"], [0, 1, 2, 7])
    assert experiment.data == {"x": Path("/x"), "y": Path("/y")}
    assert experiment.plugins == [Path("a.py"), Path("b.py"), Path("c.py")]
    assert experiment.protocol.held_out_classes == ["p", "q"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", *TOY, "--epochs", "1", "--epochs", "2"), "--epochs is given 2 times"),
        (("run", *TOY, "--slurm", "gpu", "--slurm", "time=1h"), "--slurm is given 2 times"),
        (("leaderboard", "--methods", "erm", "--methods", "ebmc"), "--methods is given 2 times"),
        (("findings", "--seeds", "0", "--seeds", "1"), "--seeds is given 2 times"),
        (("data", "info", "toy", "--data-root", "a", "--data-root", "b"), "--data-root is given 2 times"),
        (("run", "--methods", "erm,", "ebmc", "--datasets", "toy"), "unexpected 'ebmc': a list is joined by commas"),
        (("plan", "--methods", "erm", "--datasets", "mosi", "mosei"), "unexpected 'mosei': a list is joined by"),
        (("run", *TOY, "--seeds", "0", "1", "2"), "unexpected '1' '2': a list is joined by commas"),
        (("run", *TOY, "--seeds", "0..4"), "seeds: '0..4' is no range of seeds: write 0-4"),
        (("run", *TOY, "--seeds", "4-0"), "seeds: '4-0' is no range of seeds: write 0-4"),
        (("leaderboard", "--seeds", "0:4"), "--seeds: '0:4' is no range of seeds: write 0-4"),
        (("run", "--methods", "ebmc(contrast=smaple)", "--datasets", "toy"), "'smaple' is none of its values: did you mean sample?"),
        (("run", *TOY, "--optimizer", "adamv"), "expected 'adamw' or 'adam'"),
        (("plan", "--methods", "erm", "--datasets", "toy/features.npz"), "toy has no domain 'features.npz': it has none: write toy (a * stands in quotes"),
        (("plan", "--methods", "erm", "--datasets", "a+b"), "is not a task: write a dataset (mosi) or a shift ('mosi+mosei->sims'); a dataset of one's own has no + or ->"),
        (("plan", *TOY, "--corruptions", "typos"), "unknown corruption 'typos': did you mean keyboard-typos?"),
        (("plan", "--methods", "zzzzzzz", "--datasets", "toy"), "known names is like it: mmbench list shows them (one of your own comes from a file: --plugin FILE.py"),
        (("plot", "missing", "--size", "large"), "--size 'large': write WIDTHxHEIGHT in inches, such as 3.3x2.5"),
        (("plot", "--style", "papr"), "--style 'papr': did you mean paper?"),
        (("plot", "degradaton"), "unknown picture 'degradaton': did you mean degradation?"),
        (("run", *TOY, "--slurm", "time=1h,time=2h", "--launcher", "slurm"), "slurm: time is given twice"),
    ],
)  # fmt: skip
def test_what_would_be_passed_over_is_refused(
    mmbench: Command, tmp_path: Path, data_root: Path, arguments: tuple[str, ...], message: str
):
    ended = mmbench(*arguments)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("text", ["0..4", "0...4", "0:4", "0–4", "0 to 4", "4-0", "4..0", "0--4", "0 4"])
def test_another_way_to_write_a_range_is_answered_with_ours(text: str):
    with pytest.raises(ValueError, match="is no range of seeds: write 0-4"):
        as_seeds([text])


def test_seeds_are_what_they_were():
    assert as_seeds("0-4") == as_seeds("0, 1,2 ,3-4") == as_seeds([0, 1, "2", "3 - 4"]) == [0, 1, 2, 3, 4]
    assert as_seeds(5) == as_seeds("5") == [5]
    for text in ("x", "-1", "1.5", "²", "0-99999"):
        with pytest.raises(ValueError, match="seed"):
            as_seeds(text)


def test_what_may_be_meant_otherwise_is_said(mmbench: Command, data_root: Path, tmp_path: Path):
    ended = mmbench("plan", *TOY, "--seeds", "5")
    assert "note: --seeds 5 is one network with seed 5; 0-4 are 5 seeds" in ended.stdout
    ended = mmbench("run", *TOY, "--seeds", "5", "--epochs", "1", "--launcher", "debug", "--device", "cpu")
    assert ended.returncode == 0, ended.stderr
    assert "note: --seeds 5 is one network with seed 5; 0-4 are 5 seeds" in ended.stdout + ended.stderr
    plugin = write_plugin(tmp_path, "gated")
    methods = ["gated", "gated(hidden=64,rate=0.5)", "gated(hidden=65)", "gated(rate=0.6)"]
    asked = {"methods": methods, "datasets": "toy", "plugins": [plugin]}
    assert notes(Experiment.read({**asked, "seeds": [0]})) == [
        "gated(hidden=65): hidden=65 is none of the values of its search (32, 64)",
        "gated(rate=0.6): rate=0.6 is outside the range of its search (0.0 to 0.5)",
    ]


def test_what_is_slow_to_test_is_said_with_its_passes():
    asked = {"methods": "csdi,trace(impute=mean),csdi(draws=1)", "datasets": "toy", "seeds": [0]}
    assert not notes(Experiment.read(asked))
    said = notes(Experiment.read({**asked, "corruptions": "missing-rates", "imputation": True}))
    end = "for each modality with holes, under every condition of missing-rates, --imputation"
    assert said == [
        f"csdi is slow to test: a prediction is 100 passes (chain=25, draws=4) {end}",
        f"csdi(draws=1) is slow to test: a prediction is 25 passes (chain=25, draws=1) {end}",
    ]
    rule = {**asked, "methods": "erm", "corruptions": "missing-rates", "protocol": {"impute": "csdi"}}
    assert [line.partition(" is ")[0] for line in notes(Experiment.read(rule))] == ["--impute csdi"]


def test_a_value_outside_of_a_parameter_s_type_is_refused(tmp_path: Path):
    description = describe(find("method", "mine", (write_plugin(tmp_path, "mine"),)))
    assert description.resolve({"kind": "sum", "power": "1"})["kind"] == "sum"
    for values, message in (
        ({"kind": "summ"}, "parameter kind: 'summ' is none of its values: did you mean sum?"),
        ({"power": "3"}, "parameter power: '3' is none of its values: known: 1, 2"),
        ({"rate": "1e999"}, "parameter rate: inf is no number to compute with"),
    ):
        with pytest.raises(UsageError, match=message.replace("?", r"\?")):
            description.resolve(values)


#: Parameters that name what only the data or the user's files know: modalities, which the network compares with those of
#: the data, models, and words that a model is asked with.
NAMED_BY_THE_USER = {"dominant", "targets", "model", "question", "classes"}


def test_what_is_published_is_among_the_values_of_each_parameter():
    for entry in entries("method").values():
        description = describe(entry)
        published = [description.as_published, *description.as_published_in.values()]
        for item in description.fields:
            for values in published if item.choices else ():
                assert values.get(item.name, item.default) in item.choices
            assert item.name in NAMED_BY_THE_USER or item.choices or not isinstance(item.default, str), (
                f"{entry.name}: {item.name} is any text"
            )
