"""How each of the questions of ``findings`` is answered."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..labels import AVERAGE, CLEAN, KEYS, MISSING, counted
from ..metrics.derived import CLOSED, LEFT
from ..render.plain import p_text
from ..stats.intervals import holm
from ..stats.ranks import ALPHA, Ranking
from ..tables.comparisons import rankings
from ..tables.robustness import MEAN
from ..tables.seed_scores import Score
from .effect_sizes import (
    EffectEstimate,
    Effects,
    estimate_effect,
    estimate_effects,
    mean_of,
    paired_p,
    percent,
    relative_gain,
)
from .evidence import (
    Evidence,
    base_name,
    best_of,
    gains_over_erm,
    scores_by_task,
    selected_by_oracle,
    task_of,
)

#: What tells of trust: leaderboard, condition, metric. Of each leaderboard, the first that a task has.
TRUST = (
    ("misd", "max_softmax", "misd_auroc"),
    ("misd", "ensemble", "e_aurc"),
    ("calibration", CLEAN, "ece_equal_width_15"),
    ("calibration", CLEAN, "interval_calibration_error"),
)


@dataclass(frozen=True)
class Answered:
    """An answer and what it rests on; see ``findings.Finding``."""

    answer: Literal["yes", "no", "undecided", "not enough data"]
    statistic: str
    tasks: Iterable[str] = ()
    estimates: Sequence[EffectEstimate] = field(default_factory=tuple)


def marginal_gain(evidence: Evidence) -> Answered:
    """1: every method's gain over ERM lies below the margin."""
    effects = gains_over_erm(evidence.scores("accuracy"))
    gains = _estimates(effects)
    if not gains:
        return _lacking("erm and another method on the same tasks, with two seeds or more")
    words = f"Gain over erm: {_listed(gains, effects)}. Marginal is below {100 * evidence.margin:g} %."
    tasks = [task for by_task in effects.values() for task in by_task]
    if any(one.low > evidence.margin for one in gains):
        return Answered("no", words, tasks, gains)
    below = all(one.high < evidence.margin for one in gains)
    return Answered("yes" if below else "undecided", words, tasks, gains)


def no_consistent_winner(evidence: Evidence) -> Answered:
    """2: every method is significantly worse than another on some task."""
    tasks = {
        t: items
        for t, items in scores_by_task(evidence.scores("accuracy")).items()
        if len(_without_oracle(items)) > 1
    }
    p = {task: _against_best(items) for task, items in tasks.items()}
    compared = any(math.isfinite(value) for one in p.values() for value in one.values())
    won, over = _over_tasks(evidence)
    if len(tasks) < 2 or not (compared or won is not None):
        return _lacking("two methods on two tasks or more, with the same seeds, two or more")
    methods = list(dict.fromkeys(method for one in p.values() for method in one))
    # Corrected within the task by Holm, over tasks by Bonferroni.
    beaten = {m: sum(one.get(m, math.nan) * len(tasks) < ALPHA for one in p.values()) for m in methods}
    # The best of a task is the one that is not compared with it; it stands alone where all others are worse.
    firsts = [best_of(_without_oracle(items)).method for items in tasks.values()]
    alone = [all(q < ALPHA for m, q in p[task].items() if m != firsts[i]) for i, task in enumerate(tasks)]
    wins = ", ".join(f"{name} on {firsts.count(name)}" for name in methods if name in firsts)
    losses = ", ".join(f"{name} on {count}" for name, count in beaten.items())
    words = (
        f"Best mean of {counted(len(tasks), 'task')}: {wins}. Significantly worse than the best (paired, Holm and "
        f"Bonferroni, 5 %): {losses}.{over}"
    )
    if all(beaten.values()):
        return Answered("yes", words, tasks)
    always = len(set(firsts)) == 1 and all(alone)
    return Answered("no" if always or won else "undecided", words, tasks)


def _against_best(items: Sequence[Score]) -> dict[str, float]:
    """Method -> p of its difference from the best of a task, oracles apart, corrected by Holm; NaN for the best.

    The table's own, over seeds and samples; where the table compared with an oracle, of t-tests over seeds. NaN
    too for a single seed, whose p speaks of one trained network and not of its method.
    """
    rivals = _without_oracle(items)
    if len(rivals) == len(items):
        return {one.method: one.p_vs_best if len(one.by_seed) > 1 else math.nan for one in rivals}
    best = best_of(rivals)
    p = holm([math.nan if one is best else paired_p(relative_gain(best, one)) for one in rivals])
    return {one.method: float(value) for one, value in zip(rivals, p, strict=True)}


def _without_oracle(items: Sequence[Score]) -> list[Score]:
    return [one for one in items if base_name(one.method) != "oracle" and not selected_by_oracle(one)]


def gap_to_oracle(evidence: Evidence) -> Answered:
    """3: the best method of each task lies far below the oracle."""
    effects: dict[str, Mapping[int, float]] = {}
    shares: dict[str, Mapping[int, float]] = {}
    closed = {(task_of(one), one.method): one.by_seed for one in evidence.scores("gap", metric=CLOSED)}
    for task, own in scores_by_task(evidence.scores("gap", metric=LEFT)).items():
        best = best_of(own)
        effects[task] = best.by_seed
        shares[task] = closed.get((task, best.method), {})
    estimates = _estimates({"the oracle": effects})
    if not estimates:
        return _lacking(
            "shifts with --oracle, so that erm trained on each target is the oracle; with two seeds or more"
        )
    words = f"Above the best method of each task: {estimates[0]}. Large is above {100 * evidence.large:g} %."
    share = estimate_effect("the share closed", shares)
    if share is not None:
        words += f" Of the gap from erm to the oracle: {share}."
        estimates.append(share)
    without = sum(not by_seed for by_seed in shares.values())
    if without:
        words += f" Without a gap that is told apart from 0: {without} of {counted(len(effects), 'task')}."
    return Answered(_side(estimates[0], evidence.large), words, effects, estimates)


def three_are_no_better(evidence: Evidence) -> Answered:
    """4: networks with three modalities gain no more than the margin over the best pair of them."""
    by_set: dict[tuple[str, str, str], dict[frozenset[str], Score]] = defaultdict(dict)
    for one in evidence.scores("accuracy"):
        by_set[one.task, one.method, one.content][frozenset(one.modalities.split("+"))] = one
    cases: dict[str, list[Mapping[int, float]]] = defaultdict(list)
    ahead = total = 0
    for sets in by_set.values():
        for three in [one for names, one in sets.items() if len(names) == 3]:
            names = three.modalities.split("+")
            pairs = [sets.get(frozenset(names) - {name}) for name in reversed(names)]
            known = [pair for pair in pairs if pair is not None]
            if len(known) == len(names):
                pair = best_of(known)
                cases[task_of(three)].append(relative_gain(three, pair))
                total += 1
                ahead += three.sign * (three.mean - pair.mean) > 0
    effects = {task: mean_of(gains) for task, gains in cases.items()}
    estimates = _estimates({"three modalities": effects})
    if not estimates:
        return _lacking(
            "three modalities and all pairs of them, such as --modalities T+A+V,T+A,T+V,A+V, with two seeds "
            "or more"
        )
    gain = estimates[0]
    words = (
        f"Gain over the best pair, mean over methods: {gain}; ahead in {ahead} of {counted(total, 'case')}. Reliable is an "
        f"interval above 0; marginal is below {100 * evidence.margin:g} %. The best pair is chosen by its test score, "
        "which favours pairs."
    )
    if gain.low > 0:
        return Answered("no", words, effects, estimates)
    return Answered("yes" if gain.high < evidence.margin else "undecided", words, effects, estimates)


def strong_degradation(evidence: Evidence) -> Answered:
    """5a: every method loses a large share of its score under each kind of damage."""
    effects: dict[str, dict[str, Mapping[int, float]]] = {}
    for board, damaged, word in (("missing", AVERAGE, "missing"), ("robustness", MEAN, "corrupted")):
        clean = {(task_of(one), one.method): one for one in evidence.scores(board)}
        for one in evidence.scores(board, damaged):
            whole = clean.get((task_of(one), one.method))
            if whole is not None and base_name(one.method) != "oracle":
                lost = {seed: -value for seed, value in relative_gain(one, whole).items()}
                effects.setdefault(f"{one.method}, {word}", {})[task_of(one)] = lost
    losses = _estimates(effects)
    if not losses:
        return _lacking("two modalities or more, or --corruptions features, with two seeds or more")
    words = (
        f"Lost against clean data: {_listed(losses, effects)}. Strong is above {100 * evidence.large:g} %."
    )
    tasks = [task for by_task in effects.values() for task in by_task]
    sides = {_side(one, evidence.large) for one in losses}
    if "no" in sides:
        return Answered("no", words, tasks, losses)
    return Answered("yes" if sides == {"yes"} else "undecided", words, tasks, losses)


def hurt_trust(evidence: Evidence) -> Answered:
    """5b: some method detects its errors worse, or is worse calibrated, than ERM."""
    effects: dict[str, Effects] = {}
    answered: dict[str, set[str]] = {}  # leaderboard -> tasks of which an earlier metric has told
    for board, condition, metric in TRUST:
        before = answered.setdefault(board, set())
        items = [one for one in evidence.scores(board, condition, metric) if task_of(one) not in before]
        before |= {task_of(one) for one in items}
        for method, by_task in gains_over_erm(items).items():
            worse = {task: {s: -v for s, v in gains.items()} for task, gains in by_task.items()}
            effects[f"{method}, {metric}"] = worse
    losses = _estimates(effects)
    if not losses:
        return _lacking(
            "erm and another method on the same tasks, with two seeds or more; regression needs a method "
            "that predicts variance for its calibration"
        )
    words = f"Worse than erm by: {_listed(losses, effects)}. Some: an interval above 0; none: all below {100 * evidence.large:g} %."
    tasks = [task for by_task in effects.values() for task in by_task]
    if any(one.low > 0 for one in losses):
        return Answered("yes", words, tasks, losses)
    below = all(one.high < evidence.large for one in losses)
    return Answered("no" if below else "undecided", words, tasks, losses)


def fusion_hurts(evidence: Evidence) -> Answered:
    """6: somewhere a single modality is better than all of them: trained alone, or with the others missing at test."""
    cases: dict[tuple[str, str], list[Mapping[int, float]]] = defaultdict(list)
    ahead = []
    for one, whole, how in [*_trained_alone(evidence), *_others_missing(evidence)]:
        gain = relative_gain(one, whole)
        if gain:
            cases[task_of(whole), how].append(gain)
            if one.sign * (one.mean - whole.mean) > 0:
                ahead.append(f"{how} of {whole.method} on {task_of(whole)}")
    effects = {f"{how} on {task}": {task: mean_of(gains)} for (task, how), gains in cases.items()}
    estimates = _estimates(effects)
    if not estimates:
        return _lacking(
            "two modalities or more, or also each of them alone, such as --modalities T+A,T,A, with two seeds or more"
        )
    most = 6
    named = "; ".join(ahead[:most]) + ("; …" if len(ahead) > most else "")
    words = (
        f"Gain of one modality over all of them, mean over methods: {_listed(estimates, effects)}. Ahead in {len(ahead)} "
        f"of {counted(sum(map(len, cases.values())), 'case')}{': ' + named if ahead else ''}. Fusion hurts where an interval lies "
        f"above 0; marginal is below {100 * evidence.margin:g} %."
    )
    tasks = [task for task, _ in cases]
    if any(one.low > 0 for one in estimates):
        return Answered("yes", words, tasks, estimates)
    below = all(one.high < evidence.margin for one in estimates)
    return Answered("no" if below else "undecided", words, tasks, estimates)


def _trained_alone(evidence: Evidence) -> Iterable[tuple[Score, Score, str]]:
    """Networks of one modality, each with that of the same method and data with the most, and how it has one."""
    by_set: dict[tuple[str, str, str], list[Score]] = defaultdict(list)
    for one in evidence.scores("accuracy"):
        by_set[one.task, one.method, one.content].append(one)
    for scored in by_set.values():
        whole = max(scored, key=lambda one: one.modalities.count("+"))
        for one in scored:
            if one is not whole and one.modalities in whole.modalities.split("+"):
                yield one, whole, f"{one.modalities} (trained alone)"


def _others_missing(evidence: Evidence) -> Iterable[tuple[Score, Score, str]]:
    """Networks of several modalities under all patterns that leave one, each with itself on whole data."""
    whole_of = {(task_of(one), one.method): one for one in evidence.scores("missing")}
    conditions = evidence.frames["missing"]["condition"].unique() if "missing" in evidence.frames else ()
    for condition in map(str, conditions):
        gone = set(condition.removeprefix(MISSING).split("+"))
        for one in evidence.scores("missing", condition) if condition.startswith(MISSING) else ():
            left = [name for name in one.modalities.split("+") if name not in gone]
            whole = whole_of.get((task_of(one), one.method))
            if len(left) == 1 and whole is not None:
                yield one, whole, f"{left[0]} (the others missing)"


def ensembles_degrade(evidence: Evidence) -> Answered:
    """7: somewhere the vote of an ensemble is worse than its mean member."""
    frame = evidence.frames["ensembles"]
    own = frame.loc[(frame["protocol"] == evidence.protocol) & (frame["data"] == evidence.data)]
    main = own.groupby([*KEYS, "ensemble"], sort=False).first().reset_index()
    rows = [row for row in main.to_dict("records") if math.isfinite(row["gain_low"])]
    if not rows:
        return _lacking("--ensemble seeds or methods with two members or more that are all done")
    tasks, estimates, words = [], [], []
    for row in rows:
        task, base = f"{row['task']}, {row['modalities']}", abs(row["mean_member"]) or math.nan
        gain, low, high = (row[name] / base for name in ("gain", "gain_low", "gain_high"))
        estimates.append(EffectEstimate(row["ensemble"], gain, low, high, row["samples"], "samples", 1))
        tasks.append(task)
        words.append(
            f"{row['ensemble']} on {task} ({row['members']} members, {row['samples']} test samples): "
            f"{percent(gain)} [{percent(low)}, {percent(high)}], p {_p(row['p_holm'])}, errors correlated "
            f"{row['error_correlation']:.2f}"
        )
    order = sorted(range(len(rows)), key=lambda place: estimates[place].mean)
    shown = "; ".join(words[place] for place in order[:4]) + ("; …" if len(order) > 4 else "")
    said = (
        f"Gain of the vote over its mean member, {rows[0]['metric']}, smallest first: {shown}. Equal weights, no threshold; "
        f"stacking is beside it in --what ensembles. Worse: below 0 after Holm; none: every interval above "
        f"{-100 * evidence.margin:g} %."
    )
    if any(row["verdict"] == "worse" for row in rows):
        return Answered("yes", said, tasks, estimates)
    above = all(one.low > -evidence.margin for one in estimates)
    return Answered("no" if above else "undecided", said, tasks, estimates)


#: The question that is asked only where there are ensembles.
OF_ENSEMBLES = "7"

QUESTIONS: dict[str, tuple[str, Callable[[Evidence], Answered]]] = {
    "1": ("Under equal treatment, do methods gain only marginally over ERM?", marginal_gain),
    "2": ("Does no method win consistently across datasets and modality sets?", no_consistent_winner),
    "3": ("Does a large gap to the oracle remain?", gap_to_oracle),
    "4": ("Do three modalities fail to beat the best pair reliably?", three_are_no_better),
    "5a": ("Does every method degrade strongly under damage and missing modalities?", strong_degradation),
    "5b": ("Do some methods hurt trustworthiness?", hurt_trust),
    "6": ("Does fusion hurt: is a single modality somewhere better than all of them?", fusion_hurts),
    OF_ENSEMBLES: (
        "Do ensembles degrade: is a vote somewhere worse than its mean member?",
        ensembles_degrade,
    ),
}


def _over_tasks(evidence: Evidence) -> tuple[bool | None, str]:
    """Whether the method with the best average rank is better than all others by Wilcoxon and Holm, None for too
    few tasks, and what the ranks say."""
    frame = evidence.frames["accuracy"]
    own = (frame["protocol"] == evidence.protocol) & (frame["data"] == evidence.data)
    frame = frame.loc[own & (frame["method"].map(base_name) != "oracle")]
    won, words = [], []
    for compared, ranking in rankings(frame):
        if not ranking.enough:
            words.append(
                f" Over tasks ({compared.metric}): {ranking.tasks} in common, {ranking.needed} needed."
            )
            continue
        first, p = _first(ranking)
        won.append(p < ALPHA)
        words.append(
            f" Over {ranking.tasks} tasks ({compared.metric}): {compared.methods[first]} has the best average rank, "
            f"{ranking.ranks[first]:.2f}; against its nearest, Wilcoxon with Holm p {_p(p)}."
        )
    return all(won) if won else None, "".join(words)


def _first(ranking: Ranking) -> tuple[int, float]:
    """The method with the best average rank, and the largest p against another."""
    first = int(ranking.ranks.argmin())
    pairs = zip(ranking.pairs, ranking.p_holm, strict=True)
    return first, max(float(p) for pair, p in pairs if first in pair)


def _estimates(effects: Mapping[str, Effects]) -> list[EffectEstimate]:
    """One a label, largest first; labels without enough data are left out."""
    return sorted(estimate_effects(effects), key=lambda one: -one.mean)


def _side(one: EffectEstimate, border: float) -> Literal["yes", "no", "undecided"]:
    """Whether an interval lies above a border, below it, or across."""
    return "yes" if one.low > border else "no" if one.high < border else "undecided"


def _lacking(run: str) -> Answered:
    return Answered("not enough data", f"Run {run}.")


def _listed(estimates: Sequence[EffectEstimate], effects: Mapping[str, Effects], most: int = 6) -> str:
    """Estimates in words: all, or the largest and the smallest; and what has none."""
    words = list(map(str, estimates))
    if len(estimates) > most:
        half = most // 2
        words = [*words[:half], f"{len(estimates) - most} between", *words[-half:]]
    lacking = [label for label in effects if label not in [one.label for one in estimates]]
    return "; ".join(words) + (f"; not enough data of {', '.join(lacking)}" if lacking else "")


def _p(p: float) -> str:
    text = p_text(p)
    return text if text.startswith("<") else f"= {text}"
