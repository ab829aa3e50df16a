"""What the files of a language model say of it before it is loaded: its kind, what it reads, and the memory of its weights. No torch."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .encoder import EncoderError
from .gguf_header import gguf_shapes

Weights = Literal["float32", "bfloat16", "nf4"]
#: Bytes that a number of the weights takes; of NF4 with what its blocks of 64 are scaled by, which are quantised in turn.
_BYTES = {"float32": 4.0, "bfloat16": 2.0, "nf4": 0.5 + 1 / 64 + 4 / (64 * 256)}
#: Parts of the names of matrices that four bits never hold.
_EXACT = ("embd", "embed", "lm_head", "wte", "wpe")
_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
#: The longest header of a file of weights that is read, in bytes.
_LONGEST = 1 << 28


@dataclass(frozen=True)
class Family:
    """A kind of model that reads more than text.

    Attributes:
        owner: the class of the transformers library.
        media: what it reads: ``text``, ``waveform``, ``frames``.
        sound: what the tokens before, of and after a sound are called: attributes of the processor, or of the configuration.
        film: the same of frames.
        seconds: the argument that says how long a patch in time lasts; empty where there is none.
        whole: whether its encoder reads sound filled up to the longest that there is.
    """

    owner: str
    media: frozenset[str]
    sound: tuple[str, ...] = ()
    film: tuple[str, ...] = ()
    seconds: str = ""
    whole: bool = False


_SOUND = ("audio_bos_token", "audio_token", "audio_eos_token")
_FILM = ("vision_start_token_id", "video_token_id", "vision_end_token_id")
_THINKER = Family(
    "Qwen2_5OmniThinkerForConditionalGeneration",
    frozenset({"text", "waveform", "frames"}),
    _SOUND,
    ("vision_bos_token", "video_token", "vision_eos_token"),
    "video_second_per_grid",
)
_SEES = frozenset({"text", "frames"})
#: Type of a model, as ``config.json`` says it -> its family. Any other type is a causal language model, which reads text.
FAMILIES: Mapping[str, Family] = {
    "qwen2_5_omni": _THINKER,
    "qwen2_5_omni_thinker": _THINKER,
    "qwen2_audio": Family(
        "Qwen2AudioForConditionalGeneration", frozenset({"text", "waveform"}), sound=_SOUND, whole=True
    ),
    "qwen2_vl": Family("Qwen2VLForConditionalGeneration", _SEES, film=_FILM),
    "qwen2_5_vl": Family(
        "Qwen2_5_VLForConditionalGeneration", _SEES, film=_FILM, seconds="second_per_grid_ts"
    ),
}
TEXT = frozenset({"text"})


def model_type(folder: Path) -> str:
    """The type of a model, as ``config.json`` in its folder says it; empty where it says none.

    Raises:
        EncoderError: there is no ``config.json``, or it cannot be read.
    """
    file = folder / "config.json"
    if not file.is_file():
        raise EncoderError(f"{folder} holds no config.json, so it is no model's folder")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        return str(config.get("model_type", ""))
    except (ValueError, AttributeError, OSError) as error:
        raise EncoderError(f"{file}: cannot be read ({type(error).__name__})") from None


def media_read(folder: Path) -> frozenset[str]:
    """What the model of a folder reads: ``text``, and ``waveform`` or ``frames``.

    Raises:
        EncoderError: as of ``model_type``.
    """
    family = FAMILIES.get(model_type(folder))
    return family.media if family else TEXT


def lacks(folder: Path) -> str:
    """What the folder of a model lacks, in one line; empty where it has all that is read.

    Raises:
        EncoderError: ``config.json`` is not there, or cannot be read.
    """
    kind = model_type(folder)
    if not any(folder.glob("model*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
        return f"{folder} holds no weights: put model.safetensors there"
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        return f"{folder} holds no tokenizer: put its tokenizer.json and tokenizer_config.json beside the weights"
    if kind in FAMILIES and not any((folder / name).is_file() for name in _PROCESSORS):
        return f"{folder} holds no {_PROCESSORS[0]}, by which a model of type {kind} prepares sound or frames"
    return ""


def weights_bytes(folder: Path, weights: Weights, half: bool = False) -> float:
    """The memory that the weights of a model take, in bytes; 0 where there are none that say their sizes.

    Args:
        folder: of a model, or a GGUF file.
        weights: how they are held.
        half: whether what four bits do not hold (embeddings, norms, the head) is held in bfloat16, as on a GPU that has it,
            and not in float32.
    """
    exact = coarse = 0
    shapes = gguf_shapes(folder) if folder.suffix == ".gguf" else _folder_shapes(folder)
    # what else there is of Qwen2.5-Omni speaks
    thinker = {name for name in shapes if name.startswith("thinker.")}
    for name, shape in shapes.items():
        if not thinker or name in thinker:
            outer = name == "output.weight" or any(part in name for part in _EXACT)
            if len(shape) == 2 and not outer:
                coarse += math.prod(shape)
            else:
                exact += math.prod(shape)
    if not exact + coarse and folder.is_dir():  # other files say how long they are alone
        coarse = int(sum(file.stat().st_size for file in folder.glob("pytorch_model*.bin")) / _stored(folder))
    if weights != "nf4":
        return (exact + coarse) * _BYTES[weights]
    return coarse * _BYTES["nf4"] + exact * _BYTES["bfloat16" if half else "float32"]


def _folder_shapes(folder: Path) -> dict[str, list[int]]:
    """Name -> shape of every tensor of the files of a folder."""
    return {name: size for file in folder.glob("model*.safetensors") for name, size in _shapes(file).items()}


def _shapes(file: Path) -> dict[str, list[int]]:
    """Name -> shape of every tensor of a safetensors file, from its header."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > _LONGEST:
                raise ValueError
            header: dict[str, Any] = json.loads(stream.read(length))
            return {name: list(one["shape"]) for name, one in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        raise EncoderError(f"{file}: is no file of safetensors, or is cut off") from None


def _stored(folder: Path) -> int:
    """Bytes of a stored number, as ``config.json`` states its type."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    stated = config.get("dtype") or config.get("torch_dtype") or "float32"
    return 4 if stated == "float32" else 2
