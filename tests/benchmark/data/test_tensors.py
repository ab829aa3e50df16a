from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmbench.benchmark.data.tensors import TaskCache, TaskRequest, load_task, sample_hash
from mmbench.benchmark.train.predict import without_targets
from mmbench.datasets.dataset import DataError
from mmbench.datasets.layout.write import write_open_layout
from mmbench.datasets.locate import locate

from ..conftest import write_dataset


def request(task: str = "toy", **change) -> TaskRequest:
    base = TaskRequest(task, ("x",), ("text", "audio"), True, "strict", True, "cpu")
    return replace(base, **change)


def located(root: Path, *names: str) -> dict:
    return {name: locate(name, root) for name in names}


def test_features_are_standardised_by_the_source_training_split(data_root: Path):
    data = load_task(request(), located(data_root, "toy"))
    for name in ("text", "audio"):
        steps = data.train.batch.features[name][data.train.batch.mask[name]].double()
        assert torch.allclose(steps.mean(0), torch.zeros(steps.shape[1], dtype=torch.double), atol=1e-5)
        deviation = steps.std(0, correction=0)
        assert torch.allclose(deviation, torch.ones_like(deviation), atol=1e-4)
        assert torch.all(data.train.batch.features[name][~data.train.batch.mask[name]] == 0)


def test_the_target_does_not_touch_the_statistics(data_root: Path):
    before = load_task(request("toy->toys"), located(data_root, "toy", "toys"))
    alone = load_task(request(), located(data_root, "toy"))
    write_dataset(data_root / "other", seed=8, scale=1 / 3)
    after = load_task(request("toy->other"), located(data_root, "toy", "other"))
    for name in ("text", "audio"):
        assert torch.equal(before.train.batch.features[name], alone.train.batch.features[name])
        assert torch.equal(before.train.batch.features[name], after.train.batch.features[name])


def test_a_constant_feature_becomes_zero_and_not_noise(data_root: Path):
    found = locate("toy", data_root)
    splits = found.load()
    for split in splits.values():
        split.features["text"][..., 0] = np.float32(0.1)

    class Constant:
        name, target, modalities = found.name, found.target, found.modalities

        def load(self):
            return splits

    data = load_task(request(), {"toy": Constant()})  # pyright: ignore[reportArgumentType]
    assert torch.all(data.train.batch.features["text"][..., 0] == 0)
    assert torch.all(data.test.batch.features["text"][..., 0] == 0)


def test_labels_of_a_task_share_the_widest_scale(data_root: Path):
    data = load_task(request("toy->toys"), located(data_root, "toy", "toys"))
    stored = locate("toys", data_root).load()["test"].target
    assert data.test.scale == pytest.approx(np.full(16, 3.0))
    assert np.array_equal(data.test.target, stored)
    assert np.allclose(data.test.batch.target.numpy(), stored * 3, atol=1e-6)
    assert set(data.train.scale) == {1.0}


def test_labels_of_single_modalities_are_scaled_as_labels_and_hidden_in_prediction(
    data_root: Path, tmp_path: Path
):
    places = {}
    for name in ("toy", "toys"):
        place = locate(name, data_root)
        splits = {
            split: replace(one, unimodal_target={"text": one.target / 2, "audio": -one.target})
            for split, one in place.load().items()
        }
        write_open_layout(tmp_path / name, splits, place.target)
        places[name] = locate(name, tmp_path)
    data = load_task(request("toy->toys"), places)
    test = data.test.batch
    assert set(test.unimodal_target) == {"text", "audio"}
    assert torch.allclose(test.unimodal_target["audio"], -test.target)
    assert torch.equal(test.take(slice(3, 5)).unimodal_target["audio"], test.unimodal_target["audio"][3:5])
    assert set(data.only(("text",)).test.batch.unimodal_target) == {"text"}
    assert without_targets(test).unimodal_target == {}
    # where a source has none, the joined samples have none
    assert (
        load_task(
            request("toy->toys"), {**places, "toy": locate("toy", data_root)}
        ).train.batch.unimodal_target
        == {}
    )


def test_sources_are_joined_in_order(data_root: Path):
    data = load_task(
        request("toy+toys->toyw", widths="project", modalities=("text",)),
        located(data_root, "toy", "toys", "toyw"),
    )
    assert data.domains == 2
    assert data.train.batch.domain.tolist() == [0] * 40 + [1] * 40
    assert set(data.train.domain) == {"toy", "toys"}
    assert set(data.test.domain) == {"toyw"}
    assert data.train.previous.tolist()[40:44] == [-1, 40, 41, -1]
    assert data.valid.scale.tolist() == pytest.approx([1.0] * 12 + [3.0] * 12)


def test_other_widths_are_an_error_that_names_the_mode(data_root: Path):
    with pytest.raises(DataError, match=r"audio has different widths .*--widths project"):
        load_task(
            request("toy+toyw->toy2"), {**located(data_root, "toy", "toyw"), "toy2": locate("toy", data_root)}
        ).only(("audio",))


def test_each_width_gets_columns_of_its_own(data_root: Path):
    places = {**located(data_root, "toy", "toyw"), "toy2": locate("toyw", data_root)}
    data = load_task(request("toy+toyw->toy2", widths="project"), places)
    audio, mask = data.train.batch.features["audio"], data.train.batch.mask["audio"]
    assert audio.shape[2] == 3 + 5
    first, second = slice(0, 40), slice(40, 80)
    ends = {
        name: (audio[rows][..., :3].abs().sum(), audio[rows][..., 3:].abs().sum())
        for name, rows in (("a", first), ("b", second))
    }
    zero_of_first, zero_of_second = (
        (ends["a"][1], ends["b"][0]) if ends["a"][0] > 0 else (ends["a"][0], ends["b"][1])
    )
    assert zero_of_first == 0
    assert zero_of_second == 0
    for rows in (first, second):
        steps = audio[rows][mask[rows]]
        filled = steps[:, steps.abs().sum(0) > 0]
        assert torch.allclose(filled.mean(0), torch.zeros(filled.shape[1]), atol=1e-5)


def test_a_target_width_that_no_source_has_is_an_error(data_root: Path):
    with pytest.raises(DataError, match="no projection for it would ever be trained"):
        load_task(request("toy->toyw", widths="project"), located(data_root, "toy", "toyw")).only(("audio",))


def test_other_widths_of_one_modality_leave_the_others(data_root: Path):
    data = load_task(request("toy->toyw"), located(data_root, "toy", "toyw"))
    assert data.only(("text",)).test.batch.modalities == ("text",)


def test_classes_and_scores_do_not_mix(data_root: Path):
    with pytest.raises(DataError, match="cannot be joined"):
        load_task(request("toy->toyc"), located(data_root, "toy", "toyc"))


def test_published_protocol_reads_padding(data_root: Path):
    data = load_task(request(mask_padding=False), located(data_root, "toy"))
    assert bool(data.train.batch.mask["text"].all())


def test_jobs_share_tensors(data_root: Path):
    cache = TaskCache(size=1)
    places = located(data_root, "toy", "toyc")
    one = cache.get(request(), places)
    assert cache.get(request(), places) is one
    assert one.only(("audio",)).train.batch.features["audio"] is one.train.batch.features["audio"]
    cache.get(request("toyc", fingerprints=("y",)), places)
    assert cache.get(request(), places) is not one


def test_context_is_the_previous_utterance(data_root: Path):
    split = load_task(request(), located(data_root, "toy")).with_context().train
    context = split.batch.context
    assert context is not None
    assert torch.equal(context.features["text"][1], split.batch.features["text"][0])
    assert context.present["text"][:4].tolist() == [False, True, True, False]


def test_hash_of_a_sample_depends_on_its_name_alone():
    assert sample_hash("mosi", "a$_$1") == sample_hash("mosi", "a$_$1")
    assert len({sample_hash(d, s) for d in ("mosi", "sims") for s in map(str, range(100))}) == 200
    assert -(2**63) <= sample_hash("mosi", "x") < 2**63


def test_standardised_features_are_cut_off(data_root: Path):
    found = locate("toy", data_root)
    splits = found.load()
    splits["test"].features["audio"][0] = np.float32(1e6)

    class Loud:
        name, target, modalities = found.name, found.target, found.modalities

        def load(self):
            return splits

    data = load_task(request(), {"toy": Loud()})  # pyright: ignore[reportArgumentType]
    assert data.test.batch.features["audio"].abs().max() == 5.0
