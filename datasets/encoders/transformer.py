"""Networks and their processing from folders that the transformers library reads, local ones or the hub's."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..libraries import import_guard
from .encoder import EncoderError, EncoderSpec
from .network import NetworkOptions
from .weights import files_digest, hub_folder, read, seeded_initialization, state_digest, weight_files

#: What beside weights decides features: hashed into the identity where it is there.
SETTINGS = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "bpe.codes",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)


@dataclass(frozen=True)
class Loaded:
    """A network and the folder that it is from.

    Attributes:
        module: the network, with its weights.
        folder: where its settings lie.
        weights: in words: SHA-256, and that they are random where they are.
        settings: SHA-256 of the files in ``folder`` beside the weights.
        missing: names of weights that no file gave, and that are random; only of layers that may lack.
    """

    module: Any  # a PreTrainedModel
    folder: Path
    weights: str
    settings: str
    missing: tuple[str, ...] = ()


def load(spec: EncoderSpec, options: NetworkOptions, kind: str = "", may_lack: Sequence[str] = ()) -> Loaded:
    """The network that a spec names.

    Args:
        spec: its model is a folder with ``config.json``, or a repository of the Hugging Face hub.
        options: which weights.
        kind: the type of model that it must be, as ``config.json`` says it; empty: any.
        may_lack: beginnings of the names of weights that a file need not have.

    Raises:
        EncoderError: libraries, files or weights are missing, or do not fit.
    """
    with import_guard("transformers", f"encoder {spec.encoder}"):
        from transformers import AutoConfig, AutoModel
    weights, seed = options.weights, options.seed
    folder = model_folder(spec, weights, options.revision)
    settings = files_digest([folder / name for name in SETTINGS if (folder / name).is_file()])
    with quiet(), read(spec.encoder, str(folder)):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        if kind and config.model_type != kind:
            raise EncoderError(
                f"encoder {spec.encoder}: {folder} is a model of type {config.model_type}, not {kind}"
            )
        if weights == "random":
            with seeded_initialization(seed):
                module = AutoModel.from_config(config, trust_remote_code=False)
            return Loaded(module, folder, f"random, seed {seed}, sha256 {state_digest(module)}", settings)
        if not (files := weight_files(folder)):
            raise EncoderError(
                f"encoder {spec.encoder}: {folder} holds no weights: put model.safetensors there"
            )
        # layers that lack are drawn at random; those that may are not used
        module, loading = AutoModel.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            weights_only=True,
            output_loading_info=True,
        )
    missing = sorted(loading["missing_keys"])
    if lacking := [name for name in missing if not name.startswith(tuple(may_lack) or ("\0",))]:
        raise EncoderError(
            f"encoder {spec.encoder}: the weights in {folder} lack {len(lacking)} of the network's, such as {lacking[0]}"
        )
    return Loaded(module, folder, f"sha256 {files_digest(files)}", settings, tuple(missing))


def model_folder(spec: EncoderSpec, weights: str, revision: str) -> Path:
    """The folder of a model.

    Args:
        spec: its model is a folder with ``config.json``, or a repository of the Hugging Face hub.
        weights, revision: as of ``NetworkOptions``.

    Raises:
        EncoderError: there is no such folder.
    """
    named = weights if weights not in ("", "random") else spec.model
    if not named:
        raise EncoderError(
            f"encoder {spec.encoder} needs a model: {spec.encoder}:FOLDER, or a repository of the hub"
        )
    folder = Path(named).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise EncoderError(
                f"encoder {spec.encoder}: {folder} holds no config.json, so it is no model's folder"
            )
        return folder
    if named.startswith(("/", ".", "~")) or named == weights or named.count("/") > 1:
        raise EncoderError(
            f"encoder {spec.encoder}: no folder {folder}: name one that holds config.json and weights"
        )
    with read(spec.encoder, named):
        return hub_folder(named, revision)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppresses bars and the report of weights that the network has no place for."""
    with import_guard("transformers", "an encoder of text or sound"):
        from transformers.utils import logging as report

    level, bars = report.get_verbosity(), report.is_progress_bar_enabled()
    report.set_verbosity(logging.CRITICAL)
    report.disable_progress_bar()
    try:
        yield
    finally:
        report.set_verbosity(level)
        if bars:
            report.enable_progress_bar()


def feature_extractor(encoder: str, kind: Any, folder: Path, **otherwise: Any) -> Any:
    """A feature extractor, as ``preprocessor_config.json`` configures it.

    Args:
        encoder: the encoder's name, for messages.
        kind: the extractor's class in ``transformers``.
        folder: of the model.
        otherwise: arguments of the class, where the folder holds no such file.

    Raises:
        EncoderError: the file does not fit.
    """
    if (folder / "preprocessor_config.json").is_file():
        with read(encoder, f"{folder}/preprocessor_config.json"):
            return kind.from_pretrained(folder, local_files_only=True)
    return kind(**otherwise)
