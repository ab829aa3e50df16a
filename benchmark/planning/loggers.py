"""The loggers that can be asked for by name. No torch here, and none of their libraries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...datasets.libraries import check_installed

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
    """Checks that what loggers need is installed.

    Args:
        names: of the loggers, keys of ``LOGGERS``.

    Raises:
        LibraryError: a library is not there; the message says what to type.
    """
    for name in names:
        check_installed(LOGGERS[name], f"the logger {name}")
