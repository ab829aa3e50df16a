from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.method_spec import describe
from mmbench.benchmark.core.registry import entries, find

PLUGIN = '''
"""A plug-in."""
raise_if_run = __name__ != "static"
from dataclasses import dataclass
from mmbench.methods.erm import ERM
from mmbench.methods.method import fixed, searched

METHODS = {"mine": "Mine"}


@dataclass(frozen=True)
class MineParams:
    width: int = fixed(7, source="a guess")
    weight: float = searched(0.5, low=0.0, high=1.0, digits=1)
    loud: bool = False


class Mine(ERM):
    """My own method."""

    Params = MineParams
    version = 4
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    return file


def test_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match=r"unknown method 'ebmcc': did you mean ebmc"):
        find("method", "ebmcc")


def test_every_registered_class_can_be_imported():
    for kind in ("method", "dataset", "corruption"):
        for entry in entries(kind).values():
            assert entry.load().__name__ == entry.attribute


def test_parameters_read_from_source_are_those_of_the_class():
    for entry in entries("method").values():
        params = entry.load().Params()
        read = describe(entry)
        assert read.defaults() == {item.name: getattr(params, item.name) for item in fields(params)}
        for item in fields(params):
            searched = item.metadata.get("search")
            assert next(f.search for f in read.fields if f.name == item.name) == searched
        assert read.version == entry.load().version


def test_plugin_is_described_without_being_run(plugin: Path):
    plugin.write_text(PLUGIN + "\nraise SystemExit('it was run')\n")
    description = describe(find("method", "mine", (plugin,)))
    assert description.defaults() == {"width": 7, "weight": 0.5, "loud": False}
    assert (description.summary, description.version) == ("My own method.", 4)


def test_plugin_is_loaded_and_its_content_is_its_origin(plugin: Path):
    entry = find("method", "mine", (plugin,))
    assert entry.load().Params().width == 7
    plugin.write_text(PLUGIN.replace("0.5", "0.6"))
    assert find("method", "mine", (plugin,)).origin != entry.origin


def test_plugin_may_not_take_a_known_name(plugin: Path):
    plugin.write_text(PLUGIN.replace('"mine"', '"erm"'))
    with pytest.raises(UsageError, match="'erm' is defined twice"):
        find("method", "erm", (plugin,))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("METHODS = make()", "should be a literal"),
        ("METHODS = {'a': 1}", "should be a literal"),
        ("METHODS = {", "not a Python file"),
    ],
)
def test_broken_plugin_is_one_line(tmp_path: Path, content: str, message: str):
    file = tmp_path / "broken.py"
    file.write_text(content)
    with pytest.raises(UsageError, match=message) as error:
        entries("method", (file,))
    assert "\n" not in str(error.value)


def test_parameter_that_is_no_literal_is_named(tmp_path: Path):
    file = tmp_path / "odd.py"
    file.write_text(PLUGIN.replace("fixed(7, source=", "fixed(3 + four, source="))
    with pytest.raises(UsageError, match="parameter width should be a literal"):
        describe(find("method", "mine", (file,)))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"widht": "3"}, "no parameter 'widht': did you mean width"),
        ({"width": "wide"}, "'wide' is not of type int"),
        ({"width": "2.5"}, "2.5 is not of type int"),
        ({"loud": "3"}, "3 is not of type bool"),
    ],
)
def test_wrong_override_is_named(plugin: Path, overrides: dict[str, str], message: str):
    with pytest.raises(UsageError, match=message):
        describe(find("method", "mine", (plugin,))).resolve(overrides)


def test_overrides_are_read_as_the_default_s_type(plugin: Path):
    resolved = describe(find("method", "mine", (plugin,))).resolve(
        {"weight": "1", "loud": "on", "width": "3"}
    )
    assert resolved == {"weight": 1.0, "loud": True, "width": 3}
    assert isinstance(resolved["weight"], float)
