"""Sound through AST, and speech through Whisper's encoder, both of the transformers library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..libraries import import_guard
from ..media.clip import Medium, SoundView
from .encoder import Encoded, EncoderError, EncoderSpec, Media
from .network import Network, NetworkOptions
from .sound import mono, pool_steps
from .spec import fill
from .transformer import feature_extractor, load

#: Samples of a window of 25 ms at 16 kHz, and of the hop of 10 ms, of both networks' spectra.
_WINDOW, _HOP = 400, 160


class Ast:
    """Sound through the Audio Spectrogram Transformer: patches of about 160 ms, 100 ms apart.

    The model is a folder of the transformers library or a repository of the hub, such as
    MIT/ast-finetuned-audioset-10-10-0.4593. It reads some ten seconds, padded where the clip is shorter; only steps that
    the clip reaches are valid.
    """

    @dataclass(frozen=True)
    class Options(NetworkOptions):
        """Options, and those of ``NetworkOptions``.

        Attributes:
            pool: none: every step, the mean of its patches over frequency; time: the mean of the valid steps; cls: the
                mean of the two tokens that classify.
        """

        pool: Literal["none", "time", "cls"] = "none"

    medium: Medium = "waveform"

    def __init__(self, spec: EncoderSpec, device: torch.device) -> None:
        self.spec = spec
        self.options = fill(self.Options, spec)
        asked = self.options
        loaded = load(spec, asked, "audio-spectrogram-transformer")
        with import_guard("transformers", "encoder ast"):
            from transformers import ASTFeatureExtractor

        config = loaded.module.config
        self.extract = feature_extractor(
            "ast",
            ASTFeatureExtractor,
            loaded.folder,
            num_mel_bins=config.num_mel_bins,
            max_length=config.max_length,
        )
        if (self.extract.num_mel_bins, self.extract.max_length) != (config.num_mel_bins, config.max_length):
            raise EncoderError(
                f"encoder ast: {loaded.folder}: config.json and preprocessor_config.json disagree on size"
            )
        self.rows, self.columns = loaded.module.embeddings.get_shape(config)
        self.stride = config.time_stride
        longest = (config.max_length - 1) * _HOP + _WINDOW
        self.view = SoundView(rate=self.extract.sampling_rate, seconds=longest / self.extract.sampling_rate)
        self.width = int(config.hidden_size)
        self.settings = loaded.settings
        self.network = Network(loaded.module, device, asked.precision, loaded.weights)

    def identity(self) -> Mapping[str, str]:
        """What decides the features; ``settings`` is the SHA-256 of the configuration."""
        return {**self.network.identity(self.spec, 1, asdict(self.options)), "settings": self.settings}

    @torch.inference_mode()
    def encode(self, media: Media) -> Encoded:
        """Features [batch, steps, feature], or [batch, 1, feature] where they are pooled."""
        return self.features(media)

    def features(self, media: Media) -> Encoded:
        """As ``encode``, with gradients where they are enabled and weights take them."""
        sound, length = mono(media, self.network.device)
        clips = _clips(sound, length, _WINDOW)
        windows = 1 + torch.div(length.clamp(min=_WINDOW) - _WINDOW, _HOP, rounding_mode="floor")
        steps = torch.div(windows + self.stride - 1, self.stride, rounding_mode="floor").clamp(
            1, self.columns
        )

        def forward(start: int, stop: int) -> list[Tensor]:
            read = self.extract(clips[start:stop], sampling_rate=self.view.rate, return_tensors="pt")
            output = self.network.module(
                read["input_values"].to(self.network.device)
            ).last_hidden_state.float()
            if self.options.pool == "cls":
                return list(output[:, :2].mean(dim=1, keepdim=True))
            return list(output[:, 2:].unflatten(1, (self.rows, self.columns)).mean(dim=1))

        values = self.extract.max_length * self.extract.num_mel_bins
        hidden = [clip for part in self.network.run(forward, len(clips), values) for clip in part]
        if self.options.pool == "cls":
            return pool_steps(hidden, torch.ones_like(steps), False, self.width)
        return pool_steps(hidden, steps, self.options.pool == "time", self.width)


class Whisper:
    """Speech through the encoder of Whisper: one step for every 20 ms.

    The model is a folder of the transformers library or a repository of the hub, such as openai/whisper-base. It reads
    30 seconds, padded with silence as in its training where the clip is shorter; only steps that the clip reaches are
    valid.
    """

    @dataclass(frozen=True)
    class Options(NetworkOptions):
        """Options, and those of ``NetworkOptions``.

        Attributes:
            pool: none: every step; time: the mean of the valid steps.
        """

        pool: Literal["none", "time"] = "none"

    medium: Medium = "waveform"

    def __init__(self, spec: EncoderSpec, device: torch.device) -> None:
        self.spec = spec
        self.options = fill(self.Options, spec)
        asked = self.options
        loaded = load(spec, asked, "whisper", may_lack=("decoder.",))
        with import_guard("transformers", "encoder whisper"):
            from transformers import WhisperFeatureExtractor

        config = loaded.module.config
        frames = 2 * config.max_source_positions  # the second convolution takes every second one
        self.extract = feature_extractor(
            "whisper",
            WhisperFeatureExtractor,
            loaded.folder,
            feature_size=config.num_mel_bins,
            chunk_length=frames * _HOP // 16_000,
        )
        if (self.extract.feature_size, self.extract.nb_max_frames) != (config.num_mel_bins, frames):
            raise EncoderError(
                f"encoder whisper: {loaded.folder}: config.json and preprocessor_config.json disagree on size"
            )
        self.view = SoundView(rate=self.extract.sampling_rate, seconds=float(self.extract.chunk_length))
        self.stride = 2 * self.extract.hop_length
        self.width = int(config.d_model)
        self.settings = loaded.settings
        self.network = Network(loaded.module.get_encoder(), device, asked.precision, loaded.weights)

    def identity(self) -> Mapping[str, str]:
        """What decides the features; ``settings`` is the SHA-256 of the configuration."""
        return {**self.network.identity(self.spec, 1, asdict(self.options)), "settings": self.settings}

    @torch.inference_mode()
    def encode(self, media: Media) -> Encoded:
        """Features [batch, steps, feature], or [batch, 1, feature] where they are pooled."""
        return self.features(media)

    def features(self, media: Media) -> Encoded:
        """As ``encode``, with gradients where they are enabled and weights take them."""
        sound, length = mono(media, self.network.device)
        clips = _clips(sound, length, 1)
        most = self.extract.nb_max_frames // 2
        steps = torch.div(length + self.stride - 1, self.stride, rounding_mode="floor").clamp(1, most)

        def forward(start: int, stop: int) -> list[Tensor]:
            read = self.extract(clips[start:stop], sampling_rate=self.view.rate, return_tensors="pt")
            spectrum = read["input_features"].to(self.network.device)
            return list(self.network.module(spectrum).last_hidden_state.float())

        values = self.extract.nb_max_frames * self.extract.feature_size
        hidden = [clip for part in self.network.run(forward, len(clips), values) for clip in part]
        return pool_steps(hidden, steps, self.options.pool == "time", self.width)


def _clips(sound: Tensor, length: Tensor, least: int) -> list[np.ndarray[Any, Any]]:
    """Every clip's valid samples, float32; zeros up to ``least``."""
    clips = [clip[:count].cpu().numpy() for clip, count in zip(sound, length.tolist(), strict=True)]
    return [np.pad(clip, (0, max(least - len(clip), 0))) for clip in clips]
