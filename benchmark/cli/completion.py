"""What the shell completes: names where an option takes names, also behind the comma of a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ...leaderboards.labels import ENSEMBLES
from ..core.registry import Kind, entries

Completion = Callable[[str], list[str]]


def completed(incomplete: str, known: Iterable[str]) -> list[str]:
    """The words that a value may become.

    Args:
        incomplete: what is typed: a name, or names with commas between them, the last of which is not ended.
        known: every name.

    Returns:
        What is typed with its last name ended in each way that is possible, without names that stand in it already.
    """
    before, comma, last = incomplete.rpartition(",")
    given = {name.strip() for name in before.split(",")}
    return [f"{before}{comma}{name}" for name in known if name.startswith(last) and name not in given]


def _registered(kind: Kind, more: Iterable[str] = ()) -> Completion:
    """Completes what is registered under a kind, and some words more. Plug-in files are not looked at."""
    return lambda incomplete: completed(incomplete, [*entries(kind), *more])


def _methods(incomplete: str) -> list[str]:
    """Registered methods, each that is typed whole also with its controls, where it names some."""
    from ..core.method_spec import describe
    from ..planning.variants import CONTROLS

    known = entries("method")
    named = incomplete.rpartition(",")[2].partition("+")[0]
    controlled = named in known and describe(known[named]).controls
    return completed(incomplete, [*known, "all", *([named + CONTROLS] if controlled else [])])


def _datasets(incomplete: str) -> list[str]:
    """Registered datasets and those of one's own below the default data root."""
    from ..core.locate import own_datasets, root_from

    return completed(incomplete, dict.fromkeys([*entries("dataset"), *own_datasets(root_from(None))]))


def _corruptions(incomplete: str) -> list[str]:
    from ..planning.corruption_groups import corruption_groups

    return completed(incomplete, [*corruption_groups(()), *entries("corruption")])


def _tables(incomplete: str) -> list[str]:
    return completed(incomplete, [*_table_names(), "all"])


def _table_names() -> Iterator[str]:
    from ...leaderboards.catalog import TABLES

    yield from TABLES


def _metrics(incomplete: str) -> list[str]:
    from ...leaderboards.metrics.registry import METRICS

    return completed(incomplete, METRICS)


def _pictures(incomplete: str) -> list[str]:
    from ..report.pictures import PICTURES

    return completed(incomplete, PICTURES)


def _of(*names: str) -> Completion:
    """Completes some names and no others."""
    return lambda incomplete: completed(incomplete, names)


def _suites(incomplete: str) -> list[str]:
    from ..planning.suites import SUITES

    return completed(incomplete, SUITES)


#: Option, by the name of its field -> how its values are completed.
COMPLETIONS: dict[str, Completion] = {
    "methods": _methods,
    "datasets": _datasets,
    "ood": _datasets,
    "corruptions": _corruptions,
    "class_weights": _of("off", "balanced"),
    "launcher": _registered("launcher"),
    "suite": _suites,
    "what": _tables,
    "metric": _metrics,
    "ensemble": _of(*ENSEMBLES),
    "picture-formats": _of("png", "pdf", "svg"),
    "picture-styles": _of("paper", "slide"),
    "pictures": _pictures,
    "formats": _of("terminal", "csv", "md", "latex", "html"),
}
