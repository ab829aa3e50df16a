"""The loggers that can be asked for by name. No torch here, and none of their libraries."""

from __future__ import annotations

import netrc
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from ...datasets.libraries import check_installed
from ..core.errors import UsageError

#: Name -> the libraries that it needs beside Lightning.
LOGGERS: Mapping[str, tuple[str, ...]] = {
    "csv": (),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
}
#: The folder in a store below which loggers write.
FOLDER = "loggers"


def check_loggers(names: Sequence[str]) -> None:
    """Checks that what loggers need is installed, and that wandb can log in or works offline. Nothing is sent.

    Args:
        names: of the loggers, keys of ``LOGGERS``.

    Raises:
        LibraryError: a library is not there; the message says what to type.
        UsageError: wandb has no key.
    """
    for name in names:
        check_installed(LOGGERS[name], f"the logger {name}")
    if "wandb" in names and not (_works_offline() or _has_key()):
        raise UsageError(
            "the logger wandb has no key here, and every job would fail: log in (wandb login), set WANDB_API_KEY, or set "
            "WANDB_MODE=offline"
        )


def _works_offline() -> bool:
    """Whether wandb is told to send nothing, by its variable or by ``wandb offline`` in this folder."""
    if os.environ.get("WANDB_MODE", "").lower() in ("offline", "disabled", "dryrun"):
        return True
    return "offline" in _text(Path("wandb") / "settings") + _text(_configuration() / "settings")


def _has_key() -> bool:
    """Whether a key of wandb is in the environment, in its settings or in the file where ``wandb login`` keeps it."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    for file in (os.environ.get("NETRC", ""), "~/.netrc", "~/_netrc"):
        try:
            if file and netrc.netrc(Path(file).expanduser()).authenticators(host):
                return True
        except netrc.NetrcParseError:
            return True  # wandb says itself what it makes of it
        except OSError:
            continue
    return "api_key" in _text(_configuration() / "settings")


def _configuration() -> Path:
    return Path(os.environ.get("WANDB_CONFIG_DIR", "~/.config/wandb")).expanduser()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
