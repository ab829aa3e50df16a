"""Frames and flow, each frame by itself, through a network of the timm library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..counting import counted
from ..libraries import import_guard
from ..media.clip import FrameView, Medium
from .encoder import Encoded, EncoderError, EncoderSpec, Media
from .memory import free_bytes
from .network import Network, NetworkOptions
from .sound import valid
from .spec import fill
from .timm_networks import load


class Timm:
    """Pictures and video through a timm network: one step for every frame, or one for the clip.

    The model is a name that timm knows, or a folder with timm's ``config.json`` and weights. Size, crop, mean and
    standard deviation are the network's own, but for ``view=official``: 32 frames, every second one, the middle
    224 x 224 of frames whose short side is 256, the mean and deviation of ImageNet (MMDG-Bench, loaders of
    EPIC-Kitchens and HAC).
    """

    @dataclass(frozen=True)
    class Options(NetworkOptions):
        """Options, and those of ``NetworkOptions``.

        Attributes:
            frames: how many frames are taken; 1 for pictures; none: 8, or 32 of the official view.
            interval: every so-manieth frame; none: evenly over the clip, or 2 of the official view.
            pool: none: one step for every frame; time: their mean.
            view: model: as the network was trained; official: see above.
            size: height and width in pixels; none: the view's.
        """

        frames: int | None = None
        interval: int | None = None
        pool: Literal["none", "time"] = "none"
        view: Literal["model", "official"] = "model"
        size: int | None = None

    medium: Medium = "frames"
    channels = 3
    #: Mean and standard deviation of the channels, of values in 0 to 1; None: the network's own.
    own_statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    official = FrameView(size=224, frames=32, interval=2, crop="center", crop_share=224 / 256)
    official_statistics = (
        tuple(value / 255 for value in (123.675, 116.28, 103.53)),
        tuple(value / 255 for value in (58.395, 57.12, 57.375)),
    )

    def __init__(self, spec: EncoderSpec, device: torch.device) -> None:
        self.spec = spec
        self.options = fill(self.Options, spec)
        for name in ("frames", "interval", "size"):
            if (value := getattr(self.options, name)) is not None and value < 1:
                raise EncoderError(f"encoder {spec.encoder}: option {name}={value}: should be 1 or more")
        official = self.official if self.options.view == "official" else None
        size = self.options.size or (official.size if official else None)
        module, weights = self.load_network(size)
        data = _data_config(module)
        view = official or FrameView(
            size=self.options.size or data["input_size"][-1],
            crop="squash" if data["crop_mode"] == "squash" else "center",
            crop_share=min(data["crop_pct"], 1.0),
        )
        asked = {name: getattr(self.options, name) for name in ("frames", "interval", "size")}
        self.view = replace(view, **{name: value for name, value in asked.items() if value is not None})
        _check_room(spec, self.view, self.channels)
        self.width = int(getattr(module, "head_hidden_size", None) or module.num_features)  # type: ignore[arg-type]
        self.network = Network(module, device, self.options.precision, weights)
        own = self.own_statistics or (data["mean"], data["std"])
        mean, deviation = self.official_statistics if official else own
        self.mean = torch.tensor(mean, device=device).reshape(-1, 1, 1)
        self.deviation = torch.tensor(deviation, device=device).reshape(-1, 1, 1)

    def load_network(self, size: int | None) -> tuple[nn.Module, str]:
        """The network without its classifier, and a description of its weights.

        Args:
            size: height and width of the frames in pixels, where they are not the network's own.

        Returns:
            As ``timm_networks.load``.
        """
        return load(self.spec, self.options, self.channels, size)

    def identity(self) -> Mapping[str, str]:
        """What decides the features: for frames the view and the statistics that the options led to."""
        own = self.network.identity(self.spec, 1, {"pool": self.options.pool})
        statistics = [
            [round(float(value), 6) for value in part.flatten()] for part in (self.mean, self.deviation)
        ]
        return {**own, "view": str(self.view), "statistics": str(statistics)}

    @torch.inference_mode()
    def encode(self, media: Media) -> Encoded:
        """Features [batch, frames, feature], or [batch, 1, feature] where they are pooled."""
        return self.features(media)

    def features(self, media: Media) -> Encoded:
        """As ``encode``, with gradients where they are enabled and weights take them."""
        if media.values is None or media.values.ndim != 5:
            raise ValueError("frames are given as values [batch, time, channel, height, width]")
        clips, time = media.values.shape[:2]
        frames = media.values.flatten(0, 1)

        def forward(start: int, stop: int) -> Tensor:
            return self._one(frames[start:stop].to(self.network.device, torch.float32))

        batches = self.network.run(forward, len(frames), frames[0].numel() if len(frames) else 1)
        features = (
            torch.cat(batches).reshape(clips, time, -1)
            if batches
            else frames.new_zeros(clips, time, self.width)
        )
        mask = torch.ones(clips, time, dtype=torch.bool) if media.mask is None else media.mask
        steps = mask.to(features.device).sum(dim=1)
        if self.options.pool == "none":
            return valid(features, steps)
        total = valid(features, steps).features.sum(dim=1, keepdim=True)
        return valid(total / steps.clamp(min=1)[:, None, None], steps.clamp(max=1))

    def _one(self, frames: Tensor) -> Tensor:
        mean, deviation = (part.to(frames.device) for part in (self.mean, self.deviation))
        return self.network.module((frames - mean) / deviation).float()


class TimmFlow(Timm):
    """Optical flow through a timm network that reads frames of two channels, horizontal and vertical.

    As ``timm``, but mean and standard deviation are 128 of 0 to 255. Weights of a network for colour are carried
    over to two channels as timm does it: the filters of the colours, scaled. ``view=official``: 8 frames evenly over
    the clip (MMDG-Bench says how many, not at what distance), the middle 256 x 256 at a short side of 256.
    """

    medium: Medium = "flow"
    channels = 2
    own_statistics = ((128 / 255,) * 2, (128 / 255,) * 2)
    official = FrameView(size=256, frames=8, crop="center", crop_share=1.0)
    official_statistics = own_statistics


def _check_room(spec: EncoderSpec, view: FrameView, channels: int) -> None:
    """Whether the frames of one clip fit into memory, as bytes and as numbers."""
    need, free = 5 * view.frames * channels * view.size**2, free_bytes(torch.device("cpu"))
    if need > free / 2:
        raise EncoderError(
            f"encoder {spec.encoder}: {counted(view.frames, 'frame')} of {view.size} x {view.size} take {need / 1e9:.1f} GB a clip, "
            f"and {free / 1e9:.1f} GB are free: take fewer or smaller ones"
        )


def _data_config(module: nn.Module) -> dict[str, Any]:
    with import_guard("timm", "an encoder of frames"):
        from timm.data.config import resolve_data_config

    return resolve_data_config(model=module)
