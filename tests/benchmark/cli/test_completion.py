"""What the shell completes."""

from __future__ import annotations

from mmbench.benchmark.cli.completion import COMPLETIONS, completed
from mmbench.benchmark.cli.flags import _parameter
from mmbench.methods import METHODS


def test_the_last_name_of_a_list_is_completed_and_none_twice() -> None:
    assert completed("eb", ["erm", "ebmc"]) == ["ebmc"]
    assert completed("erm,", ["erm", "ebmc"]) == ["erm,ebmc"]
    assert completed("erm, ebmc,e", ["erm", "ebmc"]) == []


def test_options_that_take_names_complete_them() -> None:
    assert set(COMPLETIONS["methods"]("")) == {*METHODS, "all"}
    assert COMPLETIONS["methods"]("erm,ebm") == ["erm,ebmc"]
    assert COMPLETIONS["methods"]("erm,ebmc") == ["erm,ebmc", "erm,ebmc+controls"]
    assert COMPLETIONS["methods"]("erm") == ["erm"]  # it names none
    assert "mosi,sims" in COMPLETIONS["datasets"]("mosi,s")
    assert COMPLETIONS["corruptions"]("missing-r") == ["missing-rates"]
    assert COMPLETIONS["class_weights"]("b") == ["balanced"]
    assert COMPLETIONS["what"]("accuracy,mis") == ["accuracy,missing", "accuracy,misd"]


def test_choices_complete_themselves() -> None:
    option = _parameter("preset", "").annotation.__metadata__[0]
    assert option.autocompletion("") == ["quick", "standard", "paper"]
    assert _parameter("seeds", "").annotation.__metadata__[0].autocompletion is None
