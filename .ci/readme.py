"""Runs every command that a page shows: each ``bash`` block, in order, in the working directory.

``make test`` is left out: it has just been run.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


def main() -> int:
    """Stops at the first command that fails."""
    blocks = BLOCK.findall(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if not blocks:
        print(f"{sys.argv[1]} shows no command")
        return 1
    for block in blocks:
        commands = "\n".join(line for line in block.splitlines() if not line.startswith("make test"))
        print(f"\n$ {commands.strip()}", flush=True)
        started = time.monotonic()
        ended = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], check=False)
        print(f"[{time.monotonic() - started:.0f} s, exit code {ended.returncode}]", flush=True)
        if ended.returncode:
            return ended.returncode
    print(f"\n{len(blocks)} blocks of {sys.argv[1]} ran")
    return 0


if __name__ == "__main__":
    sys.exit(main())
