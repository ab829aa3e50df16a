"""Rules of selection: as pure functions, and what each lets a real job see."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.benchmark import Experiment, plan, results, run
from mmbench.benchmark.core.selection import Direction, Epoch, Rule, select_epoch, selection_score
from mmbench.benchmark.planning.companions import companions
from mmbench.benchmark.store.store import Store
from mmbench.datasets.dataset import DataError, Samples
from mmbench.datasets.layout.write import write_open_layout
from safetensors.numpy import load_file
from sklearn.metrics import balanced_accuracy_score

from ..conftest import Command
from ..data.test_domains import TARGET, made

RULES: tuple[Rule, ...] = ("source-validation", "last", "leave-one-source-out", "oracle")
TASK = "multi/a+multi/b->multi/c"

# --- pure functions ---------------------------------------------------------------------------------------

#: A few values, so that ties are common.
VALUE = st.sampled_from([0.0, 0.25, 0.5, 1.0])


def record(*metrics: float, losses: Sequence[float] = (), stages: Sequence[int] = ()) -> list[Epoch]:
    return [
        Epoch(i, stages[i] if stages else 0, {}, losses[i] if losses else 0.0, metric)
        for i, metric in enumerate(metrics)
    ]


@pytest.mark.parametrize(
    ("metrics", "losses", "stages", "direction", "expected"),
    [
        ((3, 1, 2), (), (), "lower", 1),
        ((3, 1, 2), (), (), "higher", 0),
        ((1, 1, 1), (), (), "lower", 0),
        ((1, 1, 1), (3, 1, 2), (), "higher", 1),
        ((0, 5, 4), (), (0, 1, 1), "lower", 2),
    ],
)
def test_source_validation(metrics: tuple, losses: tuple, stages: tuple, direction: Direction, expected: int):
    found = record(*metrics, losses=losses, stages=stages)
    assert select_epoch("source-validation", found, direction) == expected
    assert select_epoch("last", found, direction) == len(metrics) - 1


@st.composite
def records(draw: st.DrawFn, count: int) -> list[list[Epoch]]:
    """Records of one length, with the same stages, each validated on the target."""
    length = draw(st.integers(1, 5))
    stages = sorted(draw(st.lists(st.integers(0, 2), min_size=length, max_size=length)))
    return [
        [Epoch(e, stages[e], {}, *[draw(VALUE) for _ in range(4)], diagnostics={}) for e in range(length)]
        for _ in range(count)
    ]


def by_hand(values: Sequence[tuple[float, float]], stages: Sequence[int], direction: Direction) -> int:
    """Walks through (metric, loss), and takes an epoch where it is better than the one that it has."""
    best = -1
    for place, (metric, loss) in enumerate(values):
        if stages[place] < stages[-1]:
            continue
        if best < 0:
            best = place
            continue
        old, old_loss = values[best]
        better = metric < old if direction == "lower" else metric > old
        if better or (metric == old and loss < old_loss):
            best = place
    return best


@given(records(3), st.sampled_from(["lower", "higher"]))
def test_every_rule_is_what_a_walk_through_its_split_finds(found: list[list[Epoch]], direction: Direction):
    own, *others = found
    stages = [epoch.stage for epoch in own]
    on_target = [[(float(e.target_metric or 0), float(e.target_loss or 0)) for e in one] for one in found]
    split: dict[Rule, list[tuple[float, float]]] = {
        "source-validation": [(e.metric, e.loss) for e in own],
        "oracle": on_target[0],
        "leave-one-source-out": [tuple(pair) for pair in np.mean(on_target[1:], axis=0)],
    }
    sign = 1 if direction == "higher" else -1
    for rule, values in split.items():
        expected = by_hand(values, stages, direction)
        assert select_epoch(rule, own, direction, others) == expected
        assert selection_score(rule, own, direction, others) == pytest.approx(sign * values[expected][0])
    assert select_epoch("last", own, direction, others) == len(own) - 1
    assert selection_score("last", own, direction, others) == sign * own[-1].metric


@given(records(2), st.sampled_from(["lower", "higher"]), VALUE)
def test_only_the_oracle_looks_at_the_target(found: list[list[Epoch]], direction: Direction, other: float):
    own, companion = found
    blind = [replace(epoch, target_loss=None, target_metric=None) for epoch in own]
    moved = [replace(epoch, target_loss=other, target_metric=other) for epoch in own]
    for rule in ("source-validation", "last", "leave-one-source-out"):
        for choose in (select_epoch, selection_score):
            assert len({choose(rule, one, direction, [companion]) for one in (own, blind, moved)}) == 1
    with pytest.raises(ValueError, match="was not validated on the target"):
        select_epoch("oracle", blind, direction)
    with pytest.raises(ValueError, match="record of every companion"):
        selection_score("leave-one-source-out", own, direction)


# --- real jobs --------------------------------------------------------------------------------------------


def rows_of(samples: Samples, rows: np.ndarray) -> Samples:
    parts = {
        key: {name: array[rows] for name, array in getattr(samples, key).items()}
        for key in ("features", "mask", "present")
    }
    flat = {key: getattr(samples, key)[rows] for key in ("target", "sample_id", "domain", "previous")}
    return replace(samples, **parts, **flat)


def write(root: Path, splits: dict[str, Samples] | None = None) -> Path:
    write_open_layout(root / "multi", splits or made(), TARGET)
    return root


def trained(root: Path, store: Path, rule: str, task: str = TASK, **more: Any) -> Path:
    asked = {
        "methods": ["erm(layers=1)"],
        "datasets": [task],
        "seeds": [0],
        "protocol": {"epochs": 4, "learning_rate": 0.02, "batch_size": 8, "selection": rule},
    }
    common = {"data_root": root, "store": store, "launcher": "debug", "device": "cpu"}
    summary = run(Experiment.read({**asked, **common, **more}))
    assert summary.ok, summary.failed
    return store


def fits(store: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """(Task, role) -> what its folder says."""
    found = {}
    for record in Store(store):
        folder = store / "jobs" / record.job.id
        fit = json.loads((folder / "fit.json").read_text())
        # The file names the job, too.
        weights = {
            name: values.tolist() for name, values in load_file(folder / "weights.safetensors").items()
        }
        found[record.job.task, record.job.role] = {**fit, "weights": weights, "job": record.job}
    return found


def test_the_target_decides_nothing_but_under_the_oracle(tmp_path: Path):
    """Two data sets that differ in nothing but the target give the same network under every other rule."""
    splits = made()
    for split, samples in splits.items():
        theirs = samples.domain == "c"
        features = {
            name: np.where(theirs[:, None, None], -array, array) for name, array in samples.features.items()
        }
        target = np.where(theirs, 1 - samples.target, samples.target)
        splits[split] = replace(samples, features=features, target=target)
    roots = write(tmp_path / "one"), write(tmp_path / "two", splits)
    for rule in RULES:
        one, two = (fits(trained(root, tmp_path / f"{rule}-{root.name}", rule))[TASK, ""] for root in roots)
        seen = [[epoch["target_metric"] for epoch in fit["epochs"]] for fit in (one, two)]
        if rule == "oracle":
            assert None not in seen[0]
            assert seen[0] != seen[1]
        else:
            assert set(seen[0] + seen[1]) == {None}
            assert one["weights"] == two["weights"]
            assert one["epochs"] == two["epochs"]


def test_the_oracle_looks_at_the_validation_split_of_the_target_and_not_at_its_test_split(tmp_path: Path):
    splits = made()
    flipped = replace(splits["test"], target=1 - splits["test"].target)
    roots = write(tmp_path / "one"), write(tmp_path / "two", {**splits, "test": flipped})
    one, two = (fits(trained(root, tmp_path / f"s-{root.name}", "oracle"))[TASK, ""] for root in roots)
    assert one["epochs"] == two["epochs"]
    assert one["weights"] == two["weights"]

    # Its figures are those of a network that is tested on that split: the same samples, called the test.
    rows = {split: np.flatnonzero(samples.domain == "c") for split, samples in splits.items()}
    swapped = rows_of(splits["valid"], rows["valid"])
    others = rows_of(splits["test"], np.flatnonzero(splits["test"].domain != "c"))
    joined = {
        name: np.concatenate([others.features[name], swapped.features[name]]) for name in swapped.features
    }
    tested = replace(
        others,
        features=joined,
        mask={n: np.concatenate([others.mask[n], swapped.mask[n]]) for n in swapped.mask},
        present={n: np.concatenate([others.present[n], swapped.present[n]]) for n in swapped.present},
        **{
            key: np.concatenate([getattr(others, key), getattr(swapped, key)])
            for key in ("target", "sample_id", "domain", "previous")
        },
    )
    kept = rows_of(splits["valid"], np.flatnonzero(splits["valid"].domain != "c"))
    root = write(tmp_path / "three", {**splits, "valid": kept, "test": tested})
    last = fits(trained(root, tmp_path / "s-three", "last"))[TASK, ""]
    table = pd.read_parquet(tmp_path / "s-three" / "jobs" / last["job"].id / "predictions.parquet")
    table = table[(table["split"] == "test") & (table["condition"] == "clean")]
    guess = (table["logit_1"] > table["logit_0"]).astype(int)
    expected = balanced_accuracy_score(table["target"], guess)
    assert one["epochs"][-1]["target_metric"] == pytest.approx(expected)


def test_a_companion_is_the_network_of_the_other_sources(tmp_path: Path):
    root = write(tmp_path / "data")
    store = trained(root, tmp_path / "runs", "leave-one-source-out")
    found = fits(store)
    assert set(found) == {(TASK, ""), ("multi/a->multi/b", "companion"), ("multi/b->multi/a", "companion")}
    job = found.pop((TASK, ""))
    assert sorted(job["companions"]) == sorted(fit["job"].id for fit in found.values())
    metrics = np.mean([[e["target_metric"] for e in fit["epochs"]] for fit in found.values()], axis=0)
    losses = np.mean([[e["target_loss"] for e in fit["epochs"]] for fit in found.values()], axis=0)
    assert job["selected_epoch"] == by_hand(list(zip(metrics, losses, strict=True)), [0] * 4, "higher")

    # The same fit as that of a job between these two, and what it was tested on is the left-out validation split.
    plain = fits(trained(root, tmp_path / "plain", "last", "multi/a->multi/b"))["multi/a->multi/b", ""]
    companion = found["multi/a->multi/b", "companion"]
    assert [e["loss"] for e in companion["epochs"]] == [e["loss"] for e in plain["epochs"]]
    table = pd.read_parquet(store / "jobs" / companion["job"].id / "predictions.parquet")
    valid = made()["valid"]
    tested = set(table.loc[table["split"] == "test", "sample_id"])
    assert tested == set(valid.sample_id[valid.domain == "b"])

    # It is no result, and is not made for a second job that needs the same, nor for a finished one.
    assert [(one.task, one.audit["selected_by"]) for one in results(store)] == [
        (TASK, "validation splits of left-out sources")
    ]
    asked = {"data_root": root, "store": store, "device": "cpu", "launcher": "debug"}
    again = {"methods": "erm(layers=1)", "datasets": TASK, "seeds": "0", "protocol": job["job"].protocol}
    assert [one.role for one in plan(Experiment.read({**asked, **again})).jobs] == [""]
    assert plan(Experiment.read({**asked, **again, "seeds": "0,1"})).jobs[0].role == "companion"
    evaluated = run(Experiment.read({**asked, **again, "corruptions": "drift"}))
    assert evaluated.ok
    assert evaluated.planned == 1


def test_companions_are_shared_between_targets(tmp_path: Path):
    splits = made()
    for split, samples in splits.items():
        count = len(samples.domain)
        splits[split] = replace(samples, domain=np.array(["a", "b", "c", "d"])[np.arange(count) % 4])
    root = write(tmp_path, splits)
    tasks = f"{TASK},multi/a+multi/b->multi/d"
    asked = {"methods": "erm", "datasets": tasks, "seeds": "0,1", "data_root": root, "store": tmp_path / "r"}
    planned = plan(Experiment.read({**asked, "protocol": {"selection": "leave-one-source-out"}}))
    roles = [job.role for job in planned.jobs]
    assert roles == ["companion"] * 4 + [""] * 4  # two for each seed
    for rule in ("source-validation", "last", "oracle"):
        jobs = plan(Experiment.read({**asked, "protocol": {"selection": rule}})).jobs
        assert not any(companions(job) for job in jobs)
        assert [job.role for job in jobs] == [""] * 4


def test_parts_that_a_companion_does_not_need_may_be_lacking(tmp_path: Path):
    """Sources without a test part, and a target without a training part: domains that are left out whole."""
    splits = made()
    lost = {"train": "c", "valid": "c"}
    kept = {
        split: rows_of(samples, np.flatnonzero(samples.domain != lost.get(split, "")))
        for split, samples in splits.items()
    }
    kept["test"] = rows_of(splits["test"], np.flatnonzero(splits["test"].domain == "c"))
    root = write(tmp_path / "data", kept)
    trained(root, tmp_path / "runs", "leave-one-source-out")
    with pytest.raises(DataError, match="multi/c has no validation samples, which the selection needs"):
        trained(root, tmp_path / "runs", "oracle")
    drawn = {**splits, "valid": rows_of(splits["valid"], np.flatnonzero(splits["valid"].domain != "c"))}
    root = write(tmp_path / "drawn", drawn)
    seen = fits(trained(root, tmp_path / "drawn-runs", "oracle"))[TASK, ""]
    count = round(0.2 * (splits["train"].domain == "c").sum())
    metrics = np.array([epoch["target_metric"] for epoch in seen["epochs"]])
    assert np.allclose(metrics * count, np.round(metrics * count))  # a fifth of its training part


def test_one_source_is_refused_before_anything_is_written(mmbench: Command, data_root: Path, tmp_path: Path):
    write(data_root)
    for task in ("multi/a->multi/b", "multi/a"):
        ended = mmbench("run", "--methods", "erm", "--datasets", task, "--selection", "leave-one-source-out")
        assert ended.returncode == 2
        assert f"task {task}: leave-one-source-out needs two sources or more" in ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1
        assert not (tmp_path / "runs").exists()


def test_a_failed_companion_is_named_where_it_lacks(tmp_path: Path):
    root = write(tmp_path / "data")
    asked = {
        "methods": "erm(layers=1)",
        "datasets": TASK,
        "seeds": "0",
        "protocol": {"epochs": 1, "selection": "leave-one-source-out"},
    }
    where = {"data_root": root, "store": tmp_path / "runs", "launcher": "debug", "device": "cpu"}
    planned = plan(Experiment.read({**asked, **where}))
    alone = replace(planned, jobs=planned.jobs[-1:], todo=planned.todo[-1:])
    assert alone.jobs[0].role == ""
    (failed,) = run(alone).failed
    assert f"its companion {planned.jobs[0].id} is not done" in failed.reason
    assert run(planned).ok  # and the next run makes both


def test_what_the_target_selected_is_called_so_in_every_table(tmp_path: Path):
    root = write(tmp_path / "data")
    store = trained(root, tmp_path / "runs", "oracle")
    trained(root, store, "source-validation")
    from mmbench.leaderboards.tables.accuracy import accuracy

    frame = accuracy(results(store), draws=20)
    rows = frame.loc[frame["metric"] == "accuracy"].set_index("audit_selected_by")
    assert set(rows.index) == {"target validation (oracle)", "source validation split"}
    assert "selection=oracle" in rows.loc["target validation (oracle)", "protocol"]
    assert set(rows["mark"]) == {""}  # each stands in a block of its own: nothing is compared
    assert rows["p_vs_best"].isna().all()


def test_each_rule_makes_jobs_of_its_own(tmp_path: Path):
    root = write(tmp_path / "data")

    def ids(rule: str) -> set[str]:
        asked = {"methods": "erm", "datasets": TASK, "seeds": "0", "data_root": root}
        jobs = plan(Experiment.read({**asked, "store": tmp_path / "r", "protocol": {"selection": rule}})).jobs
        assert all("role" not in job.to_dict() for job in jobs if not job.role)
        return {job.id for job in jobs}

    every = [one for rule in RULES for one in ids(rule)]
    assert len(set(every)) == len(every) == 6
