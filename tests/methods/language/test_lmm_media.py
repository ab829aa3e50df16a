"""``lmm`` on sound and frames, by a small model of the Qwen2.5-Omni kind."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from mmbench.benchmark.check.planted_media import media_specs, planted_media
from mmbench.datasets.batch import Batch
from mmbench.datasets.dataset import DataError
from mmbench.datasets.encoders.base_model import FAMILIES
from mmbench.methods.language.lmm import LMM
from mmbench.methods.shared.language_parts import adapted_layers, add_adapters
from mmbench.methods.shared.omni_media import OmniMedia, evenly

from .tiny_models import save_thinker, thinker_config

*_, SPEC, _ = media_specs()
BATCH = planted_media(SPEC, 4)
#: The rate at which ``espeak-ng`` speaks, and the one at which the model hears.
SPOKEN, HEARD = 22_050, 16_000


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_thinker(tmp_path_factory.mktemp("thinker")))


@pytest.fixture(scope="module")
def processor(thinker: str) -> Any:
    return transformers.AutoProcessor.from_pretrained(thinker)


@pytest.fixture(scope="module")
def method(thinker: str) -> LMM:
    torch.manual_seed(0)
    made = LMM(LMM.Params(model=thinker, question="sentiment ?", rank=4), SPEC)
    with torch.no_grad():
        for name, one in made.named_parameters():
            if "lora_B" in name:
                one.normal_(0, 0.1)
    return made.eval()


@torch.no_grad()
def said(method: LMM, batch: Batch) -> torch.Tensor:
    return method.eval()(batch).prediction


def voice(text: str, file: Path) -> torch.Tensor:
    """Real sound: a text as ``espeak-ng`` speaks it, [time, 1] at 16 kHz.

    Args:
        text: what is spoken.
        file: where the sound is written.
    """
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    import soundfile
    import torchaudio

    subprocess.run(["espeak-ng", "-w", str(file), text], check=True)
    values, rate = soundfile.read(file, dtype="float32")
    assert rate == SPOKEN
    return torchaudio.functional.resample(torch.from_numpy(values), SPOKEN, HEARD)[:, None]


def reader(processor: Any, frames: int) -> OmniMedia:
    """What prepares media for the model.

    Args:
        processor: of the model.
        frames: the most of a sample.
    """
    return OmniMedia(FAMILIES["qwen2_5_omni_thinker"], processor, thinker_config(), frames, rate=2.0)


def test_sound_and_frames_are_what_the_library_makes_of_them(processor: Any, tmp_path: Path):
    sound = voice("this film is great", tmp_path / "voice.wav")
    frames = torch.randint(
        0, 256, (5, 3, 40, 50), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    media = reader(processor, 16)
    inputs = media.empty()
    ids = media.add_sound(sound, inputs) + media.add_frames(frames, inputs)
    theirs = processor(
        text=["<sound><audio></sound><vision><video></vision>"],
        audio=[sound[:, 0].numpy()],
        videos=[frames],
        videos_kwargs={"do_sample_frames": False, "size": dict(processor.video_processor.size)},
        return_tensors="pt",
    )
    assert ids == theirs["input_ids"][0].tolist()
    own = inputs.arguments(torch.device("cpu"))
    steps = int(theirs["feature_attention_mask"].sum())
    assert own["feature_attention_mask"].sum() == steps
    torch.testing.assert_close(
        own["input_features"][0], theirs["input_features"][0][:, :steps], atol=1e-3, rtol=0
    )
    for name in ("pixel_values_videos", "video_grid_thw"):
        torch.testing.assert_close(own[name], theirs[name])
    assert own["video_second_per_grid"].tolist() == list(theirs["video_second_per_grid"])


@pytest.mark.parametrize("count", [1, 100, 640, 3333])
def test_the_shortest_sound_has_a_token_and_frames_in_float_are_those_in_bytes(processor: Any, count: int):
    media = reader(processor, 2)
    inputs = media.empty()
    ids = media.add_sound(torch.ones(count, 2) / 2, inputs)
    assert len(ids) >= 3
    frames = torch.randint(0, 256, (3, 3, 30, 30), dtype=torch.uint8)
    assert media.add_frames(frames, inputs) == media.add_frames(frames.float() / 255, inputs)
    assert torch.equal(*inputs.patches)


def test_frames_are_taken_evenly():
    assert list(evenly(5, 16)) == [0, 1, 2, 3, 4]
    assert list(evenly(31, 16)) == list(range(0, 31, 2))
    assert list(evenly(9, 1)) == [0]


def test_every_medium_is_read_and_a_sample_alone_is_read_alike(method: LMM):
    there = {name: torch.tensor(flags) for name, flags in {
        "text": [True, False, True, False], "audio": [True, True, False, False], "video": [True, False, True, False],
    }.items()}  # fmt: skip
    batch = BATCH.with_present(there)
    whole = said(method, batch)
    alone = torch.cat([said(method, batch.take(slice(row, row + 1))) for row in range(4)])
    torch.testing.assert_close(whole, alone, atol=1e-4, rtol=0)
    for name in SPEC.media:
        other = replace(BATCH, features={**BATCH.features, name: BATCH.features[name].roll(1, 0)})
        other = replace(other, mask={**BATCH.mask, name: BATCH.mask[name].roll(1, 0)})
        assert bool(((said(method, other) - said(method, BATCH)).abs() > 1e-6).all()), name


def test_gradients_reach_the_adapters_of_what_is_there(method: LMM):
    def reached(batch: Batch) -> Mapping[str, bool]:
        method.zero_grad()
        method.train().backward(batch)
        adapters = {name: one for name, one in method.named_parameters() if "lora_" in name}
        return {
            part: all(one.grad is not None for name, one in adapters.items() if part in name)
            for part in ("audio_tower", "visual", "language_model")
        }

    assert reached(BATCH) == {"audio_tower": True, "visual": True, "language_model": True}
    gone = {name: torch.zeros(4, dtype=torch.bool) for name in ("audio", "video")}
    assert reached(BATCH.with_present(gone)) == {
        "audio_tower": False,
        "visual": False,
        "language_model": True,
    }


@pytest.mark.parametrize("readout", ["generative", "expected"])
def test_answers_are_written_and_scored_with_media(thinker: str, readout: Any):
    torch.manual_seed(0)
    made = LMM(LMM.Params(model=thinker, question="sentiment ?", rank=4, readout=readout, grid=3), SPEC)
    terms = made.train().backward(BATCH)
    assert bool(torch.isfinite(terms["answer"]))
    whole = said(made, BATCH)
    assert bool((whole.abs() <= 3).all())
    torch.testing.assert_close(whole[:1], said(made, BATCH.take(slice(0, 1))), atol=1e-4, rtol=0)


def test_more_media_than_the_window_holds_are_refused(thinker: str):
    made = LMM(LMM.Params(model=thinker, rank=4, longest=24), SPEC)
    with pytest.raises(
        DataError, match="raise the parameter longest, or take a shorter question or fewer frames"
    ):
        said(made, BATCH)


def test_sound_of_another_rate_is_refused(thinker: str):
    spec = replace(SPEC, sound_rates={"audio": 22_050})
    with pytest.raises(DataError, match="hears 16000 samples a second, and audio was decoded at 22050"):
        LMM(LMM.Params(model=thinker, rank=4), spec)


@pytest.mark.parametrize(("scope", "adapters"), [("all", 103_043_072), ("llm", 80_740_352)])
def test_adapters_of_the_published_model_are_counted(scope: Any, adapters: int):
    """The sizes of Qwen2.5-Omni-7B, whose Thinker has 8,931,813,888 parameters: published are 103.0 M, or 1.14 %."""
    config = transformers.models.qwen2_5_omni.configuration_qwen2_5_omni.Qwen2_5OmniThinkerConfig(
        vision_config={"hidden_size": 1280, "out_hidden_size": 3584, "depth": 32, "num_heads": 16,
                       "intermediate_size": 3420},
        text_config={"hidden_size": 3584, "num_hidden_layers": 28, "intermediate_size": 18944, "vocab_size": 152_064,
                     "num_attention_heads": 28, "num_key_value_heads": 4},
    )  # fmt: skip
    with torch.device("meta"):
        module = transformers.Qwen2_5OmniThinkerForConditionalGeneration(config)
    base = sum(one.numel() for one in module.parameters())
    sizes: dict[str, Any] = dict(module.named_modules())
    found = sum(
        32 * (sizes[name].in_features + sizes[name].out_features) for name in adapted_layers(module, scope)
    )
    assert found == adapters
    if scope == "all":
        assert base + found == 9_034_856_960
        assert found / (base + found) == pytest.approx(0.011405, abs=5e-7)


def test_counted_adapters_are_those_that_are_put_on(thinker: str):
    module: Any = transformers.Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(thinker)
    sizes: dict[str, Any] = dict(module.named_modules())
    expected = sum(
        3 * (sizes[name].in_features + sizes[name].out_features) for name in adapted_layers(module, "all")
    )
    add_adapters(module, 3, 3.0, 0.0, "all")
    assert sum(one.numel() for one in module.parameters() if one.requires_grad) == expected
