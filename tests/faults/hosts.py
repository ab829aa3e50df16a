"""The command on what behaves like a machine of its own: no lock of others reaches it, and it waits for seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SILENCE = 4.0
HOST = f"""
import sys
from mmbench.benchmark.store import locks as claims

claims._boot = lambda: {{name!r}}
claims._lock = lambda stream, how: False
claims.platform.node = lambda: {{name!r}}
claims.BEAT, claims.STALE, claims.LOOK = 0.2, {SILENCE}, 0.05
from mmbench.benchmark.cli.main import main
sys.argv = ["mmbench", *{{arguments!r}}]
main()
"""


def host(name: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Starts a command in a folder, as on the machine of that name."""
    return subprocess.Popen(
        [sys.executable, "-c", HOST.format(name=name, arguments=arguments)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "300"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
