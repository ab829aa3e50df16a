"""Language models that a method owns: from a folder, a GGUF file or a repository of the hub. No pickle is executed.

Beside causal language models, which read text, some families are known that read sound or frames, too (``base_model.py``).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from ..dataset import DataError
from ..fingerprint import file_sha256
from ..libraries import first_line, import_guard
from .base_model import FAMILIES, TEXT, Family, Weights, model_type, weights_bytes
from .encoder import EncoderError
from .memory import free_bytes
from .transformer import quiet
from .weights import files_digest, hub_folder, weight_files

_WHERE = "a language model"


@dataclass(frozen=True)
class LanguageModel:
    """A language model and what writes its input.

    Attributes:
        module: a PreTrainedModel with a language-modelling head, in evaluation mode; its weights take no gradients.
        tokenizer: of the transformers library.
        name: the last part of its path.
        digest: SHA-256 (hex) of the weights as they were found.
        media: what it reads: ``text``, ``waveform``, ``frames``.
        processor: of models that read more than text: it has a ``feature_extractor`` where they hear, and a ``video_processor`` where
            they see.
        family: of models that read more than text.
    """

    module: Any
    tokenizer: Any
    name: str
    digest: str
    media: frozenset[str]
    processor: Any = None
    family: Family | None = None


def load_language_model(model: str, weights: Weights = "float32") -> LanguageModel:
    """The model of a folder, file or repository.

    Args:
        model: a folder with ``config.json``, weights and a tokenizer; a GGUF file, which is converted once and kept; or a
            repository of the Hugging Face hub.
        weights: how they are held: as float32 or bfloat16; or ``nf4``, four bits with double quantisation (QLoRA,
            arXiv 2305.14314), all layers but embeddings, norms and the language-modelling head.

    Raises:
        EncoderError: files are missing, do not fit, or do not fit into memory.
        LibraryError: a library is missing.
    """
    with import_guard("transformers", _WHERE):
        import transformers
    path = Path(os.path.expandvars(model)).expanduser()
    folder, digest = _folder(model, path)
    kind = model_type(folder)
    family = FAMILIES.get(kind)
    with quiet(), _reading(folder):
        owner: Any = getattr(transformers, family.owner) if family else transformers.AutoModelForCausalLM
        config: dict[str, Any] = {}
        if kind == "qwen2_5_omni":  # the Thinker alone: nothing is spoken
            whole = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            config["config"] = whole.thinker_config
        processor = (
            transformers.AutoProcessor.from_pretrained(folder, local_files_only=True) if family else None
        )
        tokenizer = processor.tokenizer if processor else _tokenizer(transformers, folder)
        _check_room(folder, weights)
        module, loading = owner.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=any(file.suffix == ".safetensors" for file in weight_files(folder)),
            output_loading_info=True,
            **config,
            **_held(weights),
        )
    if lacking := sorted(loading["missing_keys"]):
        raise EncoderError(f"{folder}: the weights lack {len(lacking)} of the model's, such as {lacking[0]}")
    module.eval().requires_grad_(False)
    _keep_four_bits(module)
    module.only_tensors_change = True  # a checkpoint of a training leaves its configuration alone
    media = family.media if family else TEXT
    return LanguageModel(module, tokenizer, path.name, digest, media, processor, family)


def _folder(model: str, path: Path) -> tuple[Path, str]:
    """The folder of a model, and the SHA-256 of its weights as they were found."""
    if path.suffix == ".gguf":
        if not path.is_file():
            raise EncoderError(f"{path}: no such file")
        return converted_gguf(path)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise EncoderError(f"{path} holds no config.json, so it is no model's folder")
    else:
        path = hub_folder(model, "")
    if not (files := weight_files(path)):
        raise EncoderError(f"{path} holds no weights: put model.safetensors there")
    return path, files_digest(files)


@contextlib.contextmanager
def _reading(what: Path) -> Iterator[None]:
    """Turns what the libraries raise for files that do not fit into one line."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # of many kinds, theirs and others'
        raise EncoderError(f"{what}: cannot be read ({type(error).__name__}: {first_line(error)})") from None


def _tokenizer(transformers: Any, folder: Path) -> Any:
    try:
        return transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # of many kinds
        raise EncoderError(
            f"{folder} holds no tokenizer that can be read ({type(error).__name__}): put its tokenizer.json and "
            "tokenizer_config.json beside the weights"
        ) from None


def _held(weights: Weights) -> dict[str, Any]:
    """The arguments of ``from_pretrained`` that decide how weights are held."""
    if weights == "bfloat16":
        if torch.cuda.is_available() and not torch.cuda.is_bf16_supported():
            raise EncoderError("this GPU has no bfloat16: take weights=float32 or weights=nf4")
        return {"dtype": torch.bfloat16}
    if weights == "float32":
        return {"dtype": torch.float32}
    with import_guard("bitsandbytes", "weights of four bits"):
        import bitsandbytes  # noqa: F401
    with import_guard("accelerate", "weights of four bits"):
        import accelerate  # noqa: F401
    with import_guard("transformers", "weights of four bits"):
        from transformers import BitsAndBytesConfig

    half = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    dtype = torch.bfloat16 if half else torch.float32
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": config, "device_map": {"": "cpu"}, "dtype": dtype}


def _keep_four_bits(module: torch.nn.Module) -> None:
    """Has layers of four bits computed alike on every processor.

    On a processor with bfloat16 (AVX-512 BF16) bitsandbytes packs the weights anew when a layer is first evaluated. That rounds their
    scales to bfloat16 for good, so that the base changes in the middle of a training, and fails for layers whose width is
    no multiple of 32.
    """
    for part in module.modules():
        if hasattr(part, "support_avx512bf16_for_cpu"):
            cast("Any", part).support_avx512bf16_for_cpu = False


def _check_room(folder: Path, weights: Weights) -> None:
    """Checks that the weights of a folder fit into the memory that is free now.

    Raises:
        EncoderError: they do not.
    """
    half = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    need, free = weights_bytes(folder, weights, half), free_bytes(torch.device("cpu"))
    if need > free:
        raise EncoderError(
            f"{folder}: its weights take {need / 2**30:.1f} GiB as {weights}, and {free / 2**30:.1f} GiB are free: take "
            "weights=nf4 or a smaller model, or run where there is more memory"
        )


def converted_gguf(file: Path) -> tuple[Path, str]:
    """The folder of a GGUF file's model, whose weights are float32. It is made once for each content and kept beside
    torch's checkpoints (``TORCH_HOME``).

    Args:
        file: a GGUF file of an architecture that the transformers library knows.

    Returns:
        The folder, and the SHA-256 of the GGUF file.

    Raises:
        EncoderError: the file cannot be read.
        LibraryError: the package gguf is missing.
    """
    digest = file_sha256(file)
    folder = Path(torch.hub.get_dir()) / "gguf" / digest[:32]
    if (folder / "config.json").is_file():
        return folder, digest
    with import_guard("gguf", f"the model {file.name}"):
        import gguf  # noqa: F401
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=folder.parent, prefix="converting-"))
    try:
        with quiet(), _reading(file):
            _convert(file, work)
        try:
            work.rename(folder)
        except OSError:  # another process was first
            if not (folder / "config.json").is_file():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder, digest


def _convert(file: Path, folder: Path) -> None:
    """Writes the model of a GGUF file into a folder. ``save_pretrained`` refuses what was quantised once."""
    from safetensors.torch import save_model

    with import_guard("transformers", f"the model {file.name}"):
        from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"gguf_file": file.name, "local_files_only": True}
    AutoTokenizer.from_pretrained(file.parent, **source).save_pretrained(folder)
    module = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **source)
    save_model(module, str(folder / "model.safetensors"), metadata={"format": "pt"})
    config = {name: value for name, value in module.config.to_dict().items() if name != "quantization_config"}
    (folder / "config.json").write_text(json.dumps(config, indent=1))
