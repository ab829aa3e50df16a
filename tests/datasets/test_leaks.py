"""Near-duplicates and groups in two splits: found where planted, with noise; none in data without any."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mmbench.datasets import leaks as module
from mmbench.datasets.dataset import Samples
from mmbench.datasets.layout.read import read_open_layout
from mmbench.datasets.layout.read_description import read_description
from mmbench.datasets.leaks import NEAR, Leak, leaks

COUNTS = {"train": 120, "valid": 40, "test": 60}
SHAPES = {"text": (9, 18), "audio": (1, 20)}


def splits(seed: int = 0, shapes: dict[str, tuple[int, int]] = SHAPES) -> dict[str, Samples]:
    """Unrelated samples on scales of their own, with steps that are no data and some absent modalities."""
    draw = np.random.default_rng(seed)
    scale = {name: np.exp(draw.normal(size=width)) for name, (_, width) in shapes.items()}
    found = {}
    for split, count in COUNTS.items():
        mask = {n: np.arange(t) < draw.integers(1, t + 1, (count, 1)) for n, (t, _) in shapes.items()}
        mask["audio"] = mask["audio"] & (draw.random((count, 1)) < 0.8)
        features = {
            name: ((draw.normal(size=(count, *shape)) + 3) * scale[name] * mask[name][..., None]).astype(
                np.float32
            )
            for name, shape in shapes.items()
        }
        found[split] = Samples(
            features=features,
            mask=mask,
            present={name: np.asarray(one.any(axis=1)) for name, one in mask.items()},
            target=np.zeros(count, np.int64),
            sample_id=np.array([f"{split}{row // 4}$_${row % 4}" for row in range(count)]),
            domain=np.full(count, "here"),
            previous=np.full(count, -1),
        )
    return found


def with_copies(found: dict[str, Samples], noise: float, rows: range = range(7)) -> dict[str, Samples]:
    """Test samples ``rows`` become copies of the train samples 10, 13, 16 ..., with noise in deviations added.

    Args:
        found: the splits.
        noise: its standard deviation, of features that are standardised.
        rows: of the test.
    """
    draw, train, test = np.random.default_rng(5), found["train"], found["test"]
    features = {name: values.copy() for name, values in test.features.items()}
    mask = {name: values.copy() for name, values in test.mask.items()}
    for name, values in train.features.items():
        sd = values[train.mask[name]].std(axis=0)
        for row in rows:
            place = 10 + 3 * row
            mask[name][row] = train.mask[name][place]
            added = noise * sd * draw.normal(size=values.shape[1:]) * mask[name][row][:, None]
            features[name][row] = values[place] + added
    present = {name: one.any(axis=1) for name, one in mask.items()}
    return {**found, "test": replace(test, features=features, mask=mask, present=present)}


@pytest.mark.parametrize("seed", range(5))
def test_unrelated_samples_are_no_duplicates(seed: int) -> None:
    assert leaks(splits(seed)) == []


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.1, 0.15])  # distances of 0.7 of it, below 0.15
def test_planted_copies_are_found_through_noise(noise: float) -> None:
    (leak,) = leaks(with_copies(splits(), noise))
    assert (leak.kind, leak.splits, leak.count, leak.of) == ("samples", ("train", "test"), 7, 60)
    assert leak.examples[0].startswith("train2$_$2 (train) and test0$_$0 (test), distance 0.")
    distances = [float(one.rpartition(" ")[2]) for one in leak.examples]
    assert distances == pytest.approx([noise / 2**0.5] * 3, abs=0.05)
    assert str(leak) == "7 of 60 test samples have a near-duplicate in train"


def test_with_much_noise_a_copy_is_another_sample() -> None:
    assert leaks(with_copies(splits(), 0.5)) == []


def test_one_modality_that_is_alike_is_no_duplicate() -> None:
    found = with_copies(splits(), 0.0)
    test = found["test"]
    audio = np.random.default_rng(9).normal(size=test.features["audio"].shape).astype(np.float32)
    mask = {**test.mask, "audio": np.ones_like(test.mask["audio"])}
    found["test"] = replace(
        test,
        features={**test.features, "audio": audio},
        mask=mask,
        present={**test.present, "audio": np.ones(len(test), bool)},
    )
    # copies of samples without audio are compared in what both have, the text
    silent = sum(not found["train"].present["audio"][10 + 3 * row] for row in range(7))
    assert sum(leak.count for leak in leaks(found)) == silent


def test_few_features_come_near_by_chance_and_count_only_where_equal() -> None:
    found = splits(shapes={"text": (1, 2), "audio": (1, 3)})
    assert leaks(found) == []
    (leak,) = leaks(with_copies(found, 0.0))
    assert leak.count == 7
    assert leaks(with_copies(found, 0.05)) == []


def test_the_search_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer pairs allowed an even share of the test is looked for, and small pieces give the same."""
    found = with_copies(splits(), 0.05, rows=range(20))
    (whole,) = leaks(found)
    monkeypatch.setattr(module, "VALUES", 500)
    assert leaks(found) == [whole]
    monkeypatch.setattr(module, "PAIRS", 30 * COUNTS["train"])
    (part,) = leaks(found)
    assert part.of == 30
    assert whole.count == 20
    assert part.count == pytest.approx(10, abs=1)


def test_groups_are_what_is_stated_or_the_video() -> None:
    found = splits()
    assert leaks(found) == []
    ids = found["test"].sample_id.copy()
    ids[:8] = [f"train{row}$_$x{row}" for row in (3, 4, 5, 5, 6, 6, 6, 6)]
    (leak,) = leaks({**found, "test": replace(found["test"], sample_id=ids)})
    assert leak == Leak("groups", ("train", "test"), 4, 17, ("train3", "train4", "train5"))
    assert str(leak) == "4 of 17 groups of test are also in train"
    people = {name: replace(one, group=np.arange(len(one)).astype(str)) for name, one in found.items()}
    assert [(one.kind, one.count) for one in leaks(people)] == [
        ("groups", 40),
        ("groups", 60),
        ("groups", 40),
    ]


def test_domains_are_named_where_there_are_several() -> None:
    found = splits()
    people = {
        name: replace(one, domain=np.array([f"p{row % 3}" for row in range(len(one))]))
        for name, one in found.items()
    }
    assert [(one.kind, one.count, one.of) for one in leaks(people)] == [("domains", 3, 3)] * 3


REAL = {
    "mosi": """
file: mosi-real.npz
modalities: {text: {array: text, length: text_length}, audio: audio}
task: {kind: classification, classes: [negative, positive]}
label: label
split: {array: split, values: {0: train, 1: valid, 2: test}}
video: video_id
clip: clip_id
""",
    "dsads": """
file: dsads.npz
modalities: {acceleration: acc, gyroscope: gyr, magnetometer: mag}
task: {kind: classification, classes: 19}
label: label
domain: {array: domain, values: {0: p1, 1: p2, 2: p3, 3: p4, 4: p5, 5: p6, 6: p7, 7: p8}}
split: {array: segment, values: {0-39: train, 40-49: valid, 50-59: test}}
""",
}


def real(name: str, folder: Path, data: Path) -> dict[str, Samples]:
    """The splits of a real dataset."""
    file = folder / "dataset.yaml"
    file.write_text(REAL[name].replace("file: ", f"file: {data}/"))
    return read_open_layout(name, read_description(file))


def test_the_real_mosi_is_clean(real_data: Path, tmp_path: Path) -> None:
    found = real("mosi", tmp_path, real_data)
    assert leaks(found) == []
    draw = np.random.default_rng(0)  # one test sample becomes that of train, with noise
    text = found["test"].features["text"].copy()
    mask, audio = found["test"].mask["text"].copy(), found["test"].features["audio"].copy()
    sd = found["train"].features["text"][found["train"].mask["text"]].astype(np.float32).std(axis=0)
    text[3] = found["train"].features["text"][9] + 0.1 * sd * draw.normal(size=text.shape[1:])
    mask[3] = found["train"].mask["text"][9]
    text[3] *= mask[3][:, None]
    audio[3] = found["train"].features["audio"][9]
    planted = replace(
        found["test"], features={"text": text, "audio": audio}, mask={**found["test"].mask, "text": mask}
    )
    (leak,) = leaks({**found, "test": planted})
    assert leak.count == 1
    assert f"{found['train'].sample_id[9]} (train)" in leak.examples[0]
    assert float(leak.examples[0].rpartition(" ")[2]) < NEAR


def test_neighbours_in_time_are_copies_and_people_are_in_all_parts(real_data: Path, tmp_path: Path) -> None:
    """Segments of one person at rest, split by time: the test knows them from training."""
    found = leaks(real("dsads", tmp_path, real_data))
    kinds = [(leak.kind, leak.splits) for leak in found]
    assert ("samples", ("train", "test")) in kinds
    assert [leak.count for leak in found if leak.kind == "domains"] == [8, 8, 8]
    near = next(leak for leak in found if leak.splits == ("train", "test"))
    assert 300 < near.count < 700
