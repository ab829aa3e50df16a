"""Networks tested on raw media that were broken before they were encoded."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.locate import locate
from mmbench.benchmark.data.tensors import TaskRequest, load_task, sample_hash
from mmbench.benchmark.features import reencode as raw
from mmbench.benchmark.features.reencode import conditions_on_media
from mmbench.benchmark.launch.run import check_data, plan, run
from mmbench.benchmark.planning.corruption_groups import corruption_entries, media_of
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.train.predict import corruption_conditions, outputs_under
from mmbench.corruptions.audio import BandLimit, WhiteNoise
from mmbench.corruptions.condition import Clean
from mmbench.corruptions.frames.noise import PixelNoise
from mmbench.datasets.batch import Batch
from mmbench.datasets.dataset import DataError
from mmbench.datasets.encoders.encoder import Media
from mmbench.datasets.encoders.spec import parse
from mmbench.datasets.encoders.table import make
from mmbench.datasets.media.synthetic import write_action
from mmbench.methods.erm import ERM

from ..conftest import Command

CPU = torch.device("cpu")
AUDIO = "log-mel,bins=16,hop=100"
TASK = "hac/animal+hac/human->hac/cartoon"
DOMAINS = ("human", "animal", "cartoon")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small real videos and recordings, and the features of their sound."""
    made = tmp_path_factory.mktemp("raw")
    write_action(made / "media", "hac", DOMAINS, 7, {"train": 14, "test": 7})
    encode = [sys.executable, "-m", "mmbench.benchmark", "data", "encode", "hac"]
    where = ["--from", str(made / "media"), "--data-root", str(made / "data"), "--encoder", f"audio={AUDIO}"]
    ended = subprocess.run([*encode, *where], capture_output=True, text=True, cwd=made, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return made


@pytest.fixture
def kept(folder: Path) -> Iterator[Path]:
    """The folder of features, which is put back as it was."""
    cache = folder / "data" / "cache" / "features"
    before = {file for file in cache.rglob("*") if file.is_file()}
    yield cache
    for file in {file for file in cache.rglob("*") if file.is_file()} - before:
        file.unlink()


def request(fingerprint: str) -> TaskRequest:
    return TaskRequest(TASK, (fingerprint,), ("audio",), True, "strict", True, "cpu")


def test_features_of_broken_sound_are_those_of_its_files_in_the_units_of_the_task(
    folder: Path, kept: Path
) -> None:
    located = locate("hac", folder / "data")
    data = load_task(request(located.fingerprint()), {"hac": located})
    conditions = conditions_on_media(WhiteNoise, located, "hac/cartoon", data, CPU)
    assert [condition.name for condition in conditions] == [f"white-noise:audio@{s}" for s in range(1, 6)]
    broken = conditions[2].apply(data.test.batch)

    train = located.load()["train"]  # the units, computed anew: of the sources' training steps
    sources = train.domain != "cartoon"
    steps = train.features["audio"][sources][train.mask["audio"][sources]].astype(np.float64)
    mean, deviation = steps.mean(0), steps.std(0)
    encoder = make(parse(AUDIO), CPU)
    for row, sample in enumerate(data.test.sample_id):
        file = next((folder / "media" / "cartoon" / "audio").glob(f"{sample.rpartition('/')[2]}*.wav"))
        sound = torch.from_numpy(soundfile.read(file, dtype="float32", always_2d=True)[0])[None]
        alone = Batch(
            {"audio": sound},
            {"audio": torch.ones(sound.shape[:2], dtype=torch.bool)},
            {"audio": torch.ones(1, dtype=torch.bool)},
            torch.zeros(1),
            torch.zeros(1),
            torch.tensor([sample_hash("hac", sample)]),
        )
        noisy = WhiteNoise("audio", 3).apply(alone).features["audio"]
        found = encoder.encode(Media(noisy, torch.ones(noisy.shape[:2], dtype=torch.bool)))
        expected = (found.features[0].half().double().numpy() - mean) / deviation
        length = int(broken.mask["audio"][row].sum())
        assert length == len(expected)
        np.testing.assert_allclose(
            broken.features["audio"][row, :length].numpy(), expected.clip(-5, 5), atol=2e-3
        )


def test_a_condition_knows_its_samples_in_any_order_and_no_others(folder: Path, kept: Path) -> None:
    located = locate("hac", folder / "data")
    data = load_task(request(located.fingerprint()), {"hac": located})
    condition = conditions_on_media(WhiteNoise, located, "hac/cartoon", data, CPU)[4]
    torch.manual_seed(0)
    method = ERM(ERM.Params(), data.spec("fair"))
    whole = outputs_under(method, data.test.batch, [Clean(), condition])
    order = torch.randperm(len(data.test.batch), generator=torch.Generator().manual_seed(1))
    shuffled = outputs_under(method, data.test.batch.take(order), [condition])
    torch.testing.assert_close(whole[condition.name].prediction[order], shuffled[condition.name].prediction)
    assert not torch.allclose(whole["clean"].prediction, whole[condition.name].prediction, atol=1e-3)
    with pytest.raises(ValueError, match="was not encoded"):
        condition.apply(data.train.batch)


def test_the_second_method_encodes_nothing(folder: Path, kept: Path, tmp_path: Path) -> None:
    asked = {"datasets": [TASK], "data_root": folder / "data", "store": tmp_path / "runs", "seeds": [0]}
    more = {"corruptions": ["white-noise", "gain"], "launcher": "debug", "protocol": {"epochs": 1}}
    assert run(Experiment.read({**asked, **more, "methods": ["erm"]})).ok
    shards = {file: file.stat().st_mtime_ns for file in kept.rglob("*.safetensors")}
    assert len({file.parent for file in shards}) == 1 + 2 * 5  # clean, and five severities of two kinds
    assert run(Experiment.read({**asked, **more, "methods": ["erm", "rna"]})).ok
    assert {file: file.stat().st_mtime_ns for file in kept.rglob("*.safetensors")} == shards
    tables = list((tmp_path / "runs").glob("jobs/*/evaluations/white-noise*.parquet"))
    assert len(tables) == 2
    for table in map(pd.read_parquet, tables):
        assert set(table.condition) == {f"white-noise:audio@{severity}" for severity in range(1, 6)}
        assert set(table.split) == {"test"}


def test_what_the_features_were_not_made_of_is_not_broken(folder: Path, tmp_path: Path) -> None:
    located = locate("hac", folder / "data")
    assert media_of(located) == {"audio": "waveform"}
    data = load_task(request(located.fingerprint()), {"hac": located})
    assert conditions_on_media(PixelNoise, located, "hac/cartoon", data, CPU) == []
    asked = {"datasets": [TASK], "data_root": folder / "data", "store": tmp_path / "runs", "methods": ["erm"]}
    with pytest.raises(UsageError, match=r"breaks frames; .* audio \(of waveform\).* mmbench data encode"):
        run(Experiment.read({**asked, "corruptions": ["image"]}))
    assert not (tmp_path / "runs").exists()
    with pytest.raises(UsageError, match="breaks waveform"):  # features of unknown origin
        corruption_conditions(WhiteNoise, data.test.batch)


@pytest.mark.parametrize("more", [{"corruptions": ["wind"]}, {"protocol": {"encoder_mode": "last"}}])
def test_media_that_were_moved_are_told_before_a_job_runs(
    folder: Path, tmp_path: Path, more: dict[str, Any]
) -> None:
    asked = {"datasets": [TASK], "data_root": folder / "data", "store": tmp_path / "runs", "methods": ["erm"]}
    (folder / "media").rename(folder / "elsewhere")
    try:
        raw._media_set_of.cache_clear()
        with pytest.raises(DataError, match=r"not where they were .* put them back, or encode again"):
            run(Experiment.read({**asked, **more, "launcher": "debug"}))
    finally:
        (folder / "elsewhere").rename(folder / "media")
        raw._media_set_of.cache_clear()
    assert not (tmp_path / "runs").exists()


def test_the_cache_can_lie_elsewhere_when_media_are_broken(
    folder: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(kept.rglob("*"))
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    located = locate("hac", folder / "data")
    data = load_task(request(located.fingerprint()), {"hac": located})
    assert len(conditions_on_media(WhiteNoise, located, "hac/cartoon", data, CPU)) == 5
    assert set(kept.rglob("*")) == before
    assert len(list((tmp_path / "cache").glob("*/*.safetensors"))) == 5


def test_media_that_are_gone_are_named(folder: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    located = locate("hac", folder / "data")
    data = load_task(request(located.fingerprint()), {"hac": located})
    file = (
        next((folder / "media" / "cartoon" / "audio").glob("*test*.wav"), None)
        or sorted((folder / "media" / "cartoon" / "audio").glob("*.wav"))[-1]
    )
    away = file.rename(file.with_suffix(".away"))
    raw._media_set_of.cache_clear()
    try:
        with pytest.raises(DataError, match=r"no longer|can no longer be encoded"):
            conditions_on_media(WhiteNoise, located, "hac/cartoon", data, CPU)
    finally:
        away.rename(file)
        raw._media_set_of.cache_clear()


def test_another_encoder_under_the_same_name_is_refused(folder: Path, kept: Path) -> None:
    import yaml

    file = folder / "data" / "hac" / "dataset.yaml"
    before = file.read_text()
    content = yaml.safe_load(before)
    content["media"]["modalities"]["audio"]["identity"]["version"] = "0"
    file.write_text(yaml.safe_dump(content))
    try:
        located = locate("hac", folder / "data")
        data = load_task(request(located.fingerprint()), {"hac": located})
        with pytest.raises(DataError, match="its version is 1, and was 0"):
            conditions_on_media(WhiteNoise, located, "hac/cartoon", data, CPU)
    finally:
        file.write_text(before)


def test_names_of_groups_of_raw_media() -> None:
    image = {entry.name for entry in corruption_entries(["image"])}
    assert len(image) == 15
    assert image < {entry.name for entry in corruption_entries(["frames"])}
    assert {entry.name for entry in corruption_entries(["audio-wave"])} == {
        entry.name for entry in corruption_entries(["audio"])
    }


def test_media_that_changed_are_named_and_encoding_again_mends_it(
    folder: Path, kept: Path, tmp_path: Path, mmbench: Command
) -> None:
    copy = tmp_path / "media"
    shutil.copytree(folder / "media", copy)
    call = ("data", "encode", "hac", "--from", copy, "--data-root", tmp_path / "data", "--cache", kept)
    encoder = ("--encoder", f"audio={AUDIO}")
    assert mmbench(*call, *encoder).returncode == 0
    before = locate("hac", tmp_path / "data")
    print_before = before.fingerprint()
    data = load_task(request(print_before), {"hac": before})
    assert conditions_on_media(WhiteNoise, before, "hac/cartoon", data, CPU)

    clips = raw.clips_of(raw.origin_of(before))[1]
    sample = data.test.sample_id[0]
    (file,) = clips[sample].media["audio"].files  # type: ignore[union-attr]
    sound, rate = soundfile.read(file)
    soundfile.write(file, 0.5 * sound, rate)
    with pytest.raises(DataError, match=r"has changed since its features were made: encode again") as told:
        conditions_on_media(WhiteNoise, before, "hac/cartoon", data, CPU)
    assert f"{sample}: its audio ({file})" in str(told.value)

    said = mmbench(*call, *encoder).stdout
    assert "encoded 1 of" in said, said
    after = locate("hac", tmp_path / "data")
    assert after.fingerprint() != print_before
    data = load_task(request(after.fingerprint()), {"hac": after})
    assert conditions_on_media(WhiteNoise, after, "hac/cartoon", data, CPU)


def test_features_that_do_not_say_of_which_media_they_are_can_be_broken(
    folder: Path, kept: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "data" / "hac", tmp_path / "hac")
    for split in ("train", "valid", "test"):
        with np.load(tmp_path / "hac" / f"{split}.npz") as arrays:
            left = {name: arrays[name] for name in arrays.files if not name.startswith("content.")}
            assert len(left) < len(arrays.files)
        np.savez(tmp_path / "hac" / f"{split}.npz", **left)
    located = locate("hac", tmp_path)
    data = load_task(request(located.fingerprint()), {"hac": located})
    assert conditions_on_media(WhiteNoise, located, "hac/cartoon", data, CPU)


def test_kinds_that_a_low_rate_of_sound_leaves_nothing_for_are_told_before_training(
    folder: Path, kept: Path, tmp_path: Path, mmbench: Command
) -> None:
    where = ("--from", folder / "media", "--data-root", tmp_path / "data", "--cache", kept)
    encoder = "log-mel,bins=16,hop=100,rate=8000"
    ended = mmbench("data", "encode", "hac", *where, "--encoder", f"audio={encoder}")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    store = tmp_path / "runs"
    asked = {
        "datasets": [TASK],
        "data_root": tmp_path / "data",
        "store": store,
        "methods": ["erm"],
        "seeds": [0],
    }
    more = {"launcher": "debug", "protocol": {"epochs": 1}}
    with pytest.raises(UsageError) as told:
        run(Experiment.read({**asked, **more, "corruptions": ["audio-wave"]}))
    words, _, left = str(told.value).partition(": ask for the others, --corruptions ")
    assert words.startswith("--corruptions band-limit,resampling: audio of hac is read at 8000 Hz")
    assert encoder in words
    assert not store.exists()
    kinds = left.split(",")
    assert {*kinds, "band-limit", "resampling"} == {
        entry.name for entry in corruption_entries(["audio-wave"])
    }
    check_data(plan(Experiment.read({**asked, **more, "corruptions": kinds})), "cpu")

    located = locate("hac", tmp_path / "data")
    data = load_task(request(located.fingerprint()), {"hac": located})
    with pytest.raises(UsageError, match="band-limit:audio@1: cut-off 4000 Hz"):  # where it comes that far
        conditions_on_media(BandLimit, located, "hac/cartoon", data, CPU)
