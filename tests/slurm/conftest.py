"""A small dataset and the command, for runs over SLURM."""

from __future__ import annotations

from ..benchmark.conftest import cache, data_root
from ..benchmark.conftest import mmbench_process as mmbench

__all__ = ["cache", "data_root", "mmbench"]
