"""A terminal shows something while the command is loaded."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_terminal_is_told_that_the_command_is_loaded_and_the_line_goes_away(term: str) -> None:
    ours, theirs = pty.openpty()
    code = (
        "import sys, time; from mmbench.benchmark import __main__ as entry\n"
        "class Slow:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'mmbench.benchmark.cli.main': time.sleep(1)\n"
        "sys.meta_path.insert(0, Slow()); sys.argv = ['mmbench', '--quiet', 'list', 'tables']; entry.start()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TERM": term},
        stdout=subprocess.PIPE,
        stderr=theirs,
        timeout=120,
    )
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 1000):
            said += part
    except OSError:  # how Linux tells the end of a terminal
        pass
    os.close(ours)
    assert ended.returncode == 0
    assert b"accuracy" in ended.stdout
    assert said == (b"mmbench: loading ...\r\x1b[K" if term == "xterm" else b"")
