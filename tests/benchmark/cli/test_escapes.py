"""What others named cannot steer the terminal."""

from __future__ import annotations

import io
import logging

import pandas as pd
import pytest
from mmbench.benchmark.core.logs import set_up
from mmbench.benchmark.core.strings import printable
from mmbench.benchmark.report.console import SafeConsole, print_faults, print_table
from rich.text import Text

HOSTILE = "erm\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp\u200b"
SHOWN = "erm?]0;owned??[2J?31m?gnp?"


def test_what_is_printable_of_a_text() -> None:
    assert printable(HOSTILE) == SHOWN
    assert printable("naïve 漢字 — ok\n\tnext") == "naïve 漢字 — ok\n\tnext"
    assert printable("one\u00a0two\rthree\u0085four") == "one two three four"


@pytest.mark.parametrize("terminal", [True, False])
def test_every_way_of_printing(terminal: bool) -> None:
    stream = io.StringIO()
    out = SafeConsole(
        file=stream,
        width=120,
        force_terminal=terminal,
        color_system="standard" if terminal else None,
        record=True,
    )
    out.print(Text(HOSTILE, "bold"))
    out.print(HOSTILE, markup=False, highlight=False, soft_wrap=True)
    print_faults(out, [HOSTILE])
    print_table(out, HOSTILE, pd.DataFrame({"method": [HOSTILE], "score": ["0.5"]}), ["method"])
    said = stream.getvalue()
    # rich itself leaves out the bell of what it lays out
    assert said.replace("??[2J", "?[2J").count("erm?]0;owned?[2J?31m?gnp?") == 5
    for raw in ("\x1b]0", "\x1b[2J", "\x07", "\x9b", "\u202e", "\u200b"):
        assert raw not in said
        assert raw not in out.export_text(clear=False, styles=True)
    assert ("\x1b[1m" in said) == terminal  # its own styles stay


def test_log_records(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("WARNING")
    logging.getLogger("mmbench.test").warning("%s", HOSTILE)
    assert capsys.readouterr().err == f"mmbench: warning: {SHOWN}\n"
