"""A hook of MkDocs (see mkdocs.yml): pages of the site whose text stands elsewhere in the repository.

The README, the changelog and the guide for contributors stand in the root, where readers look for them. The site shows
the same text, with links adapted. The pages of the Python interface name modules; their text comes from the docstrings.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
#: The folders that make up the package.
FOLDERS = ("benchmark", "methods", "datasets", "corruptions", "leaderboards", "regimes", "slurm")
#: Page -> the file in the root that it shows.
WHOLE = {"index.md": "README.md", "changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
#: Page -> the modules whose docstrings it shows.
API = {
    "api/benchmark.md": ("mmbench.benchmark",),
    "api/methods.md": ("mmbench.methods.method", "mmbench.methods.losses", "mmbench.methods.erm"),
    "api/datasets.md": ("mmbench.datasets.batch", "mmbench.datasets.dataset"),
    "api/corruptions.md": ("mmbench.corruptions.corruption",),
}
METRICS = "leaderboards/metrics"

_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
#: Holds a folder `mmbench` as it is where the package is installed, for the tool that reads docstrings.
_INSTALLED = tempfile.TemporaryDirectory(prefix="mmbench-docs-")


@event_priority(100)  # before mkdocstrings reads the paths
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Shows the package to mkdocstrings, and puts pages in the place of patterns in the navigation."""
    package = Path(_INSTALLED.name) / "mmbench"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()  # a namespace would be searched for on every path
    for folder in FOLDERS:
        if not (package / folder).exists():
            (package / folder).symlink_to(ROOT / folder, target_is_directory=True)
    mkdocstrings: Any = config.plugins["mkdocstrings"]
    mkdocstrings.config.handlers["python"]["paths"] = [_INSTALLED.name]
    config.nav = _expanded(config.nav or [], Path(config.docs_dir))
    return config


def _expanded(nav: list[Any], folder: Path) -> list[Any]:
    """A navigation in which a pattern such as ``decisions/*.md`` stands for every page that fits it."""
    items: list[Any] = []
    for item in nav:
        if isinstance(item, dict):
            ((title, below),) = item.items()
            items.append({title: _expanded(below, folder) if isinstance(below, list) else below})
        elif "*" in item:
            items += sorted(str(file.relative_to(folder)) for file in folder.glob(item))
        else:
            items.append(item)
    return items


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages."""
    pages = {page: (ROOT / file).read_text(encoding="utf-8") for page, file in WHOLE.items()}
    metrics = sorted(
        f"mmbench.leaderboards.metrics.{file.stem}" for file in (ROOT / METRICS).glob("[a-z]*.py")
    )
    for page, modules in {**API, "api/metrics.md": tuple(metrics)}.items():
        pages[page] = api_page(modules)
    for page, text in pages.items():
        files.append(File.generated(config, page, content=text))
    return files


def _without_code(text: str) -> tuple[str, list[str]]:
    """A text whose blocks of code are numbered placeholders, and the blocks."""
    blocks = _CODE.findall(text)
    numbers = iter(range(len(blocks)))
    return _CODE.sub(lambda _: f"\0{next(numbers)}\0", text), blocks


def _with_code(text: str, blocks: list[str]) -> str:
    return re.sub("\0(\\d+)\0", lambda match: blocks[int(match[1])], text)


def api_page(modules: tuple[str, ...]) -> str:
    """A page that shows the docstrings of modules."""
    title = modules[0] if len(modules) == 1 else modules[0].rpartition(".")[0]
    # Fields of an experiment and of a protocol have descriptions in place of docstrings.
    options = "\n    options:\n      show_if_no_docstring: true" if modules == API["api/benchmark.md"] else ""
    return f"# {title}\n\n" + "\n\n".join(f"::: {module}{options}" for module in modules) + "\n"


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Adapts the links of a page."""
    uri = page.file.src_uri
    if uri.startswith("api/"):
        return markdown
    plain, code = _without_code(markdown)
    folder = "" if uri in WHOLE else os.path.dirname(f"docs/{uri}")
    return _with_code(with_links(plain, folder, uri), code)


def with_links(text: str, folder: str, uri: str) -> str:
    """A text with the links that lead to the same places within the site.

    A link to a file of the repository that the site does not show becomes its text. A link that leads nowhere stays as
    it is, so that the strict build names it.

    Args:
        text: Markdown without blocks of code.
        folder: where the text stands in the repository: its links start there.
        uri: the page that shows the text.

    Returns:
        The text.
    """
    of_root = {file: page for page, file in WHOLE.items()}

    def adapted(match: re.Match[str]) -> str:
        if re.match(r"[a-z]+:", match["target"]):
            return match[0]
        path, hash_sign, anchor = match["target"].partition("#")
        place = os.path.normpath(os.path.join(folder, path)) if path else ""
        if place in of_root:
            place = f"docs/{of_root[place]}"
        if not place or not (place.startswith("docs/") or (ROOT / place).exists()):
            return match[0]
        if not place.startswith("docs/"):
            return match["text"]
        inner = os.path.relpath(place, os.path.dirname(f"docs/{uri}"))
        return match[0].replace(f"({match['target']})", f"({inner}{hash_sign}{anchor})")

    return _LINK.sub(adapted, text)
