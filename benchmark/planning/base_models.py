"""Checks, before anything runs, that the models that a method is built on are there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...datasets.encoders.base_model import TEXT, lacks, media_read, weights_bytes
from ...datasets.encoders.encoder import EncoderError
from ...datasets.libraries import check_installed
from ..core.environment import gpu_bytes, machine_bytes
from ..core.errors import UsageError


def check_models(method: str, names: Sequence[str], params: Mapping[str, Any]) -> None:
    """Checks the parameters that name models. A name that is no path is left to the method, which looks it up.

    Args:
        method: the name of the method.
        names: the parameters that each name a model.
        params: the value of every parameter.

    Raises:
        UsageError: one names no model, or a file or folder that is not there.
        LibraryError: what reads its kind of file is not installed.
    """
    for name in names:
        value = str(params[name])
        if not value:
            raise UsageError(
                f"method {method}: the parameter {name} names no model: --methods '{method}({name}=FOLDER)'"
            )
        path = Path(os.path.expandvars(value)).expanduser()
        if _is_path(value) and not path.exists():
            raise UsageError(f"method {method}: {name}={value}: no such file or folder as {path.absolute()}")
        if path.suffix == ".gguf":
            check_installed(("gguf",), f"the model {path.name}")


def check_language_model(method: str, name: str, params: Mapping[str, Any], device: str = "") -> str:
    """Checks the files of a language model, and that its weights fit into memory. A name that is no path is left to the method.

    Args:
        method: the name of the method.
        name: the parameter that names the model; it was checked as by ``check_models``.
        params: the value of every parameter.
        device: of the experiment, where its jobs run on this machine; empty where they run elsewhere, whose memory is unknown.

    Returns:
        What its weights take, in words; empty where nothing says it.

    Raises:
        UsageError: something is missing, cannot be read, or does not fit.
    """
    if (path := _local(params[name])) is None:
        return ""
    weights = params.get("weights", "float32")
    on_gpu = device != "cpu" and bool(device) and gpu_bytes() is not None
    try:
        if path.is_dir() and (lack := lacks(path)):
            raise UsageError(f"method {method}: {name}={params[name]}: {lack}")
        need = weights_bytes(path, weights, half=on_gpu)
    except EncoderError as error:
        raise UsageError(f"method {method}: {name}={params[name]}: {error}") from None
    room = (gpu_bytes() if on_gpu else machine_bytes()) if device else None
    where = "the largest GPU" if on_gpu else "this machine"
    if room is not None and need > room:
        smaller = "a smaller model" if weights == "nf4" else "weights=nf4 or a smaller model"
        raise UsageError(
            f"method {method}: {name}={params[name]}: its weights take {need / 2**30:.1f} GiB as {weights}, and {where} has "
            f"{room / 2**30:.1f}: take {smaller}, or run where there is more memory"
        )
    return f"{need / 2**30:.1f} GiB of weights as {weights}" if need else ""


def memory_of_weights(name: str, params: Mapping[str, Any]) -> int:
    """The machine's own memory that the weights of a language model take, in bytes; 0 of one that lies in no file here, or is faulty.

    Args:
        name: the parameter that names the model.
        params: the value of every parameter.
    """
    path = _local(params[name]) if params[name] else None
    try:
        return 0 if path is None else round(weights_bytes(path, params.get("weights", "float32")))
    except (EncoderError, OSError):  # planning says what is wrong with it
        return 0


def check_media_read(method: str, model: Any, media: Mapping[str, str], task: str) -> None:
    """Checks that a language model reads all raw media of a set of modalities.

    Args:
        method: the name of the method.
        model: what names the model; one that is no path is left to the method.
        media: modality of the set -> kind of its raw media.
        task: the name of the task, for the message.

    Raises:
        UsageError: it does not read one of them.
    """
    path = _local(model)
    reads = (
        TEXT
        if path is not None and path.is_file()
        else media_read(path)
        if path
        else frozenset(media.values())
    )
    for name, medium in media.items():
        if medium not in reads:
            raise UsageError(
                f"method {method}: the model {Path(str(model)).name} reads {', '.join(sorted(reads))}, and {name} of {task} is "
                f"{medium}: leave it out with --modalities, or take a model that reads it"
            )


def _local(model: Any) -> Path | None:
    """The file or folder that a text names; None where it names a repository."""
    path = Path(os.path.expandvars(str(model))).expanduser()
    return path if path.exists() else None


def _is_path(value: str) -> bool:
    """Whether a text is meant as a path, and not as the name of a repository (``owner/name``)."""
    begins = value.startswith(("/", "./", "../", "~", "$"))
    return begins or value.endswith((".gguf", ".safetensors")) or value.count("/") > 1
