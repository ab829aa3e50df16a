"""Networks of the timm library, without their classifier, and their weights."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..libraries import import_guard
from .encoder import EncoderError, EncoderSpec
from .network import NetworkOptions
from .weights import (
    files_digest,
    hub_folder,
    read,
    read_state,
    seeded_initialization,
    state_digest,
    weight_files,
)

#: Names of files of weights that timm has beside the usual ones.
TIMM_WEIGHTS = ("open_clip_model.safetensors",)
#: Any number that nobody would draw weights from.
_DRAWN = 0x6D6D62656E6368


def load(
    spec: EncoderSpec, options: NetworkOptions, channels: int, size: int | None = None
) -> tuple[nn.Module, str]:
    """A network without its classifier, and a description of its weights.

    Args:
        spec: what was asked for.
        options: which weights.
        channels: of what it reads.
        size: height and width of what it reads, where that is not its own.

    Returns:
        The network; and the digest of its weights, for a folder with that of its configuration, which the weights do
        not show.

    Raises:
        EncoderError: no such network, no weights, or weights that do not fit.
    """
    with import_guard("timm", f"encoder {spec.encoder}"):
        import timm
        from timm.models import clean_state_dict
    name, config, folder = _architecture(spec)
    arguments: dict[str, Any] = {**config.get("model_args", {}), "num_classes": 0, "in_chans": channels}
    known = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if size and (config.get("pretrained_cfg") or (known.to_dict() if known else {})).get("fixed_input_size"):
        arguments["img_size"] = size
    if config:
        arguments["pretrained_cfg"] = {**config.get("pretrained_cfg", {}), "source": None}
    built = f", built as sha256 {_digest([name, config.get('model_args', {})])}" if config else ""
    with _quiet(), read(spec.encoder, spec.model):
        if options.weights == "random":
            with seeded_initialization(options.seed):
                module = timm.create_model(name, pretrained=False, **arguments)
            return module, f"random, seed {options.seed}, sha256 {state_digest(module)}{built}"
        files = _files(spec, options, folder, known.hf_hub_id if known else None)
        state = {key: value for file in files for key, value in clean_state_dict(read_state(file)).items()}
        # what the files lack stays as it was drawn, and timm does not say so: draw it alike twice, and compare
        with seeded_initialization(_DRAWN):
            blank = timm.create_model(name, pretrained=False, **arguments)
        if config:
            arguments["pretrained_cfg"]["state_dict"] = state
        else:
            arguments["pretrained_cfg_overlay"] = {"state_dict": state}
        with seeded_initialization(_DRAWN):
            module: Any = timm.create_model(name, pretrained=True, **arguments)
        module.pretrained_cfg.pop("state_dict", None)  # it would be kept twice
    if lacking := _unset_weights(module, blank):
        raise EncoderError(
            f"encoder {spec.encoder}: {files[0]} does not fit {name}: it lacks {len(lacking)} of its weights, such as "
            f"{lacking[0]}"
        )
    return module, f"sha256 {files_digest(files)}{built}"


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _architecture(spec: EncoderSpec) -> tuple[str, dict[str, Any], Path | None]:
    """The name of the architecture, what a folder's ``config.json`` says, and the folder."""
    with import_guard("timm", f"encoder {spec.encoder}"):
        import timm

    if not spec.model:
        raise EncoderError(
            f"encoder {spec.encoder} needs a model: {spec.encoder}:vit_tiny_patch16_224, or any of timm.list_models()"
        )
    folder = Path(spec.model).expanduser()
    if folder.is_dir():
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            return config["architecture"], config, folder
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EncoderError(
                f"encoder {spec.encoder}: {folder}/config.json should name timm's architecture ({type(error).__name__})"
            ) from None
    base = spec.model.partition(".")[0]
    if not timm.is_model(base):
        close = difflib.get_close_matches(base, timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see timm.list_models()"
        raise EncoderError(f"encoder {spec.encoder}: timm has no network {spec.model!r}: {hint}")
    return spec.model, {}, None


def _files(spec: EncoderSpec, options: NetworkOptions, folder: Path | None, hub: str | None) -> list[Path]:
    place = Path(options.weights).expanduser() if options.weights else folder
    if place is None:
        if not hub:
            raise EncoderError(
                f"encoder {spec.encoder}: timm has no weights of {spec.model}: name weights=FILE"
            )
        place = hub_folder(hub, options.revision, TIMM_WEIGHTS)
    if place.is_file():
        return [place]
    if files := weight_files(place) or [place / name for name in TIMM_WEIGHTS if (place / name).is_file()]:
        return files
    raise EncoderError(f"encoder {spec.encoder}: no weights at {place}: put model.safetensors there")


def _unset_weights(module: nn.Module, blank: nn.Module) -> list[str]:
    """Names of trainable weights that equal those of ``blank``, except constant ones."""
    before = dict(blank.named_parameters())
    return [
        name
        for name, value in module.named_parameters()
        if value.requires_grad
        and torch.equal(value, before[name])
        and bool((value != value.flatten()[0]).any())
    ]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses the report of weights that the network has no place for, such as the classifier's."""
    logger = logging.getLogger("timm")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def fixed_size(module: nn.Module) -> tuple[int, int] | None:
    """Height and width of what a network reads, where it reads no other; else none.

    Returns:
        Height and width of the input in pixels, where the network reads no other; else None.
    """
    config: Any = module.pretrained_cfg
    embedding: Any = getattr(module, "patch_embed", None)
    if not config.get("fixed_input_size"):
        return None
    return tuple(getattr(embedding, "img_size", None) or config["input_size"][-2:])
