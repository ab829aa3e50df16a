"""The stand-ins of the action-recognition datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmbench.benchmark.check.conformance import check_entry
from mmbench.benchmark.planning.suites import SUITES
from mmbench.datasets.dataset import DataError, DataNotFound, Samples
from mmbench.datasets.epic import Epic
from mmbench.datasets.hac import Hac
from mmbench.datasets.shared.action import WIDTHS, Action
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


@pytest.fixture(scope="module")
def epic(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Samples]:
    """The small stand-in."""
    folder = tmp_path_factory.mktemp("epic")
    Epic().synthesize(folder)
    return Epic().locate(folder, folder).load()


@pytest.mark.parametrize("dataset", [Epic, Hac])
def test_the_contract_is_kept(dataset: type[Action]):
    results = list(check_entry("dataset", dataset.name))
    assert results
    assert [result.reason for result in results if not result.ok] == []


@pytest.mark.parametrize("dataset", [Epic, Hac])
def test_domains_and_modalities_are_those_of_the_suite(dataset: type[Action]):
    tasks = [item for item in SUITES["mmdg"]() if item.group == dataset.name]
    assert {place for item in tasks for place in item.task.places} == {
        f"{dataset.name}/{d}" for d in dataset.lists
    }
    assert {modality for item in tasks for modality in item.modalities} == set(WIDTHS)


def test_a_full_one_has_the_published_numbers_of_clips(tmp_path: Path):
    assert sum(sum(clips) for clips in Epic.lists.values()) == 10_094
    Hac().synthesize(tmp_path, size="full")
    splits = Hac().locate(tmp_path, tmp_path).load()
    for domain, (train, test) in Hac.lists.items():
        counts = {split: int((part.domain == domain).sum()) for split, part in splits.items()}
        assert counts["train"] + counts["valid"] == train
        assert counts["test"] == test


def columns(samples: Samples, modalities: tuple[str, ...]) -> np.ndarray:
    return np.concatenate([samples.features[name][:, 0] for name in modalities], axis=1)


def accuracy(
    splits: dict[str, Samples], modalities: tuple[str, ...], sources: list[str], target: str
) -> float:
    train, test = splits["train"], splits["test"]
    rows, held = np.isin(train.domain, sources), test.domain == target
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=300))
    model.fit(columns(train, modalities)[rows], train.target[rows])
    return float(model.score(columns(test, modalities)[held], test.target[held]))


def test_modalities_complete_each_other_and_domains_differ(epic: dict[str, Samples]):
    alone = {name: accuracy(epic, (name,), ["d1"], "d1") for name in WIDTHS}
    assert alone["video"] > alone["audio"] > 1.5 / 8
    assert accuracy(epic, tuple(WIDTHS), ["d1"], "d1") > max(alone.values())
    gaps = [accuracy(epic, ("video",), [d], d) - accuracy(epic, ("video",), ["d1"], d) for d in ("d2", "d3")]
    assert gaps[1] > gaps[0] > 0


def test_what_is_no_stand_in_is_spared_and_what_is_missing_is_said(tmp_path: Path):
    with pytest.raises(DataNotFound, match=r"video 2304, audio 512, flow 2048.*mmbench data synth epic"):
        Epic().locate(tmp_path)
    (tmp_path / "dataset.yaml").write_text("title: mine\n")
    with pytest.raises(DataError, match="is no stand-in"):
        Epic().synthesize(tmp_path)
    with pytest.raises(DataError, match="expected small or full, open"):
        Epic().synthesize(tmp_path, format="mat")
