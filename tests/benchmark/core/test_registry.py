from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from mmbench.benchmark.check.conformance import check_entry
from mmbench.benchmark.core.errors import UsageError, nearest
from mmbench.benchmark.core.method_spec import describe
from mmbench.benchmark.core.registry import KINDS, Kind, _entry_points, entries, find

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


def test_a_name_that_two_tables_hold_is_proposed_once():
    assert nearest("conflicts", ["conflict", "noise", "conflict"]) == "did you mean conflict?"


def test_every_registered_class_can_be_imported():
    for kind in ("method", "dataset", "corruption", "encoder"):
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


def test_importing_the_registry_imports_no_table():
    """Listing and help are quick because a table is read when its names are asked for."""
    code = (
        "import sys; import mmbench.benchmark.core.registry\n"
        "print(*(name for name in sys.modules if name.startswith('mmbench.')))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.split(".")[1] for name in ended.stdout.split()} == {"benchmark"}


@pytest.mark.parametrize("kind", ["method", "dataset", "corruption", "encoder"])
def test_every_kind_is_brought_by_a_file_and_by_a_package(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A package is a folder on the path with a ``dist-info``, as pip leaves it."""
    source = KINDS[kind]
    file = tmp_path / "thing.py"
    file.write_text(f'class Thing:\n    """A thing."""\n\n\n{source.table} = {{"by-file": "Thing"}}\n')
    assert find(kind, "by-file", (file,)).load().__doc__ == "A thing."

    information = tmp_path / "site" / "thing_package-1.2.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: thing-package\nVersion: 1.2\n")
    (information / "entry_points.txt").write_text(f"[{source.group}]\nby-package = thing_module:Thing\n")
    (tmp_path / "site" / "thing_module.py").write_text('class Thing:\n    """Packed."""\n')
    monkeypatch.syspath_prepend(tmp_path / "site")
    _entry_points.cache_clear()
    try:
        entry = find(kind, "by-package", (file,))
        assert (entry.origin, entry.load().__doc__) == ("thing-package 1.2", "Packed.")
    finally:
        _entry_points.cache_clear()
        sys.modules.pop("thing_module", None)


def test_an_unknown_name_says_where_one_of_one_s_own_would_come_from(tmp_path: Path):
    with pytest.raises(UsageError, match=r"--plugin FILE\.py with a table METHODS"):
        find("method", "gated")
    file = tmp_path / "empty.py"
    file.write_text("X = 1\n")
    with pytest.raises(UsageError, match=r"empty\.py brings no method: it has no table METHODS"):
        find("method", "gated", (file,))


@pytest.mark.parametrize("code", ["import no_such_package", "1 / 0", "raise SystemError('no')"])
def test_a_plugin_that_cannot_be_imported_is_one_line_with_its_place(tmp_path: Path, code: str):
    file = tmp_path / "faulty.py"
    file.write_text(f'METHODS = {{"faulty": "Faulty"}}\n\n{code}\n')
    entry = find("method", "faulty", (file,))  # its names are read without running it
    for _ in range(2):  # a half-imported module is not taken for a whole one
        with pytest.raises(UsageError, match=r"faulty\.py, line 3: cannot be imported: \w+Error: ") as error:
            entry.load()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("import no_such_package.part", f"install the package that has no_such_package into {sys.prefix}"),
        ("import numpy.no_such_part", "numpy is installed: look up what its version here has"),
        ("from numpy import no_such_name", "numpy is installed: look up what its version here has"),
    ],
)
def test_an_import_that_a_plugin_lacks_is_said_with_what_to_do(tmp_path: Path, code: str, advice: str):
    file = tmp_path / "faulty.py"
    file.write_text(f'{code}\nMETHODS = {{"faulty": "Faulty"}}\n')
    with pytest.raises(UsageError) as error:
        find("method", "faulty", (file,)).load()
    assert advice in str(error.value)


def test_a_class_that_is_no_method_fails_one_check(tmp_path: Path):
    file = tmp_path / "other.py"
    file.write_text('METHODS = {"other": "Other"}\n\n\nclass Other:\n    pass\n')
    (only,) = check_entry("method", "other", (file,))
    assert not only.ok
    assert "Other" in only.reason
    assert "mmbench.methods.method.Method" in only.reason
