"""Keys of clips: hashes of their content, so that a renamed or copied file is not encoded again."""

from __future__ import annotations

import hashlib
import json

from ..fingerprint import file_sha256
from ..media.clip import Piece


def content_key(media: Piece | str) -> str:
    """64 hex digits that stand for a text, or for a stretch of files: their content and where it begins and ends.

    Raises:
        DataError: a file cannot be read.
    """
    if isinstance(media, str):
        return _hash(["text", media])
    return _hash(["piece", [file_sha256(file) for file in media.files], media.start, media.stop])


def corrupted_key(content: str, sample: int, donors: str = "") -> str:
    """The key of a clip that is broken before it is encoded: chance also comes from the sample.

    Args:
        content: its ``content_key``.
        sample: the sample's hash, from which randomness comes.
        donors: stands for other clips that go into the damage; empty where there are none.
    """
    return _hash(["corrupted", content, sample, donors])


def joined_key(keys: list[str]) -> str:
    """64 hex digits that stand for several keys, in their order."""
    return _hash(["joined", keys])


def _hash(content: list[object]) -> str:
    return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()
