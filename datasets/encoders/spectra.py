"""Spectra of sound: fixed transforms, no weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from scipy.signal import get_window

from ..counting import counted
from ..libraries import import_guard
from ..media.clip import Medium, SoundView
from .encoder import Encoded, EncoderError, EncoderSpec, Media
from .sound import mono, valid
from .spec import fill

#: Of any option.
MOST = 1e6
#: A window, in milliseconds; samples a second.
LONGEST, HIGHEST = 10_000, 384_000


class LogMel:
    """Log-mel spectrum of sound: one step for every hop, from torchaudio.

    A step is the logarithm of the energy (plus 1e-6) in triangular bands on the mel scale (the HTK formula,
    2595 log10(1 + f / 700)), of windows that lie wholly in the clip; a clip shorter than one window is padded with
    zeros to one. So a clip's features do not depend on what it is batched with.
    """

    @dataclass(frozen=True)
    class Options:
        """Options.

        Attributes:
            bins: bands, the number of features.
            rate: samples a second.
            window, hop: length of a window and distance of two, in milliseconds.
            average: so many neighbouring windows become one step, their mean.
            seconds: cut to so many; none: the whole clip.
        """

        bins: int = 80
        rate: int = 16000
        window: float = 25.0
        hop: float = 10.0
        average: int = 1
        seconds: float | None = None

    medium: Medium = "waveform"

    def __init__(self, spec: EncoderSpec, device: torch.device) -> None:
        with import_guard("torchaudio", "encoder log-mel"):
            from torchaudio.transforms import MelSpectrogram
        _no_model(spec)
        self.options = fill(self.Options, spec)
        for name, value in asdict(self.options).items():
            if value is not None and not 0 < value <= MOST:
                raise EncoderError(
                    f"encoder log-mel: option {name}={value}: should be above 0, and {MOST:.0e} at most"
                )
        if self.options.window > LONGEST or self.options.rate > HIGHEST:
            raise EncoderError(
                f"encoder log-mel: a window of {self.options.window:g} ms at {self.options.rate} samples a second: should "
                f"be {LONGEST} ms and {HIGHEST} at most"
            )
        self.window = max(round(self.options.window * self.options.rate / 1000), 2)
        self.hop = max(round(self.options.hop * self.options.rate / 1000), 1)
        self.view = SoundView(rate=self.options.rate, seconds=self.options.seconds)
        self.width = self.options.bins
        self.device = device
        points = 1 << (self.window - 1).bit_length()
        if self.width > points // 2:
            raise EncoderError(
                f"encoder log-mel: option bins={self.width}: a window of {counted(self.window, 'sample')} has no more than "
                f"{points // 2} bands"
            )
        # windows of win_length lie in the middle of n_fft points; the padding on both sides is ours, see encode
        self.padding = (points - self.window) // 2
        self.points = points
        self.transform = MelSpectrogram(
            self.options.rate,
            n_fft=points,
            win_length=self.window,
            hop_length=self.hop,
            n_mels=self.width,
            center=False,
        ).to(device)

    def identity(self) -> Mapping[str, str]:
        """What decides the features: the options, and the version of the transform."""
        options = {key: str(value) for key, value in asdict(self.options).items()}
        return {"encoder": "log-mel", "version": "1", **options}

    @torch.inference_mode()
    def encode(self, media: Media) -> Encoded:
        """Log-mel spectra [batch, time, bins]."""
        sound, length = mono(media, self.device)
        if not len(sound):
            return valid(sound.new_zeros(0, 1, self.width), length)
        need = max(int(length.max()), self.window)
        right = self.points - self.window - self.padding + max(need - sound.shape[1], 0)
        sound = torch.nn.functional.pad(sound[:, :need], (self.padding, right))
        steps = 1 + (length.clamp(min=self.window) - self.window) // self.hop
        spectrum = self.transform(sound).transpose(1, 2)
        return _average_steps(valid(torch.log(spectrum + 1e-6), steps), self.options.average)


class LogSpectrogram:
    """Log-spectrogram of ten seconds, as MMDG-Bench's networks of actions read it: 1004 steps of 257 bands.

    The first 160,000 samples at 16 kHz, repeated where the clip is shorter, clipped to -1..1; scipy's spectrogram
    (density, Tukey window of shape 0.25, each window less its mean) with windows of 512 samples that share 353;
    log(x + 1e-7); then each clip less its mean, divided by its standard deviation (MMDG-Bench, loaders of
    EPIC-Kitchens and HAC). A constant clip, such as silence, gives zeros.
    """

    @dataclass(frozen=True)
    class Options:
        """Options; the spectrogram itself is the published one.

        Attributes:
            average: so many neighbouring windows become one step, their mean. 1,004 steps are meant for a network
                that reads them as a picture; a sequence of so many costs much time and memory.
        """

        average: int = 1

    medium: Medium = "waveform"
    rate = 16_000
    samples = 160_000
    points = 512
    hop = 512 - 353

    def __init__(self, spec: EncoderSpec, device: torch.device) -> None:
        _no_model(spec)
        self.average = fill(self.Options, spec).average
        if self.average < 1:
            raise EncoderError(f"encoder log-spectrogram: option average={self.average}: should be 1 or more")
        self.view = SoundView(rate=self.rate, seconds=self.samples / self.rate, tile=True)
        self.width = self.points // 2 + 1
        self.device = device
        window = torch.from_numpy(get_window(("tukey", 0.25), self.points)).to(device, torch.float64)
        self.window = window / (self.rate * window.square().sum()).sqrt()

    def identity(self) -> Mapping[str, str]:
        """What decides the features: the option, and the version of the transform."""
        return {"encoder": "log-spectrogram", "version": "1", "average": str(self.average)}

    @torch.inference_mode()
    def encode(self, media: Media) -> Encoded:
        """Standardised log-spectrograms [batch, 1004, 257], or fewer steps where they are averaged; all are valid."""
        sound, length = mono(media, self.device)
        if not len(sound):
            return valid(sound.new_zeros(0, 1, self.width), length)
        place = torch.arange(self.samples, device=self.device)
        length = length.clamp(min=1)
        tiled = sound.gather(1, place[None] % length[:, None]).clamp(-1, 1)
        # float64: in float32 the mean of silence is not quite silence, and dividing would blow that up
        windows = tiled.double().unfold(1, self.points, self.hop)
        windows = (windows - windows.mean(dim=2, keepdim=True)) * self.window
        power = torch.fft.rfft(windows).abs().square()
        power[..., 1:-1] *= 2  # one-sided: every band but the first and the last stands for two
        logarithm = torch.log(power + 1e-7)
        mean = logarithm.mean(dim=(1, 2), keepdim=True)
        spread = logarithm.std(dim=(1, 2), keepdim=True, correction=0)
        features = (logarithm - mean) / (spread + 1e-9)
        steps = torch.full((len(features),), features.shape[1], device=self.device)
        return _average_steps(Encoded(features.float(), steps), self.average)


def _average_steps(found: Encoded, count: int) -> Encoded:
    """Means of ``count`` neighbouring steps, of fewer at the end of a clip."""
    if count == 1:
        return found
    clips, time, width = found.features.shape
    features = torch.nn.functional.pad(found.features, (0, 0, 0, -time % count))
    sums = features.reshape(clips, -1, count, width).sum(dim=2)
    steps = (found.length + count - 1) // count
    first = count * torch.arange(sums.shape[1], device=sums.device)
    averaged = (found.length[:, None] - first).clamp(1, count)  # of each mean, how many
    return valid(sums / averaged[..., None], steps)


def _no_model(spec: EncoderSpec) -> None:
    if spec.model:
        raise EncoderError(
            f"encoder {spec.encoder} has no models, so {spec.model!r} means nothing: leave it out"
        )
