"""Speech through wav2vec 2.0, HuBERT and WavLM of torchaudio: one step for every 20 ms."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..libraries import import_guard
from ..media.clip import Medium, SoundView
from .encoder import Encoded, EncoderError, EncoderSpec, Media
from .network import Network, Precision
from .sound import like_lengths, mono, pool_steps, standardise
from .spec import fill, near
from .weights import (
    files_digest,
    read,
    read_state,
    seeded_initialization,
    state_digest,
    url_file,
    weight_files,
)


class Torchaudio:
    """Speech through a network of torchaudio's pipelines, such as wav2vec2_base, hubert_base or hubert_large.

    The model is a bundle's name in any case, or a folder with weights and a ``config.json`` of what
    ``torchaudio.models.wav2vec2_model`` takes (the layers that recognise letters may lack). Networks that were trained
    on sound of mean 0 and deviation 1 are given it so, each clip by itself (a folder says it with
    ``"normalize_waveform": true``).

    A clip's features do not depend on what it is batched with: padding is masked; networks that cannot mask it, as
    those whose first layer is normalised over time, read clips of one length at once.
    """

    @dataclass(frozen=True)
    class Options:
        """Options.

        Attributes:
            pool: none: every step; time: their mean.
            layer: the features after so many layers of the transformer; none: after the last, normalised where the
                network ends so.
            seconds: cut to so many; none: the whole clip.
            weights: a file or folder; random: drawn from ``seed``; empty: the bundle's, fetched once.
            seed: for random weights.
            precision: auto: bfloat16 where the GPU can, else float32.
        """

        pool: Literal["none", "time"] = "none"
        layer: int | None = None
        seconds: float | None = None
        weights: str = ""
        seed: int = 0
        precision: Precision = "auto"

    medium: Medium = "waveform"

    def __init__(self, spec: EncoderSpec, device: torch.device) -> None:
        self.spec = spec
        self.options = fill(self.Options, spec)
        recipe = _recipe(spec)
        module, weights = _build(spec, self.options, recipe)
        self.standardise = recipe.standardise
        self.settings = json.dumps(recipe.arguments, sort_keys=True)
        self.view = SoundView(rate=recipe.rate, seconds=self.options.seconds)
        layers = module.encoder.transformer.layers
        if self.options.layer is not None and not 1 <= self.options.layer <= len(layers):
            raise EncoderError(
                f"encoder torchaudio: option layer={self.options.layer}: should be 1 to {len(layers)} for this model"
            )
        self.width = int(module.encoder.feature_projection.projection.out_features)
        self.masks = _masks(module)
        self.strides = [(block.kernel_size, block.stride) for block in module.feature_extractor.conv_layers]
        self.network = Network(module, device, self.options.precision, weights)

    def identity(self) -> Mapping[str, str]:
        """What decides the features; ``settings`` are the arguments that the network was built with."""
        own = self.network.identity(self.spec, 1, asdict(self.options))
        return {**own, "standardise": str(self.standardise), "settings": self.settings}

    @torch.inference_mode()
    def encode(self, media: Media) -> Encoded:
        """Features [batch, time, feature], or [batch, 1, feature] where they are pooled."""
        return self.features(media)

    def features(self, media: Media) -> Encoded:
        """As ``encode``, with gradients where they are enabled and weights take them."""
        sound, length = mono(media, self.network.device)
        if self.standardise:
            sound = standardise(sound, length, floor=1e-5)
        hidden = like_lengths(
            self.network, self._hidden_states, sound, length.clamp(min=self._shortest()), self.masks
        )
        steps = length.clamp(min=self._shortest())
        for kernel, stride in self.strides:
            steps = torch.div(steps - kernel, stride, rounding_mode="floor") + 1
        return pool_steps(hidden, steps, self.options.pool == "time", self.width)

    def _shortest(self) -> int:
        """How many samples make one step; shorter clips are padded with zeros to it."""
        need = 1
        for kernel, stride in reversed(self.strides):
            need = (need - 1) * stride + kernel
        return need

    def _hidden_states(self, sound: Tensor, length: Tensor | None) -> Tensor:
        """[batch, samples] -> [batch, steps, feature]; ``length`` None: all of one length."""
        extracted, length = self.network.module.feature_extractor(sound, length)
        if self.options.layer is None:
            return self.network.module.encoder(extracted, length)
        return self.network.module.encoder.extract_features(extracted, length, self.options.layer)[-1]


def _masks(module: Any) -> bool:
    """Whether the network gives a padded clip what it gives the clip alone."""
    over_time = any(isinstance(part, nn.GroupNorm) for part in module.feature_extractor.modules())
    return not over_time and not any("WavLM" in type(part).__name__ for part in module.modules())


@dataclass(frozen=True)
class _Recipe:
    """How a network is built and what it reads.

    Attributes:
        build: torchaudio's function.
        arguments: its arguments, without the layer that recognises letters.
        place: where the weights are: a folder, or an address.
        rate: samples a second.
        standardise: whether it reads clips of mean 0 and deviation 1.
    """

    build: Callable[..., Any]
    arguments: Mapping[str, Any]
    place: Path | str
    rate: int
    standardise: bool


def _recipe(spec: EncoderSpec) -> _Recipe:
    with import_guard("torchaudio", "encoder torchaudio"):
        from torchaudio import models, pipelines
    folder = Path(spec.model).expanduser()
    if spec.model and folder.is_dir():
        try:
            arguments = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            standardise = bool(arguments.pop("normalize_waveform", False))
        except (OSError, ValueError, AttributeError) as error:
            raise EncoderError(
                f"encoder torchaudio: {folder}/config.json should hold the arguments of wav2vec2_model "
                f"({type(error).__name__})"
            ) from None
        arguments["aux_num_out"] = None
        return _Recipe(models.wav2vec2_model, arguments, folder, 16_000, standardise)
    members = {name.lower(): getattr(pipelines, name) for name in pipelines.__all__}
    bundles = {
        name: bundle for name, bundle in members.items() if isinstance(bundle, pipelines.Wav2Vec2Bundle)
    }
    if spec.model.lower() not in bundles:
        raise EncoderError(
            f"encoder torchaudio: no bundle or folder {spec.model!r}: {near(spec.model, bundles)}"
        )
    bundle = bundles[spec.model.lower()]
    build = models.wavlm_model if bundle._model_type == "WavLM" else models.wav2vec2_model
    address = bundle._path
    if not address.startswith("https"):
        address = f"https://download.pytorch.org/torchaudio/models/{address}"
    arguments = {**bundle._params, "aux_num_out": None}
    return _Recipe(build, arguments, address, int(bundle.sample_rate), bundle._normalize_waveform)


def _build(spec: EncoderSpec, options: Torchaudio.Options, recipe: _Recipe) -> tuple[Any, str]:
    """The network, and its weights in words."""
    with read(spec.encoder, spec.model):
        random = options.weights == "random"
        files = [] if random else _files(options, recipe.place)
        with seeded_initialization(options.seed):
            module = recipe.build(**recipe.arguments)
        if random:
            return module, f"random, seed {options.seed}, sha256 {state_digest(module)}"
        state = {key: value for file in files for key, value in read_state(file).items()}
        mismatch = module.load_state_dict(
            {key: value for key, value in state.items() if not key.startswith("aux.")}, strict=False
        )
    if mismatch.missing_keys or mismatch.unexpected_keys:
        name = [*mismatch.missing_keys, *mismatch.unexpected_keys][0]
        raise EncoderError(
            f"encoder torchaudio: {files[0]} does not fit {spec.model}: {len(mismatch.missing_keys)} weights lack, "
            f"{len(mismatch.unexpected_keys)} are too many, such as {name}"
        )
    return module, f"sha256 {files_digest(files)}"


def _files(options: Torchaudio.Options, place: Path | str) -> list[Path]:
    if options.weights:
        place = Path(options.weights).expanduser()
    if isinstance(place, str):
        place = url_file(place)
    if place.is_file():
        return [place]
    if files := weight_files(place):
        return files
    raise EncoderError(f"encoder torchaudio: no weights at {place}: put model.safetensors there")
