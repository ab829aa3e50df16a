"""How long the phases of a job take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class PhaseTimer:
    """Measures phases of a job.

    Attributes:
        seconds: phase -> seconds that passed; a phase that is repeated is summed.
        processor: seconds of processor time of this process in all phases. Other work on the machine does not lengthen them.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.processor = 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the time that the block takes, in seconds, to a phase."""
        start, processor = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.processor += time.process_time() - processor
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
