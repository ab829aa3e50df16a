"""Does what a page shows, in order, in the working directory.

``bash`` blocks are run. ``python`` blocks are run too, but for those that begin with ``# name.py``: these are written to
that file. ``make test`` is left out: it has just been run. The first failure ends it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([a-z_]+\.py)\n")


def command_of(kind: str, block: str) -> list[str]:
    """What does a block."""
    if kind == "python":
        return [sys.executable, "-c", block]
    kept = "\n".join(line for line in block.splitlines() if not line.startswith("make test"))
    return ["bash", "-euo", "pipefail", "-c", kept]


def main() -> int:
    """Stops at the first block that fails."""
    blocks = BLOCK.findall(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for kind, block in blocks:
        file = FILE.match(block)
        if kind == "python" and file:
            Path(file[1]).write_text(block, encoding="utf-8")
            continue
        print("\n" + "\n".join(f"$ {line}" for line in block.splitlines() if line), flush=True)
        started = time.monotonic()
        ended = subprocess.run(command_of(kind, block), check=False)
        print(f"[{time.monotonic() - started:.0f} s, exit code {ended.returncode}]", flush=True)
        if ended.returncode:
            return ended.returncode
    print(f"\n{len(blocks)} blocks of {sys.argv[1]} were done")
    return 0 if blocks else 1


if __name__ == "__main__":
    sys.exit(main())
