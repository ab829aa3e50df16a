"""Loudness: two numbers for every window of sound, its log-energy and its rate of zero crossings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from mmbench.datasets.encoders.encoder import Encoded, EncoderError, EncoderSpec, Media
from mmbench.datasets.encoders.sound import mono, valid
from mmbench.datasets.encoders.spec import fill
from mmbench.datasets.media.clip import Medium, SoundView
from torch.nn import functional as F

ENCODERS = {"loudness": "Loudness"}
RATE = 16_000  # samples a second


class Loudness:
    """Loudness and noisiness of sound: log-energy and zero crossings of every window.

    Windows lie wholly in the clip; a clip shorter than one is padded with zeros. Windows of silence have the
    energy log(1e-6) and no crossings.
    """

    @dataclass(frozen=True)
    class Options:
        """Options, as in ``--encoder audio=loudness,hop=20``.

        Attributes:
            window: length of a window in milliseconds.
            hop: distance of two windows in milliseconds.
        """

        window: float = 25.0
        hop: float = 10.0

    medium: Medium = "waveform"  # what it reads: waveform, frames, flow or text
    width = 2  # features of a step

    def __init__(self, spec: EncoderSpec, device: torch.device) -> None:
        self.options = fill(self.Options, spec)  # an unknown option is an error that names the known ones
        if spec.model or not min(self.options.window, self.options.hop) >= 1:
            raise EncoderError("encoder loudness has no models, and windows of 1 millisecond or more")
        self.view = SoundView(rate=RATE)  # how media are decoded for it
        self.device = device
        self.window = round(self.options.window * RATE / 1000)
        self.hop = round(self.options.hop * RATE / 1000)

    def identity(self) -> Mapping[str, str]:
        """What decides the features; raise ``version`` when a change alters them."""
        return {"encoder": "loudness", "version": "1", **{k: str(v) for k, v in asdict(self.options).items()}}

    @torch.inference_mode()
    def encode(self, media: Media) -> Encoded:
        """Features [batch, time, 2], float32, and the number of valid steps of each clip."""
        sound, length = mono(media, self.device)
        sound = F.pad(sound, (0, max(self.window - sound.shape[1], 0)))
        windows = sound.unfold(1, self.window, self.hop)
        energy = (windows.square().mean(dim=2) + 1e-6).log()
        crossings = (windows[..., 1:].sign() != windows[..., :-1].sign()).float().mean(dim=2)
        steps = 1 + (length.clamp(min=self.window) - self.window) // self.hop
        return valid(torch.stack([energy, crossings], dim=2), steps)
