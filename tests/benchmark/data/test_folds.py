"""A dataset divided into folds: which samples train, validate and test, and what cannot be divided."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.fold import AUTO, LEAVE_ONE_OUT, TRAIN_VALID, Fold
from mmbench.benchmark.data.folds import all_samples, divide
from mmbench.benchmark.data.tensors import TaskRequest, load_task
from mmbench.benchmark.planning.folds import Folds
from mmbench.datasets.dataset import SPLITS, DataError, Samples
from mmbench.datasets.locate import locate

DESCRIPTION = """
file: arrays.npz
modalities: {text: text}
task: {kind: classification, classes: [calm, loud]}
label: label
indices: true
split: none
sample_id: name
group: speaker
domain: session
"""


def write(folder: Path, label=None, session=None, description: str = DESCRIPTION) -> None:
    """60 samples of 12 speakers in 4 sessions, without parts."""
    rng = np.random.default_rng(3)
    speaker = np.arange(60) // 5
    folder.mkdir(parents=True)
    (folder / "dataset.yaml").write_text(description)
    np.savez(
        folder / "arrays.npz",
        text=rng.normal(size=(60, 2, 3)).astype(np.float32),
        label=np.arange(60) % 2 if label is None else label,
        name=np.array([f"n{row}" for row in range(60)]),
        speaker=np.array([f"p{one}" for one in speaker]),
        session=speaker // 3 if session is None else session,
    )


@pytest.fixture
def talks(tmp_path: Path):
    """A dataset without parts, in place."""
    write(tmp_path / "talks")
    return locate("talks", tmp_path)


def samples_of(talks) -> Samples:
    return all_samples(talks.load(), "talks")


@pytest.mark.parametrize(
    ("rule", "group", "by", "count"),
    [
        (5, AUTO, "speaker", 5),
        (3, "none", "", 3),
        (4, "session", "session", 4),
        (LEAVE_ONE_OUT, "domain", "session", 4),
        (LEAVE_ONE_OUT, AUTO, "speaker", 12),
    ],
)
def test_every_sample_is_tested_once_and_no_group_lies_on_two_sides(talks, rule, group, by, count):
    samples = samples_of(talks)
    division = divide(samples, rule, group, talks, "talks")
    assert (division.group, len(division.parts)) == (by, count)
    assert ((division.parts == 2).sum(axis=0) == 1).all()
    for index in range(1, count + 1):
        fold = Fold(index, count, by, rule == LEAVE_ONE_OUT, division.digest)
        data = load_task(
            TaskRequest("talks", ("x",), ("text",), True, "strict", True, "cpu", fold=fold), {"talks": talks}
        )
        parts = [set(split.sample_id.tolist()) for split in (data.train, data.valid, data.test)]
        assert all(parts)
        assert sum(map(len, parts)) == 60 == len(set.union(*parts))
        values = {"speaker": samples.group, "session": samples.domain, "": samples.sample_id}[by]
        sides = [{values[row] for row in range(60) if samples.sample_id[row] in part} for part in parts]
        assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]
        train = data.train.batch.features["text"].reshape(-1, 3)
        assert np.allclose(train.mean(0), 0, atol=1e-5)  # standardised by its own training part


def test_the_order_of_the_samples_changes_no_fold(talks):
    samples = samples_of(talks)
    order = np.random.default_rng(0).permutation(60)
    from mmbench.datasets.samples import take_rows

    one = divide(samples, 5, AUTO, talks, "talks")
    other = divide(take_rows(samples, order), 5, AUTO, talks, "talks")
    assert (other.parts == one.parts[:, order]).all()
    assert other.digest == one.digest


def test_another_division_than_the_planned_one_is_refused(talks):
    fold = Fold(1, 5, "speaker", False, "0" * 16)
    request = TaskRequest("talks", ("x",), ("text",), True, "strict", True, "cpu", fold=fold)
    with pytest.raises(DataError, match="no longer the one that the job was planned with"):
        load_task(request, {"talks": talks})


def test_a_fold_that_is_a_group_is_named_and_keeps_its_identity(talks):
    division = divide(samples_of(talks), LEAVE_ONE_OUT, "domain", talks, "talks")
    assert division.names == ("0", "1", "2", "3")
    assert not divide(samples_of(talks), 5, AUTO, talks, "talks").names
    known = Folds(4, "domain", True, division.digest)
    for fold, unnamed in zip(replace(known, names=division.names).all(), known.all(), strict=True):
        tested = samples_of(talks).domain[division.parts[fold.index - 1] == SPLITS.index("test")]
        assert set(tested) == {fold.name}
        assert fold.identity == unnamed.identity
        assert Fold(**fold.to_dict()) == fold
        assert fold.place == f"{unnamed.place} ({fold.name})"
        assert "name" not in unnamed.to_dict()


@pytest.mark.parametrize(
    ("task", "advice"),
    [
        ("talks", "divide it with --folds 5"),
        ("talks/1", "divide it with --folds 5"),
        ("talks/0+talks/1->talks/2", "out: --datasets talks --folds leave-one-out --fold-group domain"),
        ("talks->others", "a shift between datasets needs those of each"),
    ],
)
def test_a_dataset_without_parts_is_refused_without_folds(talks, task, advice):
    request = TaskRequest(task, ("x",), ("text",), True, "strict", True, "cpu")
    with pytest.raises(DataError, match=f"talks: the dataset has no parts of its own; .*{advice}"):
        load_task(request, {"talks": talks, "others": talks})


def test_plan_refuses_what_run_would_refuse(talks, call, tmp_path):
    root = tmp_path
    asked = (
        "--methods",
        "erm",
        "--datasets",
        "talks/0->talks/2",
        "--data-root",
        root,
        "--store",
        tmp_path / "runs",
    )
    for command in ("plan", "run"):
        code, said = call(command, *asked, "--device", "cpu")
        assert code == 2
        assert "talks: the dataset has no parts of its own; leave each domain out:" in " ".join(said.split())
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("rule", "group", "message"),
    [
        (13, AUTO, "there are 12 groups for 13 folds"),
        (61, "none", "there are 60 samples for 61 folds"),
        (5, "sesion", "has no group 'sesion' to keep in one fold: did you mean session"),
        (5, "video", "has no group 'video'"),
        (LEAVE_ONE_OUT, "none", "--fold-group none names none"),
    ],
)
def test_what_cannot_be_divided_is_one_line(talks, rule, group, message):
    with pytest.raises(UsageError, match=message) as caught:
        divide(samples_of(talks), rule, group, talks, "talks")
    assert "\n" not in str(caught.value)


def test_two_groups_are_too_few(tmp_path: Path):
    write(tmp_path / "two", session=np.arange(60) // 30)
    two = locate("two", tmp_path)
    with pytest.raises(
        UsageError, match="it has 2 of them, and 3 are needed: to test, to validate, to train"
    ):
        divide(samples_of(two), 2, "session", two, "two")


def test_a_group_in_two_folds_is_refused(tmp_path: Path):
    write(tmp_path / "mixed", session=np.arange(60) % 4)
    mixed = locate("mixed", tmp_path)
    with pytest.raises(UsageError, match="speaker 'p0' lies in two folds by session"):
        divide(samples_of(mixed), 4, "session", mixed, "mixed")


def test_a_fold_that_would_train_one_class_is_refused(tmp_path: Path):
    write(tmp_path / "apart", label=(np.arange(60) // 15 == 0).astype(int))
    apart = locate("apart", tmp_path)
    with pytest.raises(UsageError, match="fold 1 of 4 would be trained on one class alone, calm"):
        divide(samples_of(apart), LEAVE_ONE_OUT, "session", apart, "apart")


@pytest.mark.parametrize(
    ("rare", "group", "told"),
    [
        (1, "none", r"as class loud has 1 sample \(1 tested there\): a class needs 3 samples, to test, to validate and to "
            "train: merge it with another class, or leave its samples out"),
        (15, LEAVE_ONE_OUT, r"as class loud has 15 samples \(15 tested there\): use fewer folds, or another --fold-group"),
    ],
)  # fmt: skip
def test_a_class_that_a_fold_cannot_train_is_named_with_its_samples(
    tmp_path: Path, rare: int, group: str, told: str
):
    write(tmp_path / "apart", label=(np.arange(60) < rare).astype(int))
    apart = locate("apart", tmp_path)
    rule, by = (LEAVE_ONE_OUT, "session") if group == LEAVE_ONE_OUT else (5, group)
    with pytest.raises(
        UsageError, match=rf"apart: fold \d of \d would be trained on one class alone, calm, {told}"
    ):
        divide(samples_of(apart), rule, by, apart, "apart")


def test_a_class_with_fewer_samples_than_folds_is_said(tmp_path: Path):
    write(tmp_path / "rare", label=(np.arange(60) % 15 == 0).astype(int))
    rare = locate("rare", tmp_path)
    line = "class loud has 4 samples, fewer than the 5 folds: use fewer folds, merge it with another class, or leave its samples out"
    assert line in divide(samples_of(rare), 5, "none", rare, "rare").notes
    assert not divide(samples_of(rare), 4, "none", rare, "rare").notes


def test_single_samples_of_groups_are_said_to_leak(talks):
    division = divide(samples_of(talks), 3, "none", talks, "talks")
    assert division.leaks == ("12 of 12 groups (speaker) lie in several folds",)
    assert divide(samples_of(talks), 3, AUTO, talks, "talks").leaks == ()


def test_a_class_that_a_fold_does_not_test_is_said(tmp_path: Path):
    write(tmp_path / "rare", label=(np.arange(60) % 5 == 0) & (np.arange(60) >= 15))
    rare = locate("rare", tmp_path)
    notes = divide(samples_of(rare), LEAVE_ONE_OUT, "session", rare, "rare").notes
    assert notes == ("fold 1 of 4 has no test sample of class loud",)


def test_parts_of_a_dataset_are_put_together(data_root: Path):
    toy = locate("toy", data_root)
    splits = toy.load()
    with_test = all_samples(splits, "toy")
    assert len(with_test) == sum(map(len, splits.values()))
    division = divide(with_test, 4, AUTO, toy, "toy")
    fold = Fold(2, 4, "", False, division.digest)
    data = load_task(request(fold), {"toy": toy})
    assert sorted(data.test.sample_id) == sorted(with_test.sample_id[division.parts[1] == 2])


def test_the_test_part_may_stay_untouched(data_root: Path, talks):
    toy = locate("toy", data_root)
    splits = toy.load()
    kept = all_samples(splits, "toy", TRAIN_VALID)
    assert set(kept.sample_id) == {*splits["train"].sample_id, *splits["valid"].sample_id}
    division = divide(kept, 3, AUTO, toy, "toy")
    read = [
        load_task(request(Fold(index, 3, "", False, division.digest, TRAIN_VALID)), {"toy": toy})
        for index in (1, 2, 3)
    ]
    tested = [name for data in read for name in data.test.sample_id]
    assert sorted(tested) == sorted(kept.sample_id)
    seen = {name for data in read for part in (data.train, data.valid, data.test) for name in part.sample_id}
    assert not seen & set(splits["test"].sample_id)
    fold = Fold(1, 3, "", False, division.digest, TRAIN_VALID)
    assert fold.rule == "3 folds of train+valid"
    assert Fold(**fold.to_dict()) == fold
    assert "parts" not in replace(fold, parts="").to_dict()
    with pytest.raises(UsageError, match="leaves the test part alone, and the dataset has no parts"):
        all_samples(talks.load(), "talks", TRAIN_VALID)


def request(fold: Fold) -> TaskRequest:
    return TaskRequest("toy", ("x",), ("text", "audio"), True, "strict", True, "cpu", fold=fold)
