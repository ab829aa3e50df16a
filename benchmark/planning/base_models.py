"""Checks, before anything runs, that the models that a method is built on are there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...datasets.libraries import check_installed
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


def _is_path(value: str) -> bool:
    """Whether a text is meant as a path, and not as the name of a repository (``owner/name``)."""
    begins = value.startswith(("/", "./", "../", "~", "$"))
    return begins or value.endswith((".gguf", ".safetensors")) or value.count("/") > 1
