"""What the header of stored weights, or of stored inputs, says of them, without reading the numbers."""

from __future__ import annotations

import json
from typing import Any

#: The key of the job's id in the metadata of a safetensors file.
JOB = "job"
#: The most bytes of a header (the limit of safetensors).
_MOST_HEADER = 100_000_000


def job_of(content: bytes) -> str:
    """The id of the job whose weights they are; empty where the file does not say, as those of version 0.1.

    A safetensors file begins with the length of its header as eight little-endian bytes; the header is JSON.

    Args:
        content: the bytes of the file, which need not be whole.
    """
    return str(_metadata(content).get(JOB, ""))


def classes_of(content: bytes) -> tuple[str, ...]:
    """The names of the classes, or labels, that stored inputs are of, in the order of the logits; none where they do not say.

    Args:
        content: the bytes of ``inputs.safetensors``, which need not be whole.
    """
    try:
        return tuple(map(str, json.loads(_metadata(content)["inputs"])["target"]["classes"]))
    except (ValueError, LookupError, TypeError, RecursionError):
        return ()


def _metadata(content: bytes) -> dict[str, Any]:
    """The metadata of a safetensors file; empty where it has none."""
    length = int.from_bytes(content[:8], "little")
    if length > min(_MOST_HEADER, len(content) - 8):
        return {}
    try:
        found = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except (ValueError, AttributeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
