"""Where weights come from: a local file or folder, or a hub, whose files are kept. No pickle is ever executed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import socket
import urllib.request
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

from ..fingerprint import file_sha256
from ..libraries import LibraryError
from .encoder import EncoderError

#: What a folder of weights may hold, the safer first.
WEIGHTS = ("model.safetensors", "model-*.safetensors", "pytorch_model.bin", "pytorch_model-*.bin")
_SECONDS = 3.0


@contextlib.contextmanager
def read(encoder: str, what: str) -> Iterator[None]:
    """Turns every error while a network is made of files into an EncoderError of one line.

    The libraries raise errors of many kinds for files that do not fit or are no weights, their own and others'.

    Args:
        encoder: the encoder's name, with which the message begins.
        what: the model or file.

    Raises:
        LibraryError: a library is missing, as it was raised.
        EncoderError: anything else was raised.
    """
    try:
        yield
    except LibraryError:
        raise
    except EncoderError as error:
        text = str(error)
        raise EncoderError(text if text.startswith("encoder ") else f"encoder {encoder}: {text}") from None
    except Exception as error:
        text = f"{what}: cannot be made ({type(error).__name__}: {_line(error)})"
        raise EncoderError(f"encoder {encoder}: {text}") from None


@contextlib.contextmanager
def seeded_initialization(seed: int) -> Iterator[None]:
    """Random initial weights are drawn from ``seed``; the generator outside is as it was afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def weight_files(folder: Path) -> list[Path]:
    """The files of a folder that hold its weights: safetensors where there are some; empty where there are none."""
    for pattern in WEIGHTS:
        if files := sorted(folder.glob(pattern)):
            return files
    return []


def files_digest(files: Iterable[Path]) -> str:
    """SHA-256 (hex) of one file; of several, of their names and hashes in the order of names."""
    in_order = sorted(files, key=lambda file: file.name)
    if len(in_order) == 1:
        return file_sha256(in_order[0])
    lines = "".join(f"{file.name} {file_sha256(file)}\n" for file in in_order)
    return hashlib.sha256(lines.encode()).hexdigest()


def state_digest(module: nn.Module) -> str:
    """SHA-256 (hex) of a module's weights, by name: for those that come from no file."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_state(file: Path) -> dict[str, Tensor]:
    """The weights in a file: safetensors, or torch's format, of which only tensors are read.

    Raises:
        EncoderError: the file is not there, holds other than weights, or is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise EncoderError(
            f"{file}: holds more than weights, so it is not opened; save the weights alone as safetensors"
        ) from None
    except (OSError, SafetensorError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise EncoderError(f"{file}: cannot be read as weights ({_line(error)})") from None
    while isinstance(state, dict) and isinstance(inner := state.get("state_dict", state.get("model")), dict):
        state = inner
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise EncoderError(f"{file}: is no table of weights by name; save the network's state_dict()")
    return state


def hub_folder(repository: str, revision: str, extra: Iterable[str] = ()) -> Path:
    """The folder of a repository of the Hugging Face hub; what is kept is used, what is not is fetched.

    Args:
        repository: ``owner/name``, or the name alone for the oldest ones.
        revision: a branch, tag or commit; empty: the main one.
        extra: further names of files of weights.

    Raises:
        EncoderError: it is not kept here and cannot be fetched; the message says what to fetch and where to put it.
    """
    import huggingface_hub
    from huggingface_hub import constants

    small = ["*.json", "*.txt", "*.model"]
    wanted = {"revision": revision or None, "ignore_patterns": ["*/*"], "etag_timeout": _SECONDS}

    def fetch(patterns: list[str], kept: bool) -> Path:
        return Path(
            huggingface_hub.snapshot_download(
                repository, allow_patterns=patterns, local_files_only=kept, **wanted
            )
        )

    # the client raises its own errors, httpx's and the system's: all mean the same here
    with contextlib.suppress(Exception):
        folder = fetch(small, kept=True)
        if weight_files(folder) or any((folder / name).is_file() for name in extra):
            return folder
    at = f"@{revision}" if revision else ""
    if constants.HF_HUB_OFFLINE or os.environ.get("TRANSFORMERS_OFFLINE", "0") not in ("", "0"):
        why = "HF_HUB_OFFLINE is set"
    elif not (why := connection_fault(constants.ENDPOINT)):
        try:
            for pattern in (*WEIGHTS[:2], *extra, *WEIGHTS[2:]):
                folder = fetch([*small, pattern], kept=False)
                if weight_files(folder) or any((folder / name).is_file() for name in extra):
                    return folder
            why = "it holds no weights that can be read"
        except Exception as error:
            why = _line(error)
    option = f" --revision {revision}" if revision else ""
    raise EncoderError(
        f"no weights of {repository}{at} here, and none fetched ({why}): where there is a network, run "
        f"`hf download {repository}{option} --local-dir FOLDER`, copy FOLDER here, and name it as the model or as "
        "weights=FOLDER"
    )


def url_file(url: str) -> Path:
    """A file of weights that lies at an address, kept in torch's folder of checkpoints.

    Raises:
        EncoderError: it is not kept and cannot be fetched; the message says from where, and where to put it.
    """
    kept = Path(torch.hub.get_dir()) / "checkpoints" / urlsplit(url).path.rpartition("/")[2]
    if kept.is_file():
        return kept
    why = connection_fault(url)
    if not why:
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(kept), progress=False)
            return kept
        except OSError as error:
            why = _line(error)
    raise EncoderError(
        f"no weights here, and none fetched ({why}): where there is a network, fetch {url}, and put it at {kept}, "
        "or name it: weights=FILE"
    )


@lru_cache
def connection_fault(url: str) -> str:
    """Why an address, or the proxy on the way to it, does not answer within seconds; empty where it does."""
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    host, port = parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        return f"{host} does not answer: {error.strerror or error}"
    return ""


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) < 200 else text[:200] + "..."
