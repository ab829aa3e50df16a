"""The check of encoders: mmbench's own pass, and each way to break the contract is found by its own check."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from mmbench.benchmark.check.conformance import check_encoder, check_entry
from mmbench.datasets.encoders.encoder import Encoded, EncoderError, EncoderSpec, Media
from mmbench.datasets.encoders.sound import mono
from mmbench.datasets.encoders.spec import fill
from mmbench.datasets.media.clip import FrameView, SoundView

COUNTER = itertools.count()


class Right:
    """Mean and spread of sound, in halves: two steps."""

    @dataclass(frozen=True)
    class Options:
        """Options.

        Attributes:
            scale: of the features.
        """

        scale: float = 1.0

    medium = "waveform"
    width = 2

    def __init__(self, spec: EncoderSpec, device: torch.device) -> None:
        self.options = fill(self.Options, spec)
        self.view: Any = SoundView(rate=8000)
        self.device = device

    def identity(self) -> Any:
        return {"encoder": "right", "version": "1", "scale": str(self.options.scale)}

    @torch.inference_mode()
    def encode(self, media: Media) -> Encoded:
        sound, length = mono(media, self.device)
        count = length.clamp(min=1)[:, None]
        means = torch.stack(
            [sound.sum(1, keepdim=True) / count, sound.square().sum(1, keepdim=True) / count], 2
        )
        return Encoded(self.options.scale * means.float(), torch.ones_like(length))


def encoded(self: Right, media: Media) -> Encoded:
    return Right.encode(self, media)


class NotFinite(Right):
    def encode(self, media: Media) -> Encoded:
        found = encoded(self, media)
        return Encoded(found.features / found.features[..., 1:].clamp(min=0), found.length)


class Narrow(Right):
    width = 3


class Wrong64(Right):
    def encode(self, media: Media) -> Encoded:
        return Encoded(encoded(self, media).features.double(), encoded(self, media).length)


class Random(Right):
    def encode(self, media: Media) -> Encoded:
        found = encoded(self, media)
        return Encoded(found.features + torch.rand(1), found.length)


class Seedless(Right):
    def __init__(self, spec: EncoderSpec, device: torch.device) -> None:
        super().__init__(spec, device)
        self.weight = torch.rand(1)

    def encode(self, media: Media) -> Encoded:
        found = encoded(self, media)
        return Encoded(found.features + self.weight, found.length)


class OfBatch(Right):
    def encode(self, media: Media) -> Encoded:
        found = encoded(self, media)
        return Encoded(found.features - found.features.mean(dim=0), found.length)


class ReadsPadding(Right):
    def encode(self, media: Media) -> Encoded:
        assert media.values is not None
        values = media.values.mean(dim=2)
        means = torch.stack([values.sum(1), values.square().sum(1)], 1)
        return Encoded(means[:, None], torch.ones(len(means), dtype=torch.int64))


class NeedsLength(Right):
    def encode(self, media: Media) -> Encoded:
        assert media.values is not None
        if len(media.values) and media.values.shape[1] < 100:
            raise ValueError("too short")
        return encoded(self, media)


class NeedsClips(Right):
    def encode(self, media: Media) -> Encoded:
        assert media.values is not None
        media.values.max()
        return encoded(self, media)


class Writes(Right):
    def encode(self, media: Media) -> Encoded:
        found = encoded(self, media)
        assert media.values is not None
        media.values.zero_()
        return found


class Gradients(Right):
    def encode(self, media: Media) -> Encoded:
        found = encoded(self, media)
        weight = torch.ones(1, requires_grad=True)
        return Encoded(found.features.clone() * weight, found.length)


class NoVersion(Right):
    def identity(self) -> Any:
        return {"encoder": "right"}


class Counted(Right):
    def identity(self) -> Any:
        return {"encoder": "right", "version": str(next(COUNTER))}


class Numbers(Right):
    def identity(self) -> Any:
        return {"encoder": "right", "version": 1}


class TakesAll(Right):
    def __init__(self, spec: EncoderSpec, device: torch.device) -> None:
        super().__init__(EncoderSpec(spec.encoder), device)


class Undescribed(Right):
    @dataclass(frozen=True)
    class Options:  # pyright: ignore[reportIncompatibleVariableOverride] (another set of options)
        """Options."""

        scale: float = 1.0


class OtherView(Right):
    def __init__(self, spec: EncoderSpec, device: torch.device) -> None:
        super().__init__(spec, device)
        self.view = FrameView()


class NotThere(Right):
    def __init__(self, spec: EncoderSpec, device: torch.device) -> None:
        raise EncoderError("weights are missing: fetch them")


def failed(encoder: Any) -> dict[str, str]:
    """What fails, and why."""
    return {one.what: one.reason for one in check_encoder(encoder, EncoderSpec("right")) if not one.ok}


def test_what_is_right_passes():
    assert failed(Right) == {}


@pytest.mark.parametrize(
    ("encoder", "what", "reason"),
    [
        (NotFinite, "Silence", "not finite"),
        (Narrow, "Features are [batch", "2 features a step, and width is 3"),
        (Wrong64, "Features are [batch", "not float32"),
        (Random, "The same media", "encoded twice"),
        (Seedless, "The same media", "by a second encoder"),
        (OfBatch, "A clip's features", "alone and in a batch"),
        (ReadsPadding, "Values after", "other values after the end"),
        (NeedsLength, "A clip of one step", "too short"),
        (NeedsClips, "A batch without clips", "RuntimeError"),
        (Writes, "Encoding leaves", "it changed the values"),
        (Gradients, "Features are [batch", "take gradients"),
        (NoVersion, "Its identity", "version is missing"),
        (Counted, "Its identity", "made twice"),
        (Numbers, "Its identity", "not text: version=1"),
        (TakesAll, "An option that", "an unknown option is taken"),
        (Undescribed, "Every option", "not described in the documentation of Options: scale"),
        (OtherView, "It says what media", "should be a SoundView"),
        (NotThere, "It can be made", "weights are missing: fetch them"),
    ],
)
def test_what_is_wrong_is_found(encoder: Any, what: str, reason: str):
    found = failed(encoder)
    (message,) = (said for name, said in found.items() if name.startswith(what))
    assert reason in message


@pytest.mark.parametrize(
    "text",
    [
        "log-mel",
        "log-spectrogram,average=4",
        "timm:test_vit,weights=random,frames=2",
        "timm-flow:test_vit,weights=random,frames=1",
    ],
)
def test_encoders_of_mmbench_keep_their_contract(text: str):
    assert [one for one in check_entry("encoder", text) if not one.ok] == []
