"""What a text transformer says of the token ids that it reads, from its configuration alone: no weights are loaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from torch import Tensor

from ..libraries import import_guard
from .encoder import EncoderError
from .spec import fill, parse
from .text import Text, positions_of, segments_of
from .transformer import model_folder, quiet
from .weights import read

#: How the names of files with weights end.
_WEIGHTS = (".safetensors", ".bin")


@dataclass(frozen=True)
class TokenModel:
    """A text transformer as a reader of token ids.

    Attributes:
        name: how it was named.
        width: of its hidden states.
        vocabulary: number of ids.
        positions: the most tokens that it reads; None where it has no such bound.
        segments: how many it tells apart; 1 or less: it reads none.
        pooled: whether it makes one vector of a text, and not one for each token.
    """

    name: str
    width: int
    vocabulary: int
    positions: int | None
    segments: int
    pooled: bool

    def fault(self, stored: Tensor, modality: str) -> str:
        """Why it cannot read some token ids, in one line; empty where it can.

        Args:
            stored: [samples, 3, positions], ids, attention mask and segments, as ``Batch.tokens``.
            modality: of the text.
        """
        ids, mask, segment = (stored[:, row] for row in range(3))
        read = mask > 0
        largest = int(ids.where(read, 0).max()) if read.any() else 0
        if largest >= self.vocabulary:
            return (
                f"token id {largest} of {modality} is not in the vocabulary of {self.name}, which has {self.vocabulary}: "
                "name the model whose tokenizer made the ids"
            )
        if self.positions is not None and stored.shape[2] > self.positions:
            return f"{modality} has {stored.shape[2]} positions of token ids, and {self.name} reads {self.positions} at most"
        last = int(segment.where(read, 0).max()) if read.any() else 0
        if 1 < self.segments <= last:
            return f"segment {last} of {modality} is unknown to {self.name}, which has {self.segments}"
        return ""


def token_model(text: str) -> TokenModel:
    """The model that a text names.

    Args:
        text: ``text:MODEL[,OPTION=VALUE]...``, as of an encoder.

    Raises:
        EncoderError: there is no such model, or an option is unknown.
    """
    spec = parse(text)
    options = fill(Text.Options, spec)
    with import_guard("transformers", "encoder text"):
        from transformers import AutoConfig
    folder = model_folder(spec, options.weights, options.revision)
    with quiet(), read(spec.encoder, str(folder)):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    if not getattr(config, "vocab_size", 0) or not getattr(config, "hidden_size", 0):
        raise EncoderError(
            f"encoder text: {spec.model} is of type {config.model_type}, which reads no token ids"
        )
    return TokenModel(
        name=spec.model,
        width=int(config.hidden_size),
        vocabulary=int(config.vocab_size),
        positions=positions_of(config),
        segments=segments_of(config),
        pooled=options.pool != "none",
    )


def digest_of(text: str) -> str:
    """The SHA-256 of a model: of its configuration and weights, whatever its folder is called.

    Args:
        text: as of ``token_model``.

    Raises:
        EncoderError: there is no such model.
    """
    spec = parse(text)
    options = fill(Text.Options, spec)
    folder = model_folder(spec, options.weights, options.revision)
    files = [folder / "config.json"]
    if options.weights != "random":
        files += sorted(path for path in folder.iterdir() if path.suffix in _WEIGHTS)
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            total.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()
