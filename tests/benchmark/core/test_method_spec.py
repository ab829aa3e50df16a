"""Reading a method's source: base classes are followed, and nothing is imported that the method imports."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from mmbench import methods
from mmbench.benchmark.check.method import parameters_are_literals
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.method_spec import describe
from mmbench.benchmark.core.registry import Entry, entries, find
from mmbench.methods import METHODS, NETWORKS

from ..conftest import Command

SIZES = {"width": 40, "layers": 5, "released_encoder": False}
HEAD = """
from dataclasses import dataclass
import mmbench.methods.method
from mmbench.methods import erm, method
from mmbench.methods.erm import ERM, ERMParams as Sizes
from mmbench.methods.generalisation.dann import DANN
from mmbench.methods.generalisation.vrex import VREx
from mmbench.methods.method import fixed

METHODS = {"mine": "Mine"}
"""
BODIES = {
    "Params from another file": ("@dataclass(frozen=True)\nclass P(Sizes):\n    alpha: float = fixed(0.5)\n"
                                 "class Mine(ERM):\n    Params = P\n", {**SIZES, "alpha": 0.5}),
    "another default": ("@dataclass(frozen=True)\nclass P(erm.ERMParams):\n    width: int = fixed(16)\n"
                        "class Mine(ERM):\n    Params = P\n", {**SIZES, "width": 16}),
    "Params of another file": ("class Mine(ERM):\n    Params = Sizes\n", SIZES),
    "no Params": ("class Mine(ERM):\n    pass\n", SIZES),
    "a base of this file": ("@dataclass(frozen=True)\nclass P(Sizes):\n    alpha: float = fixed(0.5)\n"
                            "class Base(ERM):\n    Params = P\n    version = 3\n"
                            "class Mine(Base):\n    pass\n", {**SIZES, "alpha": 0.5}),
    "a mixin": ("class Quiet:\n    train_missing = 'rows'\nclass Mine(Quiet, ERM):\n    pass\n", SIZES),
    "attributes of another method": ("class Mine(DANN):\n    pass\n", {**SIZES, "alpha_rev": 1.0}),
    "nothing": ("class Mine(method.Method):\n    pass\n", {}),
    "a dotted base": ("class Mine(mmbench.methods.method.Method):\n    version = 2\n", {}),
}  # fmt: skip


def plugin(folder: Path, body: str) -> Entry:
    file = folder / "mine.py"
    file.write_text(HEAD + body)
    return find("method", "mine", (file,))


@pytest.mark.parametrize("how", BODIES)
def test_bases_are_followed_and_say_what_the_imported_class_says(how: str, tmp_path: Path):
    body, defaults = BODIES[how]
    entry = plugin(tmp_path, body)
    assert describe(entry).defaults() == defaults
    parameters_are_literals(entry)


def test_class_attributes_come_from_the_base_but_for_what_a_script_of_its_own_did(tmp_path: Path):
    for folder in ("vrex", "erm"):
        (tmp_path / folder).mkdir()
    vrex = describe(plugin(tmp_path / "vrex", "class Mine(VREx):\n    pass\n"))
    assert vrex.needs_domains == describe(find("method", "vrex")).needs_domains == 2
    erm = describe(plugin(tmp_path / "erm", "class Mine(ERM):\n    pass\n"))
    assert describe(find("method", "erm")).rules_as_published
    assert not erm.rules_as_published


def test_a_package_of_methods_may_import_relatively(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "house_of_methods"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("from .sizes import MySizes\n")
    (package / "inner" / "__init__.py").write_text("")
    (package / "sizes.py").write_text(
        "from dataclasses import dataclass\nfrom mmbench.methods.erm import ERMParams\n"
        "from mmbench.methods.method import fixed\n"
        "@dataclass(frozen=True)\nclass MySizes(ERMParams):\n    depth: int = fixed(2, since='0.2')\n"
    )
    (package / "inner" / "net.py").write_text(
        "from dataclasses import dataclass\nfrom mmbench.methods.erm import ERM\nfrom .. import MySizes\n"
        "@dataclass(frozen=True)\nclass P(MySizes):\n    pass\nclass Net(ERM):\n    Params = P\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = Entry("net", "house_of_methods.inner.net", "Net", "house 1.0")
    assert describe(entry).defaults() == {**SIZES, "depth": 2}
    parameters_are_literals(entry)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("from torch import nn\nclass Mine(nn.Module):\n    pass\n", "should say Params itself"),
        ("class Mine:\n    pass\n", r"derives from nothing: write class Mine\(Method\)"),
        (
            "from torch.nn import Linear\nclass Mine(ERM):\n    Params = Linear\n",
            "Params should be a dataclass",
        ),
        ("class Mine(ERM):\n    Params = make()\n", "Params should be a dataclass"),
        ("class Mine(ERM):\n    version = one()\n", "version should be a literal"),
        ("@dataclass\nclass P(Sizes):\n    a: int\nclass Mine(ERM):\n    Params = P\n", "a has no default"),
    ],
)
def test_what_cannot_be_read_is_said(body: str, message: str, tmp_path: Path):
    with pytest.raises(UsageError, match=rf"^method mine: .*mine\.py.*{message}"):
        describe(plugin(tmp_path, body))


def test_controls_set_parameters_that_there_are_and_are_not_inherited(tmp_path: Path):
    body = "class Mine(VREx):\n    controls = {'off': {'%s': %s}}\n"
    folders = [tmp_path / str(number) for number in range(4)]
    for folder in folders:
        folder.mkdir()
    weight = describe(find("method", "vrex")).defaults()["weight"]
    good = plugin(folders[0], body % ("weight", 0.0))
    assert describe(good).controls == {"off": {"weight": 0.0}}
    parameters_are_literals(good)
    with pytest.raises(AssertionError, match="control 'off' sets nothing but defaults"):
        parameters_are_literals(plugin(folders[1], body % ("weight", weight)))
    with pytest.raises(UsageError, match="no parameter 'wait'"):
        parameters_are_literals(plugin(folders[2], body % ("wait", 0.0)))
    heir = "from mmbench.methods.missing.ebmc import EBMC\nclass Mine(EBMC):\n    pass\n"
    assert not describe(plugin(folders[3], heir)).controls


def test_own_parameters_stand_before_the_shared_ones_and_no_field_is_lost():
    for entry in entries("method").values():
        names, params = [item.name for item in describe(entry).fields], entry.load().Params
        assert set(names) == {item.name for item in fields(params)}
        assert len(names) == len(set(names))
        if entry.name in NETWORKS:  # one with a default of its own stands among its own parameters
            shared = [name for name in SIZES if name not in params.__annotations__]
            assert shared
            assert names[-len(shared) :] == shared


def test_every_file_of_a_family_is_a_method_and_the_list_shows_the_family(mmbench: Command):
    root = Path(methods.__path__[0])
    files = {file.relative_to(root) for file in root.rglob("*.py") if file.name != "__init__.py"}
    of_families = {file for file in files if file.parts[0] != "shared" and len(file.parts) > 1}
    registered = {
        Path(*target.partition(":")[0].split(".")[2:]).with_suffix(".py") for target in METHODS.values()
    }
    assert registered == {*of_families, Path("erm.py")}
    assert {str(file) for file in files if len(file.parts) == 1} == {
        "erm.py",
        "method.py",
        "losses.py",
        "estimator.py",
    }
    ended = mmbench("list", "methods")
    assert ended.returncode == 0, ended.stderr
    families, family = {}, ""
    for line in ended.stdout.splitlines():
        if line.startswith("  "):
            families[line.split()[0]] = family
        else:
            family = line.split()[0]
    shown = {name: families[name] for name in ("erm", "ebmc", "dann", "late_concat")}
    assert shown == {
        "erm": "baseline",
        "ebmc": "missing",
        "dann": "generalisation",
        "late_concat": "controls",
    }


def test_describing_every_method_imports_no_torch():
    code = (
        "import json, sys\nfrom mmbench.benchmark.core import method_spec, registry\n"
        "found = {n: len(method_spec.describe(e).fields) for n, e in registry.entries('method').items()}\n"
        "print(json.dumps([found, 'torch' in sys.modules]))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    sizes, torch_was_imported = json.loads(ended.stdout)
    assert min(sizes[name] for name in NETWORKS) >= 2
    assert not torch_was_imported
