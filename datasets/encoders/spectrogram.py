"""Sound, as a picture of its spectrum, through a network of the timm library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..media.clip import Medium
from .encoder import Encoded, EncoderSpec, Media
from .network import Network, NetworkOptions
from .sound import valid
from .spec import fill
from .spectra import LogSpectrogram
from .timm_networks import fixed_size, load


class TimmSpectrogram:
    """Sound through a timm network that reads its log-spectrogram as a picture of one channel: one step for the clip.

    The picture is that of ``log-spectrogram``: 257 bands, the lowest first, by 1,004 windows. A network that reads one
    size alone gets it scaled. MMDG-Bench reads sound so, through a ResNet-18 that was trained on VGGSound. Weights of
    a network for colour are carried over to one channel as timm does it: the filters of the colours, summed.
    """

    @dataclass(frozen=True)
    class Options(NetworkOptions):
        """Those of ``NetworkOptions``."""

    medium: Medium = "waveform"

    def __init__(self, spec: EncoderSpec, device: torch.device) -> None:
        self.spec = spec
        self.options = fill(self.Options, spec)
        module, weights = load(spec, self.options, channels=1)
        self.spectrum = LogSpectrogram(EncoderSpec("log-spectrogram"), device)
        self.view = self.spectrum.view
        self.size = fixed_size(module)
        self.width = int(getattr(module, "head_hidden_size", None) or module.num_features)  # type: ignore[arg-type]
        self.network = Network(module, device, self.options.precision, weights)

    def identity(self) -> Mapping[str, str]:
        """What decides the features: the network, and the spectrogram with the size that it is read at."""
        picture = {f"spectrogram {key}": value for key, value in self.spectrum.identity().items()}
        return {**self.network.identity(self.spec, 1, picture), "size": str(self.size)}

    @torch.inference_mode()
    def encode(self, media: Media) -> Encoded:
        """Features [batch, 1, feature]."""
        return self.features(media)

    def features(self, media: Media) -> Encoded:
        """As ``encode``, with gradients where they are enabled and weights take them."""
        spectra = (
            self.spectrum.encode(media).features.clone().transpose(1, 2).unsqueeze(1)
        )  # no inference tensor

        def forward(start: int, stop: int) -> Tensor:
            pictures = spectra[start:stop].to(self.network.device)
            if self.size:
                pictures = F.interpolate(pictures, self.size, mode="bilinear", antialias=True)
            return self.network.module(pictures).float()

        batches = self.network.run(forward, len(spectra), spectra[0].numel() if len(spectra) else 1)
        features = torch.cat(batches) if batches else spectra.new_zeros(0, self.width)
        return valid(features[:, None], torch.ones(len(features), device=features.device))
