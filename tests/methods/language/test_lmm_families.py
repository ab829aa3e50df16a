"""``lmm`` on families of models that hear or see: Qwen2-Audio, Qwen2-VL and Qwen2.5-VL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from mmbench.benchmark.check.planted_media import media_specs, planted_media
from mmbench.datasets.batch import Batch, Spec
from mmbench.datasets.dataset import DataError
from mmbench.datasets.encoders.base_model import FAMILIES
from mmbench.methods.language.lmm import LMM
from mmbench.methods.shared.omni_media import OmniMedia

from .tiny_models import save_qwen_audio, save_qwen_vision

*_, SPEC, _ = media_specs()
BATCH = planted_media(SPEC, 4)


def part(names: tuple[str, ...]) -> tuple[Spec, Batch]:
    """Some modalities of the planted samples."""
    spec = replace(SPEC, modalities=dict.fromkeys(names, 4), media={name: SPEC.media[name] for name in names})
    batch = replace(
        BATCH,
        features={name: BATCH.features[name] for name in names},
        mask={name: BATCH.mask[name] for name in names},
        present={name: BATCH.present[name] for name in names},
    )
    return spec, batch


@dataclass(frozen=True)
class Case:
    """A model of one family, and the samples that it reads.

    Attributes:
        folder: of the model.
        sense: the modality beside text.
        tower: what its encoder is called where any of its layers is adapted: that of Qwen2-VL calls none of them so.
    """

    folder: str
    sense: str
    tower: str

    def method(self, **params: Any) -> LMM:
        torch.manual_seed(0)
        asked = {"question": "sentiment ?", "rank": 4, "dropout": 0.0, "lora_dropout": 0.0, **params}
        return LMM(LMM.Params(model=self.folder, **asked), part(("text", self.sense))[0])

    @property
    def batch(self) -> Batch:
        return part(("text", self.sense))[1]


_SAVED: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "qwen2_audio": (save_qwen_audio, "audio", "audio_tower"),
    "qwen2_vl": (save_qwen_vision, "video", ""),
    "qwen2_5_vl": (lambda folder: save_qwen_vision(folder, newer=True), "video", "visual"),
}


@pytest.fixture(scope="module", params=_SAVED)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    save, sense, tower = _SAVED[request.param]
    return Case(str(save(tmp_path_factory.mktemp(request.param))), sense, tower)


@torch.no_grad()
def said(method: LMM, batch: Batch) -> torch.Tensor:
    return method.eval()(batch).prediction


def test_ids_and_inputs_are_what_the_library_makes_of_them(case: Case):
    processor: Any = transformers.AutoProcessor.from_pretrained(case.folder)
    config: Any = transformers.AutoConfig.from_pretrained(case.folder)
    media = OmniMedia(
        FAMILIES[config.model_type], processor, config, frames=16, rate=24.0
    )  # the library takes 24 where nobody says
    inputs, values = media.empty(), BATCH.features[case.sense][0]
    if case.sense == "audio":
        ids = media.add_sound(values, inputs)
        theirs = processor(
            text="<sound><audio></sound>",
            audio=[values[:, 0].numpy()],
            sampling_rate=16_000,
            return_tensors="pt",
        )
    else:
        ids = media.add_frames(values, inputs)
        sizes = {"do_sample_frames": False, "size": dict(processor.video_processor.size)}
        theirs = processor(
            text=["<vision><video></vision>"], videos=[values], videos_kwargs=sizes, return_tensors="pt"
        )
    assert ids == theirs["input_ids"][0].tolist()
    own = inputs.arguments(torch.device("cpu"))
    assert own
    for name, value in own.items():
        torch.testing.assert_close(value, torch.as_tensor(theirs[name]).to(value), atol=1e-4, rtol=0)


def test_steps_are_trained_and_reach_every_adapter(case: Case):
    method, batch = case.method(), case.batch
    optimizer = torch.optim.Adam([one for one in method.parameters() if one.requires_grad], lr=2e-3)
    losses = []
    for _ in range(6):
        optimizer.zero_grad()
        losses.append(float(method.train().backward(batch)["task"].detach()))
        optimizer.step()
    assert losses[-1] < losses[0]
    adapters = {name: one for name, one in method.named_parameters() if "lora_B" in name}
    towers = {part for name in adapters for part in ("audio_tower", "visual") if part in name}
    assert towers == ({case.tower} if case.tower else set())
    assert all(bool((one != 0).any()) for one in adapters.values())


def test_what_a_sample_lacks_is_left_out_and_the_last_token_is_found_on_both_sides(case: Case):
    there = {
        "text": torch.tensor([True, False, True, False]),
        case.sense: torch.tensor([True, True, False, False]),
    }
    batch = case.batch.with_present(there)
    left, right = case.method(), case.method(padding="right")
    rows, _ = left._prompts(batch)
    stands = left.reading.media
    assert stands is not None
    token = stands.film if case.sense == "video" else stands._sound[1]
    assert [token in row for row in rows] == [True, True, False, False]
    alone = torch.cat([said(left, batch.take(slice(row, row + 1))) for row in range(4)])
    for method in (left, right):
        torch.testing.assert_close(said(method, batch), alone, atol=1e-4, rtol=0)
    moved = replace(batch, features={**batch.features, case.sense: batch.features[case.sense].flip(0)})
    assert ((said(left, moved) - alone).abs() > 1e-6).tolist() == [True, True, False, False]


@pytest.mark.parametrize("readout", ["generative", "expected"])
def test_answers_are_written_and_scored(case: Case, readout: str):
    method, batch = case.method(readout=readout, grid=3), case.batch
    assert bool(torch.isfinite(method.train().backward(batch)["answer"]))
    whole = said(method, batch)
    assert bool((whole.abs() <= 3).all())
    torch.testing.assert_close(whole[:1], said(method, batch.take(slice(0, 1))), atol=1e-4, rtol=0)


def test_a_medium_that_the_family_does_not_read_is_refused(case: Case):
    other = "video" if case.sense == "audio" else "audio"
    with pytest.raises(
        DataError, match=f"and {other} is {SPEC.media[other]}: leave it out with --modalities"
    ):
        LMM(LMM.Params(model=case.folder, rank=4), part(("text", other))[0])
