from __future__ import annotations

import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from mmbench.datasets.dataset import SPLITS, DataError, Samples
from mmbench.datasets.mosei import Mosei
from mmbench.datasets.mosi import Mosi
from mmbench.datasets.pickles.mmsa_layout import Layout
from mmbench.datasets.pickles.read_mmsa import split_samples
from mmbench.datasets.shared import sentiment_synthetic as synthetic
from mmbench.datasets.shared.sentiment import Sentiment
from mmbench.datasets.shared.sentiment_synthetic import generate
from mmbench.datasets.sims import Sims
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

DATASETS: dict[str, Sentiment] = {"mosi": Mosi(), "mosei": Mosei(), "sims": Sims()}
LARGE = Layout("x.pkl", {"train": 2500, "valid": 10, "test": 1500}, (96, 25, 40), (6, 10, 6))
FORMATS = [
    (name, format)
    for name, dataset in DATASETS.items()
    for format in ("mmsa-aligned", "mmsa-unaligned", "casp", "open")
    if format == "open" or format in dataset.layouts
]


@pytest.fixture(scope="module")
def large() -> dict[str, dict[str, Samples]]:
    """A large sample of each dataset, with few features."""
    found = {}
    for name, dataset in DATASETS.items():
        content = generate(name, dataset.target, LARGE, size="full")
        found[name] = {
            split: split_samples(content, split, name, dataset.target, Path("x")) for split in SPLITS
        }
    return found


def pooled(samples: Samples, modality: str) -> np.ndarray:
    """The mean of the valid steps."""
    valid = samples.mask[modality][:, :, None]
    return (samples.features[modality] * valid).sum(axis=1) / valid.sum(axis=1)


def latents(samples: Samples, modality: str) -> np.ndarray:
    """What the planted loadings make of the features."""
    width = samples.features[modality].shape[2]
    return pooled(samples, modality) @ synthetic.loadings("mosi", modality, width, 0).T


def explained(train: np.ndarray, y: np.ndarray, test: np.ndarray, truth: np.ndarray) -> float:
    """R^2 on the test part of a ridge regression."""
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 4, 6))).fit(train, y)
    return float(model.score(test, truth))


def probe(parts: dict[str, Samples], *modalities: str) -> float:
    train, test = (
        np.concatenate([pooled(parts[split], modality) for modality in modalities], axis=1)
        for split in ("train", "test")
    )
    return explained(train, parts["train"].target, test, parts["test"].target)


@pytest.mark.parametrize("name", DATASETS)
def test_text_is_strong_audio_and_vision_weak_but_real(
    large: dict[str, dict[str, Samples]], name: str
) -> None:
    parts = large[name]
    text, audio, vision = (probe(parts, modality) for modality in ("text", "audio", "vision"))
    assert text > 0.35
    assert 0.03 < audio < 0.2
    assert 0.03 < vision < 0.2
    assert probe(parts, "text", "audio", "vision") > text + 0.1


def test_some_information_is_in_the_interaction_only(large: dict[str, dict[str, Samples]]) -> None:
    parts = large["mosi"]
    found = {}
    for split in ("train", "test"):
        audio, vision = latents(parts[split], "audio")[:, :2], latents(parts[split], "vision")[:, :2]
        found[split] = {
            "audio": audio,
            "vision": vision,
            "both": np.concatenate([audio, vision], axis=1),
            "product": np.concatenate([audio, vision, audio[:, 1:] * vision[:, 1:]], axis=1),
        }

    def score(key: str, degree: int = 1) -> float:
        expand = PolynomialFeatures(degree)
        train, test = expand.fit_transform(found["train"][key]), expand.fit_transform(found["test"][key])
        return explained(train, parts["train"].target, test, parts["test"].target)

    additive = score("both")
    assert score("product") > additive + 0.06
    # no curve in one modality alone shows it
    assert score("audio", degree=3) < score("audio") + 0.02
    assert score("vision", degree=3) < score("vision") + 0.02
    # and a probe that is not told which product finds it
    assert score("both", degree=2) > additive + 0.06


def test_the_datasets_differ(large: dict[str, dict[str, Samples]]) -> None:
    def correlation(train: str, test: str) -> float:
        x, y = pooled(large[train]["train"], "text"), large[train]["train"].target
        model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 4, 6))).fit(x, y)
        found = model.predict(pooled(large[test]["test"], "text"))
        return float(np.corrcoef(found, large[test]["test"].target)[0, 1])

    for source, target in (("mosi", "sims"), ("sims", "mosi"), ("sims", "mosei"), ("mosi", "mosei")):
        assert correlation(target, target) > correlation(source, target) + 0.01
    shares = {name: float((parts["train"].target > 0).mean()) for name, parts in large.items()}
    assert shares["sims"] < shares["mosi"] < shares["mosei"]
    # the same space, in which the direction of the sentiment is turned by the angle that is documented
    base, turned = (synthetic.loadings(name, "text", 96, 0) for name in ("mosi", "sims"))
    cosines = (base * turned).sum(axis=1) / np.linalg.norm(base, axis=1) / np.linalg.norm(turned, axis=1)
    cosine = np.cos(np.deg2rad(synthetic.ROTATION["sims"]))
    np.testing.assert_allclose(cosines, [cosine, 1, 1, 1, 1, cosine], atol=1e-5)


def test_the_previous_utterance_tells_something(large: dict[str, dict[str, Samples]]) -> None:
    train = large["mosi"]["train"]
    rows = np.flatnonzero(train.previous >= 0)
    correlation = np.corrcoef(train.target[rows], train.target[train.previous[rows]])[0, 1]
    assert 0.04 < correlation < 0.2


@pytest.mark.parametrize("name", DATASETS)
def test_labels_have_the_native_range_and_exact_zeros(
    large: dict[str, dict[str, Samples]], name: str
) -> None:
    target = large[name]["train"].target
    high = 1.0 if name == "sims" else 3.0
    assert (target.min(), target.max()) == (-high, high)
    zeros = float((target == 0).mean())
    assert (0.1 < zeros < 0.2) if name == "sims" else (0.03 < zeros < 0.08)
    assert not np.signbit(target[target == 0]).any()
    np.testing.assert_allclose(target / synthetic.GRID, np.round(target / synthetic.GRID), atol=1e-5)


@pytest.mark.parametrize(("name", "format"), FORMATS)
def test_every_format_comes_back_through_its_loader(tmp_path: Path, name: str, format: str) -> None:
    dataset = DATASETS[name]
    begin = time.perf_counter()
    files = dataset.synthesize(tmp_path / name.upper(), format=format)
    assert time.perf_counter() - begin < 10
    assert sum(file.stat().st_size for file in files) < 40e6
    located = dataset.locate(tmp_path)
    assert located.synthetic
    assert located.format == format
    found = located.load()
    assert {split: len(part) for split, part in found.items()} == synthetic.SMALL_COUNTS
    widths = dataset.layouts["casp" if format == "open" else format].widths
    for part in found.values():
        assert tuple(array.shape[2] for array in part.features.values()) == widths
        for modality, mask in part.mask.items():
            steps = mask.shape[1]
            assert mask.sum(axis=1).min() == (steps + 1) // 2
            assert mask.sum(axis=1).max() == steps
            # padded at the end with zeros
            np.testing.assert_array_equal(mask, np.arange(steps) < mask.sum(axis=1)[:, None])
            assert (part.features[modality][~mask] == 0).all()
            assert part.present[modality].all()
        assert set(part.domain.tolist()) == {name}
        assert (part.previous >= 0).mean() > 0.8
    if format == "mmsa-aligned":
        np.testing.assert_array_equal(found["test"].mask["text"], found["test"].mask["vision"])
    if format == "mmsa-unaligned":
        assert (found["test"].mask["text"].sum(1) != found["test"].mask["vision"].sum(1)).any()


def test_formats_hold_the_same_utterances(tmp_path: Path) -> None:
    loaded = []
    for format in ("mmsa-aligned", "casp", "open"):
        Mosi().synthesize(tmp_path / format / "mosi", format=format)
        loaded.append(Mosi().locate(tmp_path / format).load()["valid"])
    for other in loaded[1:]:
        np.testing.assert_array_equal(other.target, loaded[0].target)
        np.testing.assert_array_equal(other.sample_id, loaded[0].sample_id)
    np.testing.assert_array_equal(loaded[1].features["vision"], loaded[2].features["vision"])


def test_silence_is_in_the_file_and_not_in_the_samples(tmp_path: Path) -> None:
    (file,) = Mosi().synthesize(tmp_path / "mosi", format="mmsa-unaligned")
    content = pickle.loads(file.read_bytes())
    assert np.isneginf(content["train"]["audio"]).any()
    found = Mosi().locate(tmp_path).load()
    assert np.isfinite(found["train"].features["audio"]).all()


@pytest.mark.parametrize("format", ["mmsa-unaligned", "open"])
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, format: str) -> None:
    written = [
        [file.read_bytes() for file in Mosi().synthesize(tmp_path / str(number), seed=seed, format=format)]
        for number, seed in enumerate((3, 3, 4))
    ]
    assert written[0] == written[1]
    assert written[0][-1] != written[2][-1]


def test_full_size_has_the_official_counts() -> None:
    counts = Mosi.layouts["mmsa-unaligned"].counts
    content = generate("mosi", Mosi.target, Layout("x", counts, (20, 25, 171), (44, 44, 44)), size="full")
    shapes = [content[split]["vision"].shape for split in SPLITS]
    assert shapes == [(1284, 44, 171), (229, 44, 171), (686, 44, 171)]


def test_wrong_requests_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no stand-in of size 'big'; expected small or full"):
        Mosi().synthesize(tmp_path, size="big")
    with pytest.raises(
        DataError, match="no stand-in in format 'mmsa-aligned'; expected mmsa-unaligned, casp or"
    ):
        Sims().synthesize(tmp_path, format="mmsa-aligned")


def test_real_data_are_never_written_over(tmp_path: Path) -> None:
    (file,) = Mosi().synthesize(tmp_path)
    Mosi().synthesize(tmp_path, seed=1)  # a stand-in may be replaced
    file.write_bytes(b"real")
    with pytest.raises(DataError, match="is no stand-in"):
        Mosi().synthesize(tmp_path)
    assert file.read_bytes() == b"real"
    described = tmp_path / "dataset.yaml"
    described.write_text("mine")
    with pytest.raises(DataError, match="is no stand-in"):
        Mosi().synthesize(tmp_path, format="open")
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        Mosi().synthesize(blocked / "mosi")
