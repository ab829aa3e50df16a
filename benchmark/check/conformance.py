"""Public conformance tests: what a method, dataset, corruption, encoder, segmenter or set of raw media must do to take part.

``mmbench check method NAME`` runs them; ``check_method(MyMethod)`` does so from Python. Each check is a
function whose docstring says what is promised and which raises ``AssertionError`` with the reason where it
does not hold.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import cleandoc
from pathlib import Path
from typing import Any

from ...datasets.encoders.encoder import EncoderError, EncoderSpec
from ...datasets.encoders.spec import parse
from ...datasets.encoders.table import encoder_class as class_of
from ...datasets.media.clip import MediaSet
from ...datasets.media.find import find_media
from ...leaderboards.catalog import Table
from ...leaderboards.metrics.base import Metric
from ...methods.estimator import Estimator
from ...methods.method import Method
from ..core.errors import UsageError, finding
from ..core.locate import own_datasets, root_from
from ..core.method_spec import describe
from ..core.plugins import use_plugins
from ..core.registry import entries, find
from ..core.strings import counted
from ..planning.base_models import check_models
from ..planning.segmenters import resolve
from ..planning.variants import Variant
from ..report.chosen_tables import named_metric, named_table
from .corruption import CORRUPTION_CHECKS
from .dataset import DATASET_CHECKS
from .encoder import ENCODER_CHECKS, Subject
from .estimator import ESTIMATOR_CHECKS
from .launcher import LAUNCHER_CHECKS, trial_of
from .media import MEDIA_CHECKS
from .method import METHOD_CHECKS, parameters_are_literals
from .metric import METRIC_CHECKS
from .segmenter import SEGMENTER_CHECKS, Segmented
from .table import TABLE_CHECKS, TableTrial


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    what: str
    ok: bool
    reason: str = ""


def check_entry(
    kind: str, name: str, plugins: tuple[Path, ...] = (), root: Path | None = None
) -> Iterator[Check]:
    """Runs every check of a kind on a registered name.

    Args:
        kind: one of ``CHECKED``.
        name: a name of that kind; of a method with parameters where it needs some, as ``--methods`` takes them; of
            ``media``, of clips below ``root``; of ``encoder``, with its model and options
            where it has some, as ``--encoder`` takes them.
        plugins: files that bring more names.
        root: the folder of the datasets.

    Raises:
        UsageError: the name is unknown.
        DataError: the media are not there, or not as described.
    """
    return CHECKED[kind](name, plugins, root)


def _check_method(name: str, plugins: tuple[Path, ...], root: Path | None) -> Iterator[Check]:
    variant = Variant.parse(name)
    entry = find("method", variant.name, plugins)
    method_class = entry.load()
    if _is_method(method_class):
        yield _result(parameters_are_literals, entry)
        description = describe(entry)
        params = description.resolve(variant.overrides)
        check_models(variant.name, description.model_params, params)
        method_class = _with_params(method_class, params) if variant.overrides else method_class
    yield from check_method(method_class)


def _with_params(method_class: type[Method], params: Mapping[str, Any]) -> type[Method]:
    """The method with other defaults of its parameters."""
    return type(
        method_class.__name__,
        (method_class,),
        {"Params": staticmethod(partial(method_class.Params, **params))},
    )


def _check_dataset(name: str, plugins: tuple[Path, ...], root: Path | None) -> Iterator[Check]:
    folder = root_from(root)
    if name not in entries("dataset", plugins) and name in own_datasets(folder):
        where = f"{name} --data-root {folder}"
        raise UsageError(
            f"{name} is data in the open layout, and no class to check: mmbench data info {where} reads and checks it, "
            f"mmbench data verify {where} compares its splits"
        )
    return check_dataset(find("dataset", name, plugins).load())


def _check_corruption(name: str, plugins: tuple[Path, ...], root: Path | None) -> Iterator[Check]:
    return check_corruption(find("corruption", name, plugins).load())


def _check_encoder(name: str, plugins: tuple[Path, ...], root: Path | None) -> Iterator[Check]:
    find("encoder", name.partition(",")[0].partition(":")[0].strip(), plugins)
    use_plugins(plugins)
    spec = parse(name)
    return check_encoder(class_of(spec.encoder), spec)


def _check_launcher(name: str, plugins: tuple[Path, ...], root: Path | None) -> Iterator[Check]:
    return check_launcher(name, plugins)


def _check_segmenter(name: str, plugins: tuple[Path, ...], root: Path | None) -> Iterator[Check]:
    asked = resolve(name, plugins)
    return check_segmenter(find("segmenter", asked.name, plugins).load(), **asked.params)


def _check_media(name: str, plugins: tuple[Path, ...], root: Path | None) -> Iterator[Check]:
    known = entries("dataset", plugins)
    dataset = known[name].load()() if name in known else None
    return check_media(find_media(name, root_from(root), dataset=dataset))


#: Kind -> its checks of a name, given plug-in files and the folder of the datasets.
CHECKED: dict[str, Callable[[str, tuple[Path, ...], Path | None], Iterator[Check]]] = {
    "method": _check_method,
    "dataset": _check_dataset,
    "corruption": _check_corruption,
    "encoder": _check_encoder,
    "launcher": _check_launcher,
    "segmenter": _check_segmenter,
    "table": lambda name, plugins, root: check_table(named_table(name, plugins)),
    "metric": lambda name, plugins, root: check_metric(named_metric(name, plugins)),
    "media": _check_media,
}


def check_method(method_class: type[Method]) -> Iterator[Check]:
    """Runs every check on a method."""
    if not _is_method(method_class):
        name = getattr(method_class, "__name__", method_class)
        reason = f"{name} is no mmbench.methods.method.Method: import that, and write class {name}(Method)"
        yield Check("It derives from Method.", False, reason)
        return
    for check in ESTIMATOR_CHECKS if issubclass(method_class, Estimator) else METHOD_CHECKS:
        yield _result(check, method_class)


def _is_method(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Method)


def check_dataset(dataset_class: type) -> Iterator[Check]:
    """Runs every check on a dataset, on its own stand-in."""
    with tempfile.TemporaryDirectory() as folder:
        for check in DATASET_CHECKS:
            yield _result(check, dataset_class, Path(folder))


def check_launcher(name: str, plugins: tuple[Path, ...] = ()) -> Iterator[Check]:
    """Runs every check on a launcher, with tiny networks.

    Args:
        name: the name that it is registered by.
        plugins: files that bring it.

    Raises:
        UsageError: the name is unknown.
    """
    launcher = find("launcher", name, plugins).load()
    with trial_of(launcher, name, plugins) as trial:
        for check in LAUNCHER_CHECKS:
            yield _result(check, trial)


def check_media(media: MediaSet) -> Iterator[Check]:
    """Runs every check on a set of raw media. What was found wrong while listing is told whole, a line each; what is a
    fact of published lists is no failure."""
    for check in MEDIA_CHECKS:
        yield _result(check, media)
    problems = "\n".join(str(problem) for problem in media.problems)
    worth = len(media.problems) - len(media.faults)
    remarks = f"; worth a look: {worth}" if worth else ""
    yield Check(
        f"{counted(len(media.clips), 'clip is', 'clips are')} listed; problems: {len(media.faults)}{remarks}.",
        True,
        problems,
    )


def check_corruption(corruption_class: Any) -> Iterator[Check]:
    """Runs every check on a corruption."""
    for check in CORRUPTION_CHECKS:
        yield _result(check, corruption_class)


def check_encoder(encoder_class: Any, spec: EncoderSpec) -> Iterator[Check]:
    """Runs every check on an encoder, on the CPU.

    Args:
        encoder_class: its class.
        spec: its name, and a model and options where it needs them.
    """
    subject = Subject(encoder_class, spec)
    try:
        subject.make()
    except EncoderError as error:
        yield Check("It can be made.", False, str(error))
        return
    for check in ENCODER_CHECKS:
        yield _result(check, subject)


def check_segmenter(segmenter_class: Any, **params: Any) -> Iterator[Check]:
    """Runs every check on a segmenter of conversations.

    Args:
        segmenter_class: its class.
        params: those of its parameters that are no defaults.
    """
    for check in SEGMENTER_CHECKS:
        yield _result(check, Segmented(segmenter_class, segmenter_class.Params(**params)))


def check_table(table: Table) -> Iterator[Check]:
    """Runs every check on a table, on results of a few samples."""
    trial = TableTrial(table)
    for check in TABLE_CHECKS:
        yield _result(check, trial)


def check_metric(metric: Metric) -> Iterator[Check]:
    """Runs every check on a metric.

    Raises:
        UsageError: it has no measure of its own, because a table derives it.
    """
    if metric.kind == "derived":
        where = f"mmbench check table {metric.families[0]}" if metric.families else "give it a Mean or a Rank"
        raise UsageError(f"metric {metric.name} is not computed from arrays: {where}")
    for check in METRIC_CHECKS:
        yield _result(check, metric)


def _result(check: Callable[..., None], *arguments: Any) -> Check:
    what = " ".join(
        cleandoc(check.__doc__ or check.__name__).partition("\n\n")[0].split()
    )  # without Args and Raises
    try:
        check(*arguments)
    except Exception as error:  # whatever it raises is the finding
        return Check(what, False, finding(error))
    return Check(what, True)
