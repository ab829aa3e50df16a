"""Long calls of libraries that a signal can end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import TypeVar

import torch

T = TypeVar("T")


def call_aside(function: Callable[[], T]) -> T:
    """Calls a function in a thread of its own, and waits for it.

    Python answers a signal in the main thread, between two of its instructions. A library that computes for seconds without
    one, as a tree of scikit-learn does, would keep Ctrl-C and the end of a worker waiting. An exception that a signal raises
    here leaves the thread to itself; it ends with the process.

    Args:
        function: what is called, with the context variables of this thread and as many threads of numeric libraries.

    Returns:
        What it returns; what it raises is raised.
    """
    result: Future[T] = Future()
    context, threads = copy_context(), torch.get_num_threads()

    def work() -> None:
        torch.set_num_threads(threads)  # which OpenMP counts for each thread by itself
        try:
            result.set_result(context.run(function))
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return result.result()
