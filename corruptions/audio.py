"""Damage to sound: waveforms [batch, time, channel] in -1 to 1 at a stated sample rate.

Levels are in dB, Hz, seconds or shares of time. Padding is silent and stays so; it neither changes nor is read.
Every level holds exactly, so a loud sound may leave -1 to 1: only ``Clipping`` limits it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from ..datasets.batch import Batch
from .corruption import Corruption, Medium
from .random import Stream
from .sound import (
    Voices,
    amplitude,
    colour_filter,
    convolve_response,
    lost_packets,
    low_pass,
    mix_noise,
    noise_of,
    resample_by_matrix,
    silence_padding,
    silence_padding_,
    smooth_course,
)

Draws = Mapping[str, Tensor]


@dataclass(frozen=True)
class Waveform(Corruption):
    """Damage to sound. A subclass defines ``damage``, on [batch, channel, time] with silent padding.

    Attributes:
        sample_rate: of the sound, in Hz, a whole number.
    """

    sample_rate: int = 16_000

    medium: ClassVar[Medium] = "waveform"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample_rate < 1:
            raise ValueError(f"sample rate {self.sample_rate}: expected a number of Hz")

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """Nothing, unless a subclass says otherwise."""
        return {}

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """The damaged sound; computed in float32."""
        sound = silence_padding(features.float().transpose(1, 2), valid)
        return self.damage(sound, valid, draws).transpose(1, 2).to(features.dtype)

    @abstractmethod
    def damage(self, sound: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """The damaged sound, padding as silent as it was.

        Args:
            sound: [batch, channel, time], float32, zero at padding.
            valid: [batch, time], bool.
            draws: as ``draw`` returns them.

        Returns:
            [batch, channel, time], float32.
        """


class _Noise(Waveform):
    """Noise is added. Levels are the signal-to-noise ratio in dB: of the energies of all channels over the valid
    steps of a sample. A silent sample stays silent, for no noise has that ratio to it."""

    family: ClassVar[str] = "noise"

    def damage(self, sound: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Adds the drawn noise, which is silent at padding, at the level."""
        return mix_noise(sound, draws["noise"], self.level)


class WhiteNoise(_Noise):
    """Adds Gaussian noise with a flat spectrum at a signal-to-noise ratio of 20 to 0 dB."""

    kind: ClassVar[str] = "white-noise"
    levels = (20.0, 15.0, 10.0, 5.0, 0.0)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A normal number for each step and channel."""
        return {"noise": silence_padding_(noise_of(stream, "noise", *features.shape[1:]), valid)}


class PinkNoise(_Noise):
    """Adds Gaussian 1/f noise at a signal-to-noise ratio of 20 to 0 dB.

    Power falls by 10 dB a decade from 10 Hz on.
    """

    kind: ClassVar[str] = "pink-noise"
    levels = (20.0, 15.0, 10.0, 5.0, 0.0)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """White noise, filtered."""
        return {
            "noise": silence_padding_(
                _coloured_noise(stream, features, self.spectrum(features.device)), valid
            )
        }

    def spectrum(self, device: torch.device) -> Tensor:
        """[taps / 2 + 1], the amplitude from 0 Hz to half the sample rate."""
        return 1 / _frequencies(self.sample_rate, device).sqrt()


class Wind(_Noise):
    """Adds wind-like noise in gusts at a signal-to-noise ratio of 10 to -10 dB.

    Power falls as 1/f^2 from 10 Hz on and faster above 500 Hz. The level of the gusts, in dB, is normal with a
    deviation of 6 dB at points 0.5 s apart, and smooth between them. Such a course of spectrum and level is what Nelke and Vary (2014) measure of wind at a microphone; the numbers
    are round ones of ours.
    """

    kind: ClassVar[str] = "wind"
    levels = (10.0, 5.0, 0.0, -5.0, -10.0)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """White noise, filtered, and the level of the gusts; wind blows on all channels alike."""
        steps, spacing = features.shape[1], max(1, self.sample_rate // 2)
        noise = _coloured_noise(stream, features, self.spectrum(features.device))
        gusts = smooth_course(stream.normal("gusts", -(-steps // spacing) + 1), spacing, steps)
        noise = noise * (gusts * (6 * math.log(10) / 20)).exp_().unsqueeze(1)
        return {"noise": silence_padding_(noise, valid)}

    def spectrum(self, device: torch.device) -> Tensor:
        """[taps / 2 + 1], the amplitude from 0 Hz to half the sample rate."""
        frequency = _frequencies(self.sample_rate, device)
        return 1 / (frequency * (1 + (frequency / 500) ** 2))


def _frequencies(rate: int, device: torch.device) -> Tensor:
    """[taps / 2 + 1]: from 0 Hz, which is infinite here so that nothing is made of it, to half of ``rate``, in 4 Hz."""
    taps = 2 * max(1, rate // 8)
    frequencies = torch.arange(taps // 2 + 1, dtype=torch.float64, device=device) * (rate / taps)
    frequencies[0] = torch.inf
    return frequencies


def _coloured_noise(stream: Stream, features: Tensor, spectrum: Tensor) -> Tensor:
    """[batch, channel, time]: noise with a spectrum; it begins before the first step, so that it is steady."""
    _, steps, channels = features.shape
    response = colour_filter(spectrum)
    before = len(response) - 1
    return convolve_response(noise_of(stream, "noise", steps + before, channels), response, before, steps)


@dataclass(frozen=True)
class Babble(_Noise):
    """Adds five other samples of the same set, equally loud, at a signal-to-noise ratio of 20 to 0 dB.

    They are drawn for each sample from 32 voices, never itself: the samples of the set with the lowest hashed
    ids, of each its first 10 s, in frames of 20 ms, from a drawn frame on and then again from the beginning.

    Attributes:
        voices: set by ``prepared``.
    """

    kind: ClassVar[str] = "babble"
    levels = (20.0, 15.0, 10.0, 5.0, 0.0)

    voices: Voices | None = field(default=None, repr=False, compare=False)

    #: How many voices are kept, how many seconds of each, how many speak at once; and of a frame, in seconds.
    KEPT: ClassVar[int] = 32
    SECONDS: ClassVar[int] = 10
    AT_ONCE: ClassVar[int] = 5
    FRAME: ClassVar[float] = 0.02

    def prepared(self, split: Batch) -> Self:
        """Keeps the voices.

        Raises:
            ValueError: fewer than two samples of the set have any sound.
        """
        if self.severity == 0:
            return self
        sound = split.features[self.modality]
        valid = split.mask[self.modality] & split.present[self.modality].unsqueeze(1)
        audible = ((sound != 0).any(dim=2) & valid).any(dim=1).nonzero().squeeze(1)
        audible = audible[split.sample_id[audible].argsort()]
        chance = Stream(self.seed, self.kind, split.sample_id[audible]).uniform("kept")
        kept = audible[chance.argsort(stable=True)[: self.KEPT]]
        if len(kept) < 2:
            raise ValueError(
                f"babble is made of other samples: fewer than two have sound in {self.modality!r}"
            )
        cut = [self._frames(sound[row][valid[row]].float()) for row in kept.tolist()]
        count = torch.tensor([len(frames) for frames in cut], device=sound.device)
        voices = Voices(split.sample_id[kept], torch.cat(cut), count.cumsum(0) - count, count)
        return replace(self, voices=voices)

    def _frames(self, voice: Tensor) -> Tensor:
        """[frame, channel * step]: the sound [time, channel] of one voice, at an energy of 1 a step. A last frame
        that is not whole is left out where there is another."""
        step = self._frame
        voice = voice[: self.SECONDS * self.sample_rate]
        voice = F.pad(voice, (0, 0, 0, max(0, step - len(voice))))
        voice = voice[: len(voice) // step * step]
        energy = voice.square().sum() / len(voice)
        voice = voice / energy.sqrt() if energy > 0 else voice
        return voice.view(-1, step, voice.shape[1]).transpose(1, 2).flatten(1)

    @property
    def _frame(self) -> int:
        return max(1, round(self.FRAME * self.sample_rate))

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """The sum of the voices that speak.

        Raises:
            ValueError: it has not been prepared.
        """
        if self.voices is None:
            raise ValueError("babble is made of other samples: call prepared(split) before apply")
        own = self.voices.sample_id == stream.sample_id.unsqueeze(1)
        chance = stream.uniform("voices", own.shape[1]).masked_fill(own, 2)
        chosen = chance.argsort(dim=1)[:, : min(self.AT_ONCE, own.shape[1] - 1)]
        offset = stream.integers("offsets", self.voices.count[chosen], chosen.shape[1])
        _, steps, channels = features.shape
        noise = self.voices.mix(chosen, offset, -(-steps // self._frame))
        noise = noise.unflatten(2, (channels, self._frame)).transpose(1, 2).flatten(2)
        return {"noise": silence_padding_(noise[..., :steps], valid)}


class Reverberation(Waveform):
    """A room that takes 0.2 to 1.5 s to decay by 60 dB (RT60, the level).

    The response is a direct path without delay, so that sound stays in time, and then white noise that decays.
    Reverberant energy grows with RT60, as in a room heard from one place (Kuttruff, Room Acoustics: statistical
    theory), and equals the direct one at 0.5 s. The response has energy 1: white sound keeps its loudness. All
    channels share it.
    """

    kind: ClassVar[str] = "reverberation"
    family: ClassVar[str] = "reverberation"
    levels = (0.2, 0.4, 0.7, 1.0, 1.5)

    #: The RT60 in seconds at which direct and reverberant energy are equal.
    BALANCED: ClassVar[float] = 0.5

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """White noise as long as the longest response."""
        return {"tail": noise_of(stream, "tail", round(self.levels[-1] * self.sample_rate), 1)}

    def damage(self, sound: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Convolves with the response."""
        return silence_padding_(convolve_response(sound, self.response(draws)), valid)

    def response(self, draws: Draws) -> Tensor:
        """[batch, 1, taps]: the direct path at step 0, then the tail."""
        taps = max(1, round(self.level * self.sample_rate))
        rate = 3 * math.log(10) / (self.level * self.sample_rate)  # of decay of the amplitude in a step
        step = torch.arange(taps, device=draws["tail"].device)
        strength = math.sqrt(6 * math.log(10) / (self.BALANCED * self.sample_rate))
        tail = draws["tail"][..., :taps] * (strength * torch.exp(-rate * step))
        tail[..., 0] = 1
        return tail / torch.linalg.vector_norm(tail, dim=-1, keepdim=True)


class Clipping(Waveform):
    """An overdriven input: amplitudes are limited to 6 to 26 dB below the peak of the sample."""

    kind: ClassVar[str] = "clipping"
    family: ClassVar[str] = "clipping"
    levels = (6.0, 10.0, 14.0, 20.0, 26.0)

    def damage(self, sound: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Limits the sound."""
        limit = sound.abs().amax(dim=(1, 2), keepdim=True) * amplitude(-self.level)
        return torch.clamp(sound, -limit, limit)


class BandLimit(Waveform):
    """A narrow line: a low pass at 4000 to 1000 Hz.

    Without delay; -6 dB at the cut-off, below -50 dB from 100 Hz above it on.

    Raises:
        ValueError: the cut-off is not below half the sample rate: nothing would be lost.
    """

    kind: ClassVar[str] = "band-limit"
    family: ClassVar[str] = "bandwidth"
    levels = (4000.0, 3000.0, 2000.0, 1400.0, 1000.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.severity and self.sample_rate <= 2 * self.level:
            raise ValueError(
                f"cut-off {self.level:g} Hz: sound at {self.sample_rate} Hz has nothing above it"
            )

    def damage(self, sound: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Filters the sound."""
        response = low_pass(self.level, self.sample_rate).to(sound.device)
        return silence_padding_(convolve_response(sound, response, len(response) // 2), valid)


class PacketLoss(Waveform):
    """A bad line that loses a share of 0.05 to 0.5 of its packets, in bursts (Gilbert 1960).

    A packet is 20 ms long; a lost one is silent. 3 in a row are lost on average.
    """

    kind: ClassVar[str] = "packet-loss"
    family: ClassVar[str] = "dropout"
    levels = (0.05, 0.1, 0.2, 0.3, 0.5)

    #: Of a packet, in seconds.
    SECONDS: ClassVar[float] = 0.02
    #: Mean number of packets lost in a row.
    BURST: ClassVar[float] = 3.0

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A uniform number for each packet."""
        return {"chance": stream.uniform("packets", -(-features.shape[1] // self._packet))}

    def damage(self, sound: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Silences the lost packets."""
        kept = ~lost_packets(draws["chance"], self.level, self.BURST)
        rest = -sound.shape[-1] % self._packet
        packets = (F.pad(sound, (0, rest)) if rest else sound).unflatten(-1, (-1, self._packet))
        heard = packets * kept.view(len(kept), 1, -1, 1).to(sound.dtype)
        return heard.flatten(2)[..., : sound.shape[-1]]

    @property
    def _packet(self) -> int:
        return max(1, round(self.SECONDS * self.sample_rate))


class Gain(Waveform):
    """Too loud or too quiet, evenly likely for a sample: by 3 to 20 dB."""

    kind: ClassVar[str] = "gain"
    family: ClassVar[str] = "gain"
    levels = (3.0, 6.0, 10.0, 15.0, 20.0)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A sign."""
        return {"louder": stream.uniform("louder") < 0.5}

    def damage(self, sound: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Scales the sound."""
        factor = torch.where(draws["louder"], amplitude(self.level), amplitude(-self.level))
        return sound * factor.view(-1, 1, 1).to(sound.dtype)


class Resampling(Waveform):
    """A recorder with a low rate: sound is resampled to 8000 to 2000 Hz and back.

    By torchaudio's sinc interpolation: nothing is left above half of that rate but what its short filter lets
    through.

    Raises:
        ValueError: the sound does not have a higher rate.
    """

    kind: ClassVar[str] = "resampling"
    family: ClassVar[str] = "bandwidth"
    levels = (8000.0, 6000.0, 4000.0, 3000.0, 2000.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.severity and self.sample_rate <= self.level:
            raise ValueError(f"resampling to {self.level:g} Hz: sound at {self.sample_rate} Hz has no more")

    def damage(self, sound: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Resamples twice. What the first filter smears beyond the end is kept for the second."""
        lower = int(self.level)
        beyond = math.ceil(7 * self.sample_rate / lower)
        low = resample_by_matrix(F.pad(sound, (0, beyond)), self.sample_rate, lower)
        return silence_padding_(
            resample_by_matrix(low, lower, self.sample_rate)[..., : sound.shape[-1]], valid
        )
