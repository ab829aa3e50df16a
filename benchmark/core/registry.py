"""Names to classes: the tables of the house, installed packages' entry points, and plug-in files.

A name is resolved without importing anything; a class is imported when it is used. So listing and planning
need no torch.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...corruptions import CORRUPTIONS
from ...datasets import DATASETS
from ...methods import METHODS
from .errors import UsageError, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Kind = Literal["method", "dataset", "corruption"]
TABLES: dict[Kind, dict[str, str]] = {"method": METHODS, "dataset": DATASETS, "corruption": CORRUPTIONS}
TABLE_NAMES: dict[Kind, str] = {"method": "METHODS", "dataset": "DATASETS", "corruption": "CORRUPTIONS"}


@dataclass(frozen=True)
class Entry:
    """Where a name leads.

    Attributes:
        name: the name users type.
        module: dotted name of the module, or the path of a plug-in file.
        attribute: the class in it.
        origin: ``"mmbench"``, the distribution that brought it with its version, or the plug-in file and the
            beginning of its SHA-256. It is part of a job's identity where it is not ``"mmbench"``.
    """

    name: str
    module: str
    attribute: str
    origin: str = "mmbench"

    @property
    def is_file(self) -> bool:
        """Whether it lives in a plug-in file."""
        return self.module.endswith(".py")

    def source(self) -> Path:
        """The file that defines it, found without importing it."""
        if self.is_file:
            return Path(self.module)
        spec = importlib.util.find_spec(self.module)
        if spec is None or spec.origin is None:
            raise UsageError(f"{self.name}: no module {self.module}")
        return Path(spec.origin)

    def load(self) -> Any:
        """Imports and returns the class."""
        module = _import_file(Path(self.module)) if self.is_file else importlib.import_module(self.module)
        try:
            return getattr(module, self.attribute)
        except AttributeError:
            raise UsageError(f"{self.name}: {self.module} has no {self.attribute}") from None


def entries(kind: Kind, plugins: tuple[Path, ...] = ()) -> dict[str, Entry]:
    """Every known name of a kind. A name defined twice is an error."""
    found = {name: _entry(name, target, "mmbench") for name, target in TABLES[kind].items()}
    for point in _installed(f"mmbench.{kind}s"):
        distribution = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        _add(found, _entry(point.name, point.value, distribution))
    for file in plugins:
        for name, attribute in _plugin_table(file, TABLE_NAMES[kind]).items():
            digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
            _add(found, Entry(name, str(file.resolve()), attribute, f"{file.name} {digest}"))
    return found


def find(kind: Kind, name: str, plugins: tuple[Path, ...] = ()) -> Entry:
    """The entry of a name.

    Raises:
        UsageError: the name is unknown; the message names the nearest known ones.
    """
    known = entries(kind, plugins)
    if name not in known:
        raise UsageError(f"unknown {kind} {name!r}: {nearest(name, known)}")
    return known[name]


def outside(kind: Literal["table", "metric"], plugins: tuple[Path, ...] = ()) -> dict[str, Entry]:
    """The names that installed packages and plug-in files bring, without those of mmbench, which are values and need
    numpy: ``leaderboards.catalog.TABLES`` and ``leaderboards.metrics.registry.METRICS``.

    Args:
        kind: of what; its entry points are ``mmbench.tables``, its table in a plug-in file ``TABLES``.
        plugins: plug-in files.

    Raises:
        UsageError: a name is defined twice, or a plug-in file cannot be read.
    """
    known: dict[str, Entry] = {}
    for point in _installed(f"mmbench.{kind}s"):
        distribution = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        _add(known, _entry(point.name, point.value, distribution))
    for file in plugins:
        for name, attribute in _plugin_table(file, f"{kind.upper()}S").items():
            digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
            _add(known, Entry(name, str(file.resolve()), attribute, f"{file.name} {digest}"))
    return known


@lru_cache
def _installed(group: str) -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points  # brings much that --help does not need

    return tuple(entry_points(group=group))


def _entry(name: str, target: str, origin: str) -> Entry:
    module, _, attribute = target.partition(":")
    return Entry(name, module, attribute, origin)


def _add(found: dict[str, Entry], entry: Entry) -> None:
    if entry.name in found:
        raise UsageError(
            f"{entry.name!r} is defined twice: by {found[entry.name].origin} "
            f"and by {entry.origin}; rename one"
        )
    found[entry.name] = entry


def _plugin_table(file: Path, table: str) -> dict[str, str]:
    """The literal dict ``METHODS = {"name": "Class"}`` of a plug-in file, read without running it."""
    if file.suffix != ".py":
        raise UsageError(f"plug-in {file}: a plug-in is a Python file whose name ends in .py")
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    except OSError as error:
        raise UsageError(f"plug-in {file}: {error.strerror}") from None
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"plug-in {file}: not a Python file: {error}") from None
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [table]:
            try:
                names = ast.literal_eval(node.value)
            except ValueError:
                names = None
            if not isinstance(names, dict) or not all(
                isinstance(text, str) for text in [*names, *names.values()]
            ):
                raise UsageError(f'plug-in {file}: {table} should be a literal {{"name": "Class"}}')
            return names
    return {}


@lru_cache
def _import_file(file: Path) -> Any:
    digest = hashlib.sha256(str(file).encode()).hexdigest()[:8]
    name = f"mmbench_plugin_{file.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"plug-in {file}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module
