"""What the header of stored weights says of them, without reading the numbers."""

from __future__ import annotations

import json

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
    length = int.from_bytes(content[:8], "little")
    if length > min(_MOST_HEADER, len(content) - 8):
        return ""
    try:
        header = json.loads(content[8 : 8 + length])
        return str(header.get("__metadata__", {}).get(JOB, ""))
    except (ValueError, AttributeError, RecursionError):
        return ""
