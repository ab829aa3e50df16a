"""Jobs whose encoders of raw media are trained along."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.locate import locate
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.core.registry import entries
from mmbench.benchmark.data.tensors import TaskRequest, load_task
from mmbench.benchmark.features.finetune import conditions_on_batches, with_all_media, with_media
from mmbench.benchmark.features.reencode import clips_of, conditions_on_media, encoder_of, origin_of
from mmbench.benchmark.launch.run import run
from mmbench.benchmark.planning.corruption_groups import corruption_entries, reaches_any_medium
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.train import checkpoint
from mmbench.benchmark.train.new_samples import predict
from mmbench.benchmark.train.predict import corruption_conditions
from mmbench.corruptions.corruption import apply_all, prepare
from mmbench.corruptions.frames.blur import DefocusBlur
from mmbench.corruptions.missing_rates import OwnRates, RandomFrames
from mmbench.datasets.damage import PACKET
from mmbench.datasets.dataset import DataError
from mmbench.datasets.encoders.encoder import Media
from mmbench.datasets.encoders.spec import parse
from mmbench.datasets.encoders.table import make
from mmbench.datasets.media.clip import Piece
from mmbench.datasets.media.find import find_media
from mmbench.datasets.media.synthetic import write_action
from mmbench.methods.erm import ERM
from safetensors.torch import load_file

from ..conftest import Command

CPU = torch.device("cpu")
VIT = "timm:test_vit,size=32,frames=2,weights=random"
TASK = "hac/animal+hac/human->hac/cartoon"
#: The last block of that network.
LAST = f"blocks.{len(make(parse(VIT), CPU).network.module.blocks) - 1}."  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small real videos, encoded by a tiny network, and their sound by a fixed transform."""
    from mmbench.benchmark.features.dataset import encode_dataset
    from mmbench.benchmark.features.provenance import MediaSource
    from mmbench.datasets.cache.cache import FeatureCache
    from mmbench.datasets.media.find import find_media

    made = tmp_path_factory.mktemp("tuning")
    write_action(made / "media", "hac", ("human", "animal", "cartoon"), 7, {"train": 14, "test": 7})
    media_set = find_media("hac", made / "data", made / "media")
    texts = {"video": VIT, "audio": "log-mel,bins=16,hop=100"}
    encoders = {name: (text, make(parse(text), CPU)) for name, text in texts.items()}
    cache = FeatureCache(made / "data" / "cache" / "features")
    source = MediaSource("hac", str(made / "data"), str(made / "media"))
    assert encode_dataset(media_set, encoders, cache, made / "data" / "hac", source, dtype="float32").files
    return made


def asked(folder: Path, store: Path, **more: Any) -> Experiment:
    values: dict[str, Any] = {
        "methods": ["erm(layers=1)"],
        "datasets": [TASK],
        "seeds": [0],
        "launcher": "debug",
    }
    protocol = {"epochs": 2, "batch_size": 8, **more.pop("protocol", {})}
    return Experiment.read(
        {
            **values,
            "data_root": folder / "data",
            "store": store,
            "device": "cpu",
            "protocol": protocol,
            **more,
        }
    )


def test_a_damaged_batch_is_what_the_files_give_when_they_are_damaged(folder: Path) -> None:
    located = locate("hac", folder / "data")
    request = TaskRequest(TASK, (located.fingerprint(),), ("video", "audio"), False, "strict", True, "cpu")
    frozen = load_task(request, {"hac": located})
    data = with_media(
        frozen, {"hac": located}, Protocol.model_validate({"encoder_mode": "last"}), ("video", "audio")
    )
    assert list(data.finetuned) == ["video"]  # a spectrum has nothing to train
    assert data.test.batch.features["video"].dtype == torch.uint8
    assert data.spec("fair").modalities == frozen.spec("fair").modalities
    live = conditions_on_batches(DefocusBlur, located, data)
    kept = conditions_on_media(DefocusBlur, located, "hac/cartoon", frozen, CPU)
    assert [condition.name for condition in live] == [condition.name for condition in kept]
    assert conditions_on_media(DefocusBlur, located, "hac/cartoon", data, CPU) == []
    encoder = make(parse(VIT), CPU)
    for one, other in zip(live, kept, strict=True):
        broken = one.apply(data.test.batch)
        found = encoder.encode(Media(broken.features["video"], broken.mask["video"])).features
        torch.testing.assert_close(
            found, other.apply(frozen.test.batch).features["video"], atol=1e-4, rtol=1e-3
        )


@pytest.mark.slow
def test_a_run_trains_the_last_block_alone_and_tests_it_under_damage(folder: Path, tmp_path: Path) -> None:
    more = {"corruptions": ["defocus-blur", "white-noise", "gaussian-noise"]}
    rules = {"encoder_mode": "last", "media_rate": 1.0}
    assert run(asked(folder, tmp_path / "runs", protocol=rules, **more)).ok
    (job,) = (tmp_path / "runs" / "jobs").iterdir()
    weights = load_file(job / "weights.safetensors")
    fresh = make(parse(VIT), CPU).network.module.state_dict()  # type: ignore[attr-defined]
    mine = {
        name.partition(".media.module.")[2]: value
        for name, value in weights.items()
        if ".media.module." in name
    }
    assert mine.keys() == fresh.keys()
    changed = {name for name, value in mine.items() if not torch.equal(value, fresh[name])}
    assert changed
    assert all(name.startswith(LAST) for name in changed)
    tables = {file.stem: pd.read_parquet(file) for file in job.glob("evaluations/*.parquet")}
    assert set(tables["defocus-blur"].condition) == {f"defocus-blur:video@{s}" for s in range(1, 6)}
    assert set(tables["white-noise"].condition) == {f"white-noise:audio@{s}" for s in range(1, 6)}
    assert set(tables["gaussian-noise"].condition) == {f"gaussian-noise:audio@{s}" for s in range(1, 6)}
    before = json.loads((job / "done.json").read_text())
    assert run(
        asked(folder, tmp_path / "runs", protocol=rules, corruptions=["contrast"])
    ).ok  # from its weights
    assert json.loads((job / "done.json").read_text()) == before


@pytest.mark.slow
def test_an_encoder_that_is_trained_learns_what_a_frozen_one_cannot(folder: Path, tmp_path: Path) -> None:
    losses = {}
    for mode in ("frozen", "full"):
        rules = {"encoder_mode": mode, "media_rate": 1.0, "epochs": 25}
        assert run(asked(folder, tmp_path / mode, modalities=["video"], protocol=rules)).ok
        (file,) = (tmp_path / mode).glob("jobs/*/fit.json")
        losses[mode] = [epoch["train"]["task"] for epoch in json.loads(file.read_text())["epochs"]]
    assert losses["full"][-1] < 0.7 * losses["full"][0]


def check_new_clips(folder: Path, job: Path, new: Path) -> None:
    """The test clips are predicted anew from their media, and as in the test where one modality is missing."""
    table = pd.read_parquet(job / "predictions.parquet")
    test = table[table["split"] == "test"]
    clips = {clip.sample_id: clip for clip in find_media("hac", folder / "data", folder / "media").clips}
    names = test.loc[test["condition"] == "clean", "sample_id"].tolist()
    blind = set(names[::2])
    rows = ["sample_id,video,audio,audio.start,audio.stop"]
    for name in names:
        video, audio = (clips[name].media[one] for one in ("video", "audio"))
        assert isinstance(video, Piece)
        assert isinstance(audio, Piece)
        cells = ["" if name in blind else video.files[0], audio.files[0], audio.start, audio.stop]
        rows.append(",".join([name, *("" if cell is None else str(cell) for cell in cells)]))
    new.mkdir()
    (new / "new.csv").write_text("\n".join(rows) + "\n")
    (new / "media.yaml").write_text("table: new.csv\nmodalities: {video: frames, audio: waveform}\n")
    found = predict(job, new, data_root=folder / "data").set_index("sample_id")
    for condition, asked_for in (("clean", set(names) - blind), ("missing:video", blind)):
        wanted = np.array([one in asked_for for one in test["sample_id"]])
        there = test.loc[(test["condition"] == condition) & wanted]
        logits = there.filter(like="logit_").to_numpy()
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found.loc[there["sample_id"]].filter(like="p_"), shares, atol=1e-4)


@pytest.mark.parametrize("mode", ["last", "full", "lora"])
def test_an_interrupted_job_ends_with_the_bytes_of_an_undisturbed_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(checkpoint, "INTERVAL", 0.0)
    monkeypatch.setattr(checkpoint, "PATIENCE", 0.0)
    rules: dict[str, Any] = {"encoder_mode": mode, "media_rate": 1.0, "epochs": 3}
    more: dict[str, Any] = {"protocol": rules}
    begun = iter(range(rules["epochs"]))

    def interrupt(method: ERM, validate: object) -> None:
        if next(begun) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ERM, "after_epoch", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(asked(folder, tmp_path / "disturbed", **more))
    for name in ("disturbed", "undisturbed"):
        assert run(asked(folder, tmp_path / name, **more)).ok
    (ran,) = tmp_path.glob("disturbed/jobs/*/environment.json")
    assert json.loads(ran.read_text())["resumed_epochs"] == [2]
    check_new_clips(folder, ran.parent, tmp_path / "new")
    for file in ("predictions.parquet", "fit.json", "weights.safetensors"):
        ends = [
            next(tmp_path.glob(f"{name}/jobs/*/{file}")).read_bytes() for name in ("disturbed", "undisturbed")
        ]
        assert ends[0] == ends[1]


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"datasets": ["hac/animal->hac/human"], "ood": ["hac/cartoon"]}, "--ood hac/cartoon"),
        ({"protocol": {"train_with_noise": "spectrum"}}, "--train-noise"),
        ({"corruptions": ["reliability"]}, "--corruptions reliability"),
    ],
)
def test_what_needs_frozen_features_is_refused(folder: Path, tmp_path: Path, more: dict, what: str) -> None:
    rules = {"encoder_mode": "full", **more.pop("protocol", {})}
    with pytest.raises(UsageError, match=f"{what} works on frozen features"):
        run(asked(folder, tmp_path / "runs", protocol=rules, **more))


def test_a_corruption_of_features_is_refused_where_none_are_left(folder: Path, tmp_path: Path) -> None:
    rules = {"encoder_mode": "full"}
    more = {"modalities": ["video"], "corruptions": ["gaussian-noise", "random-frames"]}
    with pytest.raises(UsageError, match=r"--corruptions gaussian-noise: .* trained") as told:
        run(asked(folder, tmp_path / "runs", protocol=rules, **more))
    assert str(told.value).endswith("under missing-rates,imbalanced-rates,conflict,frames,image")


def test_what_takes_modalities_or_steps_away_reaches_raw_media(folder: Path) -> None:
    """Every corruption that says that it is made for any medium, on pictures beside features, and on raw sound."""
    located = locate("hac", folder / "data")
    request = TaskRequest(TASK, (located.fingerprint(),), ("video", "audio"), False, "strict", True, "cpu")
    frozen = load_task(request, {"hac": located})
    raw = with_all_media(frozen, {"hac": located}, ("video", "audio"))
    known = {name: entry.load() for name, entry in entries("corruption").items()}
    kinds = {name: kind for name, kind in known.items() if reaches_any_medium(kind)}
    assert set(kinds) == {
        "random-modality", "random-frames", "imbalanced-rates", "conflict", "missing-by-label",
    }  # fmt: skip
    for name, kind in [*kinds.items(), ("own", OwnRates({"video": 0.5}))]:
        before = corruption_conditions(kind, frozen.test.batch)
        after = corruption_conditions(kind, raw.test.batch, raw.media, raw.sound_rates)
        assert [one.name for one in after] == [one.name for one in before] != [], name
        batch = raw.test.batch
        pairs = apply_all([prepare(one, batch) for one in after[-1:]], batch)
        for condition, changed in pairs:
            differs = [
                not (
                    torch.equal(changed.features[one], batch.features[one])
                    and torch.equal(changed.present[one], batch.present[one])
                )
                for one in ("video", "audio")
            ]
            assert any(differs), condition.name
    assert corruption_conditions(known["gaussian-noise"], raw.test.batch, raw.media) == []


def test_frames_of_raw_media_are_pictures_and_packets_of_sound(folder: Path) -> None:
    located = locate("hac", folder / "data")
    request = TaskRequest(TASK, (located.fingerprint(),), ("video", "audio"), False, "strict", True, "cpu")
    frozen = load_task(request, {"hac": located})
    raw = with_all_media(frozen, {"hac": located}, ("video", "audio"))
    batch, size = raw.test.batch, round(PACKET * raw.sound_rates["audio"])
    shares = []
    for condition in corruption_conditions(RandomFrames, batch, raw.media, raw.sound_rates):
        changed = condition.apply(batch)
        assert changed.features["video"].dtype == torch.uint8
        black = (changed.features["video"] == 0).flatten(2).all(2)
        kept = (changed.features["video"] == batch.features["video"]).flatten(2).all(2)
        assert (black | kept).all()
        silent = changed.features["audio"][..., 0] == 0
        whole = silent.shape[1] // size * size
        packets = silent[:, :whole].unflatten(1, (-1, size))
        heard = (batch.features["audio"][:, :whole, 0] != 0).unflatten(1, (-1, size))
        lost = packets.all(2)
        assert torch.equal(
            packets & heard, lost[..., None] & heard
        )  # a packet is lost as a whole, or not at all
        shares.append(lost[heard.any(2)].double().mean().item())
        assert changed.mask == batch.mask  # as in training, what is lost stays valid
    assert shares[-1] == 1
    np.testing.assert_allclose(shares, np.arange(1, 11) / 10, atol=0.1)


def test_missing_frames_in_training_reach_raw_media(folder: Path, tmp_path: Path) -> None:
    rules = {"encoder_mode": "last", "epochs": 1}
    for name, missing in (("whole", "off"), ("missing", "spectrum")):
        asked_for = asked(folder, tmp_path / name, protocol={**rules, "train_with_missing": missing})
        assert run(asked_for).ok
    losses = [
        json.loads(next(tmp_path.glob(f"{name}/jobs/*/fit.json")).read_text())["epochs"][0]["train"]["task"]
        for name in ("whole", "missing")
    ]
    assert losses[0] != losses[1]


def test_features_that_no_network_made_cannot_be_trained(folder: Path, tmp_path: Path) -> None:
    summary = run(asked(folder, tmp_path / "runs", modalities=["audio"], protocol={"encoder_mode": "full"}))
    assert "no modality of hac was encoded by a network" in summary.failed[0].reason


def test_activations_that_are_computed_again_change_nothing(folder: Path, tmp_path: Path) -> None:
    tables = []
    for name, again in (("kept", False), ("again", True)):
        rules = {"encoder_mode": "full", "epochs": 1, "checkpointing": again}
        assert run(asked(folder, tmp_path / name, modalities=["video"], protocol=rules)).ok
        (file,) = (tmp_path / name).glob("jobs/*/predictions.parquet")
        tables.append(pd.read_parquet(file))
    pd.testing.assert_frame_equal(*tables, atol=1e-4)


def test_the_flags_are_on_the_command_and_the_image_group_is_known(mmbench: Command) -> None:
    shown = mmbench("run", "--help").stdout
    for flag in ("--encoder-mode", "--media-rate", "--accumulate", "--precision", "--checkpointing"):
        assert flag in shown
    assert "defocus-blur" in {entry.name for entry in corruption_entries(["image"])}
    assert ERM.separable()


def test_an_encoder_is_not_trained_on_other_media_than_the_features_were_made_of(
    folder: Path, tmp_path: Path
) -> None:
    located = locate("hac", folder / "data")
    asks = TaskRequest(TASK, (located.fingerprint(),), ("video",), False, "strict", True, "cpu")
    frozen = load_task(asks, {"hac": located})
    rules = Protocol.model_validate({"encoder_mode": "full"})
    one, other = frozen.train.sample_id[:2]
    clips = clips_of(origin_of(located))[1]
    ((file,), (donor,)) = (clips[name].media["video"].files for name in (one, other))  # type: ignore[union-attr]
    kept = shutil.copy2(file, tmp_path)
    shutil.copyfile(donor, file)
    try:
        with pytest.raises(DataError, match="has changed since its features were made") as told:
            with_media(frozen, {"hac": located}, rules, ("video",))
        assert f"{one}: its video ({file})" in str(told.value)
    finally:
        shutil.copy2(kept, file)
    assert list(with_media(frozen, {"hac": located}, rules, ("video",)).finetuned) == ["video"]


def as_on_a_gpu(folder: Path, root: Path) -> Path:
    """The features, said to be made on a GPU, in bfloat16."""
    shutil.copytree(folder / "data" / "hac", root / "hac")
    file = root / "hac" / "dataset.yaml"
    content = yaml.safe_load(file.read_text())
    assert content["media"]["modalities"]["video"]["identity"]["precision"] == "float32"
    content["media"]["modalities"]["video"]["identity"]["precision"] = "bfloat16"
    file.write_text(yaml.safe_dump(content))
    return root


def test_an_encoder_can_be_trained_whose_features_were_made_on_a_gpu(folder: Path, tmp_path: Path) -> None:
    located = locate("hac", as_on_a_gpu(folder, tmp_path))
    asks = TaskRequest(TASK, (located.fingerprint(),), ("video",), False, "strict", True, "cpu")
    frozen = load_task(asks, {"hac": located})
    rules = Protocol.model_validate({"encoder_mode": "lora"})
    data = with_media(frozen, {"hac": located}, rules, ("video",))
    assert list(data.finetuned) == ["video"]
    assert len(conditions_on_batches(DefocusBlur, located, data)) == 5


def test_frozen_features_of_a_gpu_are_not_compared_with_broken_ones_of_a_cpu(
    folder: Path, tmp_path: Path
) -> None:
    root = as_on_a_gpu(folder, tmp_path / "data")
    store = tmp_path / "runs"
    rules = {"epochs": 1}
    with pytest.raises(
        UsageError, match=r"defocus-blur: .* video of hac .* run on a GPU, or encode again with"
    ):
        run(asked(folder, store, protocol=rules, data_root=root, corruptions=["white-noise", "defocus-blur"]))
    assert not store.exists()
    assert run(asked(folder, store, protocol=rules, data_root=root, corruptions=["white-noise"])).ok


def test_an_encoder_is_made_in_the_precision_of_the_features(folder: Path, tmp_path: Path) -> None:
    located = locate("hac", folder / "data")
    encoder = encoder_of(origin_of(located), "video", CPU)
    assert encoder.options.precision == "float32"  # type: ignore[attr-defined]
    other = origin_of(locate("hac", as_on_a_gpu(folder, tmp_path)))
    with pytest.raises(
        DataError, match="its precision is float32, and was bfloat16; run on a GPU that has it"
    ):
        encoder_of(other, "video", CPU)
