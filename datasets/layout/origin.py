"""The block ``media`` of a ``dataset.yaml``: the raw media that features were made of, and how.

::

    media:
      source: mosi                       # the name that the raw data are found by, or a folder
      path: /data/raw/mosi               # where they were said to lie; empty: below the data root
      root: /data                        # the data root
      modalities:
        audio:
          medium: waveform               # what its media are
          encoder: log-mel,bins=64       # as it was asked for
          identity: {encoder: log-mel, ...}
          cut: 7 of 90 clips are longer than 30 s ...    # where clips lost something
      dtype: float16
      cache: /data/cache/features
      problems: 2                        # what could not be read or encoded, and is not there
      asked: 3f2a...                     # stands for the clips, their content and how they were encoded
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KEYS = ("source", "path", "root", "modalities", "dtype", "cache", "problems", "asked")


@dataclass(frozen=True)
class Encoding:
    """The encoding of a modality.

    Attributes:
        medium: what its media are.
        encoder: as it was asked for.
        identity: all that decides its features.
        cut: how many clips are longer than the encoder reads, and by how much; empty where none is. It follows from
            the rest.
    """

    medium: str
    encoder: str
    identity: Mapping[str, str]
    cut: str = field(default="", compare=False)


@dataclass(frozen=True)
class Origin:
    """The origin of features: enough to encode the same clips again.

    Attributes:
        source: the name that the raw data are found by, or a folder.
        path: where they were said to lie; empty where they are found below the data root.
        root: the data root.
        modalities: name -> how it was encoded.
        dtype: what features are stored as.
        cache: the folder of the features.
        problems: how much could not be read or encoded, and is not there.
        asked: stands for the clips, the content of their media and how they were encoded.
    """

    source: str
    path: str
    root: str
    modalities: Mapping[str, Encoding]
    dtype: str
    cache: str
    problems: int
    asked: str

    def to_dict(self) -> dict[str, Any]:
        """The block as plain values, as it stands in ``dataset.yaml``."""
        modalities = {
            name: {"medium": one.medium, "encoder": one.encoder, "identity": dict(one.identity)}
            | ({"cut": one.cut} if one.cut else {})
            for name, one in self.modalities.items()
        }
        return {key: getattr(self, key) for key in KEYS} | {"modalities": modalities}

    def content(self) -> list[object]:
        """The part of it that decides what the features are, without places."""
        return [*([name, sorted(one.identity.items())] for name, one in self.modalities.items()), self.dtype]


def read_origin(entry: Mapping[str, Any]) -> Origin:
    """The block, checked. Raises ValueError, half a sentence, where a value is not of its kind."""
    for key in KEYS:
        kind = {"modalities": dict, "problems": int}.get(key, str)
        if not isinstance(entry[key], kind):
            raise ValueError(f"{key} is {entry[key]!r}")
    modalities = {}
    for name, one in entry["modalities"].items():
        if not isinstance(one, dict) or set(one) - {"cut"} != {"medium", "encoder", "identity"}:
            raise ValueError(f"modalities/{name} is {one!r}")
        identity = one["identity"]
        texts = [one["medium"], one["encoder"], one.get("cut", ""), name]
        texts += [*identity, *identity.values()] if isinstance(identity, dict) else [None]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"modalities/{name} is {one!r}")
        modalities[name] = Encoding(one["medium"], one["encoder"], identity, one.get("cut", ""))
    return Origin(**{**entry, "modalities": modalities})
