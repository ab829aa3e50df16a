"""Draws that follow from earlier trials, by Optuna, and a journal of every study on disk.

A journal holds the trials that ended. It is written from the jobs' records and may be deleted: the same records give the
same draws again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...datasets.libraries import import_guard
from ..core.method_fields import Field
from ..store.locks import hold
from ..store.names import inside
from ..store.store import Store
from .optuna_trial import complete_trial, optuna
from .sampling import replace_zero, round_draw, seed_of
from .search_record import is_outdated, write_record
from .study import Study, StudyProgress
from .trials import FOLDER, SearchProgress, direction_of, search_of

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


def space(fields: Sequence[Field]) -> dict[str, BaseDistribution]:
    """The ranges of parameters as Optuna's distributions. Its draws are rounded afterwards, as our own are."""
    known = optuna().distributions
    ranges: dict[str, BaseDistribution] = {}
    for item in fields:
        search = item.search or {}
        if search["choices"]:
            choices = tuple(dict.fromkeys((*search["choices"], item.default)))
            ranges[item.name] = known.CategoricalDistribution(choices)
        elif isinstance(item.default, int):
            ranges[item.name] = known.IntDistribution(
                int(search["low"]), int(search["high"]), log=search["log"]
            )
        else:
            ranges[item.name] = known.FloatDistribution(search["low"], search["high"], log=search["log"])
    return ranges


def suggest(
    fields: Sequence[Field], trials: Sequence[FrozenTrial], direction: str, seed: int
) -> dict[str, Any]:
    """A draw by the tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), as Optuna has it.

    Args:
        fields: the parameters.
        trials: those that ended.
        direction: ``"lower"`` or ``"higher"`` is better.
        seed: the same trials and seed give the same draw.
    """
    library = optuna()
    study = library.create_study(
        direction="minimize" if direction == "lower" else "maximize",
        sampler=library.samplers.TPESampler(n_startup_trials=1, seed=seed),
    )
    study.add_trials(trials)
    params = study.ask(space(fields)).params
    return {
        item.name: params[item.name]
        if (item.search or {})["choices"]
        else replace_zero(item, round_draw(item, params[item.name]))
        for item in fields
    }


def ask(store: Store, study: Study, search: SearchProgress) -> dict[str, Any]:
    """The parameters of the next trial of a study, drawn from the trials that ended.

    Args:
        store: where the trials lie.
        study: the study.
        search: how far it is.

    Returns:
        Searched parameter -> value.
    """
    trials = [trial for _, trial in sorted(_ended_trials(store, search, study.row.searched).items())]
    seed = seed_of("trial", len(search.trials), ("tpe", study.row.job.task, study.row.job.modality_set))
    return suggest(study.row.searched, trials, direction_of(search.metric), seed)


def write_journals(store: Store, progress: Iterable[StudyProgress]) -> None:
    """Writes the records and journals of those studies that changed since they were last written.

    Args:
        store: where to.
        progress: how far each study is.
    """
    for one in progress:
        search = search_of(store, [store.record(job) for job in one.jobs])
        if is_outdated(store, search):
            _append_to_journal(store, search, one.study.row.searched)
            write_record(store, search)


def _append_to_journal(store: Store, search: SearchProgress, fields: Sequence[Field]) -> None:
    """Adds to a study's journal the trials that ended since it was last written.

    A journal that cannot be read, as after a write that was cut off, is written anew. Optuna's own lock is not used:
    it is a file that outlives a killed process, and who comes after waits for it without an end.
    """
    ended = _ended_trials(store, search, fields)
    if not search.scores:
        return
    folder = inside(store.path / FOLDER)
    file, lock = folder / f"{search.name}.log", folder / _LOCK
    lock.mkdir(parents=True, exist_ok=True)
    with hold(inside(lock)) as claim:
        for other in (
            file,
            file.with_name(f"{file.name}.lock"),
        ):  # the latter is what Optuna's lock left behind
            if other.is_symlink():
                other.unlink()
        try:
            if not _ends_with_a_line(file):
                raise ValueError("the last write was cut off")
            _add_trials(file, search, ended.values())
        except Exception:
            file.unlink(missing_ok=True)
            _add_trials(file, search, ended.values())
        claim.release(forget=True)


#: The folder beside the journals that is held while one of them is written.
_LOCK = ".journals"


def _ends_with_a_line(file: Path) -> bool:
    """Whether a journal is empty, absent, or ends with a whole line: Optuna would append to half a line."""
    try:
        return file.read_bytes()[-1:] in (b"", b"\n")
    except FileNotFoundError:
        return True


def _add_trials(file: Path, search: SearchProgress, trials: Iterable[FrozenTrial]) -> None:
    """Adds those trials to a journal that are not in it.

    Args:
        file: the journal, made where there is none.
        search: whose trials they are.
        trials: those that ended.
    """
    study = _journal(file, search)
    there = {trial.user_attrs.get("job") for trial in study.get_trials(deepcopy=False)}
    for trial in trials:
        if trial.user_attrs["job"] not in there:
            study.add_trial(trial)


class _HeldAlready:
    """A lock for Optuna, whose journal is written while ``_LOCK`` is held."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _journal(file: Path, search: SearchProgress) -> Any:
    """The Optuna study that a file holds."""
    library = optuna()
    with import_guard("optuna", "the search of hyper-parameters"):
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

    lock: Any = _HeldAlready()
    return library.create_study(
        storage=JournalStorage(JournalFileBackend(str(file), lock_obj=lock)),
        study_name=search.name,
        direction="minimize" if direction_of(search.metric) == "lower" else "maximize",
        load_if_exists=True,
    )


def _ended_trials(store: Store, search: SearchProgress, fields: Sequence[Field]) -> dict[int, FrozenTrial]:
    """Index -> trial as Optuna has it, of the trials that are done or pruned."""
    library = optuna()
    distributions = space(fields)
    trials: dict[int, FrozenTrial] = {}
    for index, record in search.trials.items():
        job = record.job
        about = {
            "params": (params := {name: job.value(name) for name in distributions}),
            "distributions": _widen_ranges(distributions, params),
            "user_attrs": {"index": index, "job": job.id, "seed": job.seed},
        }
        if index in search.scores:
            fit = store.job(job.id).fit()
            trials[index] = complete_trial(fit, search.scores[index].metric, **about)
        elif record.state == "pruned":
            epochs = (store.job(job.id).pruning_record() or {}).get("epochs", [])
            values = {epoch["epoch"]: float(epoch["metric"]) for epoch in epochs}
            state = library.trial.TrialState.PRUNED
            trials[index] = library.create_trial(state=state, intermediate_values=values, **about)
    return trials


def _widen_ranges(
    known: Mapping[str, BaseDistribution], params: Mapping[str, Any]
) -> dict[str, BaseDistribution]:
    """The ranges, widened where a parameter of the default trial lies outside of its own."""
    ranges = dict(known)
    for name, own in known.items():
        low, high = getattr(own, "low", None), getattr(own, "high", None)
        if low is not None and high is not None:
            kind: Any = type(own)
            ends = {"low": min(low, params[name]), "high": max(high, params[name])}
            ranges[name] = kind(**ends, log=getattr(own, "log", False) and ends["low"] > 0)
    return ranges
