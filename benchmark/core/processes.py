"""Starts Python processes that import nothing from the working folder.

Python puts the working folder first on the path of ``python -c`` and ``python -m``. A file ``socket.py`` there, in a
folder of data that somebody else made, would be run in place of the module of the library. ``-P`` and
``PYTHONSAFEPATH`` keep the folder off the path.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess, SpawnContext, SpawnProcess
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import Any

_SAFE_PATH = "PYTHONSAFEPATH"

#: Variables that tell numeric libraries how many threads to use, when they are imported.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
ONE_THREAD: dict[str, str] = dict.fromkeys(THREADS, "1")

#: Signals that a terminal or a scheduler sends to all processes of a command, of which the command answers them.
_TO_A_GROUP = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}


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
        with _nothing_of_the_caller({signal.SIGINT}):
            return SpawnProcess._Popen(process_obj)  # pyright: ignore[reportAttributeAccessIssue]


class SafeContext(SpawnContext):
    """Spawns safe processes, and starts the process that tracks their locks as safely."""

    Process = SafeProcess

    def __init__(self) -> None:
        super().__init__()
        with _safe_path():
            resource_tracker.ensure_running()  # the first lock would start it otherwise


class ForkedProcess(ForkServerProcess):
    """As ``SafeProcess``, forked from a server that has imported what takes long, with the environment of the caller."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 - multiprocessing's name
        process_obj._environment = dict(os.environ)  # its own would be that of the server's start
        with _nothing_of_the_caller(_TO_A_GROUP):
            return ForkServerProcess._Popen(process_obj)  # pyright: ignore[reportAttributeAccessIssue]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """What the process reads of itself, which it does after the import of what takes long."""
        function, arguments, *state = super().__reduce_ex__(protocol)
        return _rebuilt_or_ended, (bytes(ForkingPickler.dumps((function, arguments, state))),)

    def run(self) -> None:
        """Calls the target, in the environment that the caller had when it started this process."""
        signal.pthread_sigmask(
            signal.SIG_UNBLOCK, _TO_A_GROUP - {signal.SIGINT}
        )  # to which its server is deaf
        os.environ.clear()
        os.environ.update(self._environment)  # pyright: ignore[reportAttributeAccessIssue]
        super().run()


def _rebuilt_or_ended(content: bytes) -> Any:
    """A process as its caller described it. Where the caller has ended by now, as by Ctrl-C, its locks are gone: the process
    ends without a word.

    The bytes come from the caller itself, through the pipe by which multiprocessing hands over every process; no file and
    nobody else can put them there.
    """
    try:
        function, arguments, (state, *_) = pickle.loads(content)
    except FileNotFoundError:
        os._exit(1)
    made = function(*arguments)
    made.__dict__.update(state)
    return made


class ForkedContext(ForkServerContext):
    """Forks processes from a server, which ends with this process."""

    Process = ForkedProcess


def importing_once(modules: Sequence[str], variables: dict[str, str]) -> SafeContext | ForkedContext:
    """Starts processes that share what they import, so that ten of them import no more than one does.

    A server of this process imports the modules and is forked for each. It lives on, so that later pools begin at
    once; those that ask for other modules import them themselves.

    Args:
        modules: what takes long to import. None may start threads or initialise a GPU.
        variables: of the environment, which the modules read when they are imported.

    Returns:
        The context to start processes with. Where no server can be had, because the system has none or the
        temporary folder is full or its path too long for a socket, each imports for itself.
    """
    context = ForkedContext()
    if sys.platform != "linux":
        return SafeContext()
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        with _nothing_of_the_caller(_TO_A_GROUP):
            context.set_forkserver_preload(list(modules))
            forkserver.ensure_running()
    except OSError:
        return SafeContext()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return context


@contextmanager
def _nothing_of_the_caller(deaf_to: Set[signal.Signals]) -> Iterator[None]:
    """Starts processes that know neither the caller's script nor its working folder, and are deaf to signals at first."""
    main, path = sys.modules["__main__"], sys.path
    with _safe_path():
        resource_tracker.ensure_running()  # which would unblock the signal again
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, deaf_to)  # inherited
        sys.modules["__main__"] = ModuleType("__main__")
        sys.path = [folder for folder in path if folder]  # the child is given a copy; "" is where it stands
        try:
            yield
        finally:
            sys.path = path
            sys.modules["__main__"] = main
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


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
