"""Starts Python processes that import nothing from the working folder.

Python puts the working folder first on the path of ``python -c`` and ``python -m``. A file ``socket.py`` there, in a
folder of data that somebody else made, would be run in place of the module of the library. ``-P`` and
``PYTHONSAFEPATH`` keep the folder off the path.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import Any

_SAFE_PATH = "PYTHONSAFEPATH"


def keep_children_safe() -> None:
    """Keeps the working folder off the path of every Python process that this one starts from now on."""
    os.environ[_SAFE_PATH] = "1"


class SafeProcess(SpawnProcess):
    """A spawned process that neither runs the caller's script again nor imports from the working folder.

    Spawning imports the main module anew in every child; a script that calls ``run`` without the usual guard
    would start over in each. Workers need nothing of it. Ctrl-C does not reach it before it can ignore it.
    """

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 - multiprocessing's name
        main, path = sys.modules["__main__"], sys.path
        with _safe_path():
            resource_tracker.ensure_running()  # which would unblock the signal again
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited
            sys.modules["__main__"] = ModuleType("__main__")
            sys.path = [
                folder for folder in path if folder
            ]  # the child is given a copy; "" is where it stands
            try:
                return SpawnProcess._Popen(process_obj)  # pyright: ignore[reportAttributeAccessIssue]
            finally:
                sys.path = path
                sys.modules["__main__"] = main
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


class SafeContext(SpawnContext):
    """Spawns safe processes, and starts the process that tracks their locks as safely."""

    Process = SafeProcess

    def __init__(self) -> None:
        super().__init__()
        with _safe_path():
            resource_tracker.ensure_running()  # the first lock would start it otherwise


@contextmanager
def _safe_path() -> Iterator[None]:
    """Starts Python processes without the working folder on their path, for a while."""
    before = os.environ.get(_SAFE_PATH)
    keep_children_safe()
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_SAFE_PATH, None)
        else:
            os.environ[_SAFE_PATH] = before
