"""Names to classes: mmbench's own tables, the entry points of installed packages, and plug-in files.

A name is resolved without importing what it stands for; a class is imported when it is used. So listing and
planning need no torch.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import logging
import sys
import traceback
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .errors import UsageError, error_line, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

LOG = logging.getLogger("mmbench.registry")

#: The origin of what comes with mmbench.
OWN = "mmbench"

Kind = Literal["method", "dataset", "corruption", "encoder", "metric", "table", "launcher", "segmenter"]


class Source(NamedTuple):
    """The places that names of a kind come from.

    Attributes:
        module: the module that holds mmbench's own table; it is imported when the names are asked for. Empty where
            mmbench's own are values and not classes: ``leaderboards.catalog`` and ``leaderboards.metrics.registry``.
        table: the name of that table, and of the one in a plug-in file.
        group: the entry-point group of installed packages.
    """

    module: str
    table: str
    group: str


#: Every kind of thing that can be brought from outside. A table maps a name to ``"module:Class"``, in a plug-in file
#: to ``"Class"``.
KINDS: dict[Kind, Source] = {
    "method": Source("mmbench.methods", "METHODS", "mmbench.methods"),
    "dataset": Source("mmbench.datasets", "DATASETS", "mmbench.datasets"),
    "corruption": Source("mmbench.corruptions", "CORRUPTIONS", "mmbench.corruptions"),
    "encoder": Source("mmbench.datasets.encoders", "ENCODERS", "mmbench.encoders"),
    "metric": Source("", "METRICS", "mmbench.metrics"),
    "table": Source("", "TABLES", "mmbench.tables"),
    "launcher": Source("mmbench.benchmark.launch.launcher", "LAUNCHERS", "mmbench.launchers"),
    "segmenter": Source("mmbench.regimes", "SEGMENTERS", "mmbench.segmenters"),
}


@dataclass(frozen=True)
class Entry:
    """The class that a name stands for, not imported yet.

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
    origin: str = OWN

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
        """Imports and returns the class.

        Raises:
            UsageError: what comes from outside cannot be imported, or has no such class.
        """
        try:
            module = (
                _import_plugin(Path(self.module)) if self.is_file else importlib.import_module(self.module)
            )
        except Exception as error:  # whatever its code raises
            if self.origin == OWN or isinstance(error, UsageError):
                raise
            place = _line_in(error, self.module) if self.is_file else ""
            where = f"plug-in {self.module}{place}" if self.is_file else self.origin
            raise UsageError(
                f"{where}: cannot be imported: {error_line(error)}{_to_import(error)}"
            ) from error
        try:
            return getattr(module, self.attribute)
        except AttributeError:
            raise UsageError(f"{self.name}: {self.module} has no {self.attribute}") from None


def entries(kind: Kind, plugins: tuple[Path, ...] = ()) -> dict[str, Entry]:
    """Every known name of a kind, mmbench's own first.

    Args:
        kind: what is asked for.
        plugins: files that bring more names.

    Raises:
        UsageError: a name is defined twice, or a plug-in file cannot be read.
    """
    source = KINDS[kind]
    own: dict[str, str] = {}
    if source.module:
        own = getattr(importlib.import_module(source.module), source.table)
    known = {name: _entry(name, target, OWN) for name, target in own.items()}
    for point in _entry_points()[source.group]:
        distribution = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        _add(known, _entry(point.name, point.value, distribution))
    for file in plugins:
        brought = _plugin_table(file, source.table)
        if brought:
            LOG.debug("%s brings %ss: %s", file, kind, ", ".join(brought))
        for name, attribute in brought.items():
            digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
            _add(known, Entry(name, str(file.resolve()), attribute, f"{file.name} {digest}"))
    return known


def callbacks(plugins: tuple[Path, ...]) -> dict[str, Entry]:
    """The Lightning callbacks of plug-in files: name -> entry, of their tables ``CALLBACKS = {"name": "Class"}``.

    Raises:
        UsageError: a name is defined twice, or a file cannot be read.
    """
    known: dict[str, Entry] = {}
    for file in plugins:
        for name, attribute in _plugin_table(file, "CALLBACKS").items():
            _add(known, Entry(name, str(file.resolve()), attribute, file.name))
    return known


def find(kind: Kind, name: str, plugins: tuple[Path, ...] = ()) -> Entry:
    """The entry of a name.

    Args:
        kind: of what is named.
        name: as the user wrote it.
        plugins: files that bring more names.

    Raises:
        UsageError: the name is unknown; the message names the nearest known ones.
    """
    known = entries(kind, plugins)
    if name not in known:
        raise UsageError(f"unknown {kind} {name!r}: {nearest(name, known)} ({_brought_by(kind, plugins)})")
    return known[name]


def _brought_by(kind: Kind, plugins: tuple[Path, ...]) -> str:
    """Where a name from outside would come from, in words."""
    table = KINDS[kind].table
    without = [file.name for file in plugins if not _plugin_table(file, table)]
    if without:
        return f'{", ".join(without)} brings no {kind}: it has no table {table} = {{"name": "Class"}}'
    return f"one of your own comes from a file: --plugin FILE.py with a table {table}"


@lru_cache(maxsize=1)
def _entry_points() -> dict[str, tuple[EntryPoint, ...]]:
    """Group -> what installed distributions bring to it: read once, and not for each kind."""
    from importlib.metadata import entry_points  # brings much that --help does not need

    found = entry_points()
    return {source.group: tuple(found.select(group=source.group)) for source in KINDS.values()}


def _entry(name: str, target: str, origin: str) -> Entry:
    module, _, attribute = target.partition(":")
    return Entry(name, module, attribute, origin)


def _add(known: dict[str, Entry], entry: Entry) -> None:
    if entry.name in known:
        raise UsageError(
            f"{entry.name!r} is defined twice: by {known[entry.name].origin} "
            f"and by {entry.origin}; rename one"
        )
    known[entry.name] = entry


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


def _line_in(error: BaseException, file: str) -> str:
    """``", line 3"``: where in a file an error came from."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f", line {lines[-1]}" if lines else ""


def _to_import(error: BaseException) -> str:
    """What to do about an import that failed; empty of another error.

    A module's name is mostly that of its distribution, but not always: so no command is given that would install another one.
    """
    if not isinstance(error, ImportError) or not error.name:
        return ""
    package = error.name.partition(".")[0]
    try:
        there = importlib.util.find_spec(package) is not None
    except ValueError:  # a module that was made by hand
        there = True
    if there:
        return f"; {package} is installed: look up what its version here has, or install another one"
    return f"; install the package that has {package} into {sys.prefix}, or take the import out"


def _import_plugin(file: Path) -> Any:
    return _import_file(file, hashlib.sha256(file.read_bytes()).hexdigest())


@lru_cache
def _import_file(file: Path, content: str) -> Any:
    """The module of a file; ``content``, its SHA-256, is there so that a changed file is imported anew."""
    digest = hashlib.sha256(str(file).encode()).hexdigest()[:8]
    name = f"mmbench_plugin_{file.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"plug-in {file}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
