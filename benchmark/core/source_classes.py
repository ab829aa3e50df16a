"""Classes and their bases, found in source text through the imports of mmbench and of the package that a class is in.

Nothing is imported. The source of any other package is not opened.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .errors import UsageError


@dataclass(frozen=True)
class SourceFile:
    """A source file.

    Attributes:
        path: where it lies.
        module: its dotted name, empty for a plug-in file.
        tree: its text, parsed.
        classes: those that it defines, by name.
        imports: name in the file -> dotted name of what it was imported as.
    """

    path: Path
    module: str
    tree: ast.Module
    classes: Mapping[str, ast.ClassDef]
    imports: Mapping[str, str]


@dataclass(frozen=True)
class SourceClass:
    """A class, and the file that defines it."""

    file: SourceFile
    node: ast.ClassDef


@lru_cache
def read_file(path: Path, module: str) -> SourceFile:
    """Parses a file. What it imports within functions is not followed.

    Args:
        path: where it lies.
        module: its dotted name, empty for a plug-in file.

    Raises:
        OSError: it cannot be read.
        SyntaxError: it is no Python.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    imports: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]  # `import a.b` binds `a`
                imports[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            name = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            imports |= {alias.asname or alias.name: f"{name}.{alias.name}" for alias in node.names}
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    return SourceFile(path, module, tree, classes, imports)


def _find(file: SourceFile, name: str) -> SourceClass | None:
    """The class that a name stands for in a file; None where it is of a package whose source is not read."""
    if name in file.classes:
        return SourceClass(file, file.classes[name])
    first, _, rest = name.partition(".")
    if first not in file.imports:
        return None
    module, _, attribute = f"{file.imports[first]}.{rest}".rstrip(".").rpartition(".")
    if module.partition(".")[0] not in {"mmbench", file.module.partition(".")[0]} - {""}:
        return None
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        return None
    if spec is None or spec.origin is None:
        return None
    return _find(read_file(Path(spec.origin), module), attribute)


def lineage_of(start: SourceClass) -> Iterator[SourceClass]:
    """A class and its bases, each before its own bases, as far as their source is read."""
    yield start
    for base in start.node.bases:
        parent = _find(start.file, ast.unparse(base))
        if parent is not None and parent.node is not start.node:
            yield from lineage_of(parent)


def params_of(lineage: list[SourceClass]) -> SourceClass:
    """The class of a method's parameters: its own, or that of the nearest base that says one.

    Args:
        lineage: the method's class and its bases.

    Raises:
        UsageError: none of them says which, or says it by anything but the name of a class that can be read.
    """
    for one in lineage:
        inner = [item for item in one.node.body if isinstance(item, ast.ClassDef) and item.name == "Params"]
        value = class_value(one.node, "Params")
        if inner:
            return SourceClass(one.file, inner[0])
        if value is not None:
            params = _find(one.file, ast.unparse(value))
            if params is None:
                raise UsageError(
                    f"{one.file.path}: Params should be a dataclass of this file, of mmbench or of its own package"
                )
            return params
    first = lineage[0]
    if not first.node.bases:
        raise UsageError(
            f"{first.file.path}: class {first.node.name} derives from nothing: write class {first.node.name}(Method), with "
            "from mmbench.methods.method import Method"
        )
    raise UsageError(
        f"{first.file.path}: class {first.node.name} should say Params itself: the source of its base is not read"
    )


def class_value(node: ast.ClassDef, name: str) -> ast.expr | None:
    """What a class assigns to an attribute; None where it assigns nothing.

    Args:
        node: the class.
        name: of the attribute.
    """
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.target.id == name:
            return item.value
        if isinstance(item, ast.Assign) and [ast.unparse(target) for target in item.targets] == [name]:
            return item.value
    return None
