"""The files of ``datasets``: none imports itself through others, whether at once, lazily or for its types."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_no_file_imports_itself_through_others():
    files = {_name(file): file for file in (ROOT / "datasets").rglob("*.py")}
    imports: dict[str, set[str]] = {}
    for name, file in files.items():
        package = list(file.relative_to(ROOT).parent.parts)
        imports[name] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
                targets = (f"{base}.{alias.name}" for alias in node.names)
                imports[name] |= {target if target in files else base for target in targets} & set(files)
    assert sum(map(len, imports.values())) > len(files)
    list(TopologicalSorter(imports).static_order())  # raises CycleError, which names the circle
