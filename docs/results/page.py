"""Writes index.md: the text of index.md.in, with every figure taken from the tables beside it.

    python docs/results/page.py

``{{ value SET METHOD [COLUMN] }}`` is a mean; without a column that of the main metric on complete data, with its 95 % interval.
``{{ metric SET METHOD METRIC }}`` is another metric there, ``{{ values SET METHOD METRIC }}`` that of each seed, ``{{ target SET METHOD TARGET
[METRIC] }}`` the value on one of several targets. ``{{ gain SET METHOD REFERENCE [CONDITION] [METRIC] }}`` is the paired difference
from a reference, ``{{ told SET better|worse [CONDITION] [METRIC] [holm] }}`` the methods that are told apart from ``erm``; conditions are ``clean``,
``missing`` and ``lost`` (steps). ``{{ without SET METHOD MODALITIES [drop] }}`` is what is left without some modalities, or what is lost,
``{{ lost SET METHOD [RATE|drop] }}`` what is left where steps are lost at rates, ``{{ rho SET METHOD DIAGNOSTIC CONDITION [error] }}`` Spearman's
correlation of what a method tells of itself with the severity of damage, or with its error, ``{{ order SET METRIC [CONDITION] }}`` that of our
means with published ones, ``{{ best SET [COLUMN] }}`` the first method of a column, ``{{ table SET [METRIC ...] }}`` the table of a set with further
metrics beside the main one, ``{{ targets SET }}`` methods by targets, ``{{ samples SET }}`` how many test samples it has, ``{{ rows SET }}`` how many
methods beside ``erm``, ``{{ seeds SET }}`` how many networks of each, ``{{ time SET }}`` how long it took, and ``{{ verdicts SET }}`` what
``mmbench findings`` answers. A column is named by a part of its heading in ``summary.csv``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from mmbench.leaderboards.labels import OVER_TARGETS, WITHIN_MARGIN
from mmbench.leaderboards.published.numbers import numbers
from mmbench.leaderboards.render.text import shown_mark
from mmbench.leaderboards.stats.intervals import holm

HERE = Path(__file__).parent
TEMPLATE, PAGE = HERE / "index.md.in", HERE / "index.md"
_FIELD = re.compile(r"\{\{ *(.*?) *\}\}")
#: Columns of summary.csv, by a part of their heading, and what the page calls them.
_COLUMNS = {
    "missing, mean": "modalities missing",
    "corrupted, mean": "damaged",
    "reliability": "reliability grid",
    "misclassified": "risk (AURC)",
}
_LOWER = "↓"
#: Condition -> the heading of what is gained under it.
_GAINS = {"missing": "gain, missing", "lost": "gain, lost steps"}
#: Under what gains are measured, and what against.csv calls it.
_COMPARED = {"clean": "clean", "missing": "average_missing", "lost": "mean:random-frames"}
#: Below this a p-value tells two methods apart.
_LEVEL = 0.05


def render(template: str) -> str:
    """The page. Raises ValueError where a field names what no table has."""
    makers = {
        "value": value,
        "metric": metric,
        "values": values,
        "gain": gain,
        "target": target,
        "targets": targets,
        "without": without,
        "rho": rho,
        "lost": lost,
        "told": told,
        "order": order,
        "verdicts": verdicts,
        "rows": rows,
        "seeds": seeds,
        "best": best,
        "table": table,
        "samples": samples,
        "time": time,
    }

    def fill(found: re.Match[str]) -> str:
        name, *words = found[1].split()
        if name not in makers:
            raise ValueError(f"{found[0]}: expected one of {', '.join(makers)}")
        try:
            return makers[name](*words)
        except (KeyError, IndexError, FileNotFoundError, TypeError) as error:
            raise ValueError(f"{found[0]}: {error}") from error

    return _FIELD.sub(fill, template)


def value(name: str, method: str, column: str = "") -> str:
    """A mean, as percent where it is a share; the main one with its interval.

    Args:
        name: of the set.
        method: its label.
        column: a part of the heading, with ``_`` for a blank; empty for the main metric on complete data.
    """
    if column:
        heading = _heading(name, column.replace("_", " "))
        return _shown(float(_summary(name).loc[method, heading]), heading)
    return _with_interval(_whole(name).loc[method])


def metric(name: str, method: str, which: str) -> str:
    """The mean of any metric on complete data, with its interval.

    Args:
        name: of the set; of several tasks it is the mean over them.
        method: its label.
        which: the metric, as accuracy.csv names it.
    """
    return _with_interval(_whole(name, which).loc[method])


def target(name: str, method: str, which: str, metric: str = "") -> str:
    """A metric on one of several targets, with its interval.

    Args:
        name: of the set.
        method: its label.
        which: the target, such as ``physionet/CCU``.
        metric: its name; empty for the main one.
    """
    return _with_interval(_targets(name, metric, f"target:{which}").loc[method])


def targets(name: str) -> str:
    """Methods by targets, best first: the main metric on each with its interval."""
    frame = pd.read_csv(HERE / name / "targets.csv")
    places = [one.partition(":")[2] for one in frame["condition"].unique() if one.startswith("target:")]
    rows = [["method", *places], ["---", *["---:"] * len(places)]]
    rows += [
        [f"`{method}`", *(target(name, method, one) for one in places)] for method in _summary(name).index
    ]
    return _as_table(rows)


def values(name: str, method: str, which: str) -> str:
    """Any metric on complete data of each seed. Arguments as ``metric``."""
    row = _whole(name, which).loc[method]
    return ", ".join(_number(float(one), row["unit"] == "fraction") for one in str(row["values"]).split())


def _with_interval(row: pd.Series) -> str:
    percent = bool(row.at["unit"] == "fraction")
    mean, low, high = (float(row.at[name]) for name in ("mean", "low", "high"))
    ends = "" if math.isnan(low) else f" [{_number(low, percent)}, {_number(high, percent)}]"
    return _number(mean, percent) + ends


def gain(name: str, method: str, reference: str, condition: str = "clean", which: str = "") -> str:
    """A paired difference with its interval, positive where the method is better than the reference.

    Args:
        name: of the set.
        method: its label.
        reference: the label of what it is compared with.
        condition: of ``_COMPARED``.
        which: the metric, as against.csv names it; empty for the main one.
    """
    row = _against(name, which).loc[(_COMPARED[condition], method, reference)]
    percent = _percent(name) if not which else _whole(name, which)["unit"].iloc[0] == "fraction"
    ends = ", ".join(_number(float(row[end]), percent, sign=True) for end in ("low", "high"))
    return f"{_number(float(row['gain']), percent, sign=True)} [{ends}]"


def without(name: str, method: str, missing: str, what: str = "mean") -> str:
    """The main metric where modalities are missing.

    Args:
        name: of the set.
        method: its label.
        missing: the modalities that are missing, with ``+`` between them.
        what: ``mean``, which of several tasks is that over them, or ``drop``: what is lost against complete data, with its
            interval, of one task.
    """
    frame = pd.read_csv(HERE / name / "patterns.csv").set_index(["method", "condition"])
    rows = frame.loc[[(method, f"missing:{missing}")]]
    row = rows.iloc[0]
    percent = row["unit"] == "fraction"
    if what == "mean":
        return _number(float(rows["mean"].mean()), percent)
    if len(rows) > 1:
        raise KeyError(f"the intervals of {len(rows)} tasks are not that of their mean")
    ends = ", ".join(_number(float(row[f"drop_{end}"]), percent, sign=True) for end in ("low", "high"))
    return f"{_number(float(row['drop']), percent, sign=True)} [{ends}]"


def rho(name: str, method: str, diagnostic: str, condition: str, beside: str = "severity") -> str:
    """Spearman's correlation of a diagnostic with how severe the damage is, or with the error, with its interval; of several
    tasks the lowest and the highest.

    Args:
        name: of the set.
        method: its label.
        diagnostic: such as ``reliability/text``.
        condition: such as ``reliability:noise``, or ``clean``.
        beside: ``severity`` or ``error``.
    """
    frame = pd.read_csv(HERE / name / "mechanism.csv").set_index(["method", "diagnostic", "condition"])
    rows = frame.loc[[(method, diagnostic, condition)]]
    if len(rows) > 1:
        found = rows[f"rho_{beside}"].to_numpy()
        return f"{found.min():+.2f} to {found.max():+.2f}"
    row = rows.iloc[0]
    middle, *ends = (float(row[f"rho_{beside}{end}"]) for end in ("", "_low", "_high"))
    return f"{middle:+.2f} [{', '.join(f'{end:+.2f}' for end in ends)}]"


def lost(name: str, method: str, which: str = "mean") -> str:
    """The main metric where steps of every modality are lost, or what is lost of it at a rate.

    Args:
        name: of the set.
        method: its label.
        which: ``mean`` over the rates 0 to 0.9, a rate such as ``0.5``, or ``drop``: what the mean is below complete data, with its interval.
    """
    row = _rates(name).loc[(method, f"random-frames@{which}" if which[0].isdigit() else _COMPARED["lost"])]
    percent = row["unit"] == "fraction"
    if which != "drop":
        return _number(float(row["mean"]), percent)
    if row["tasks"] > 1:
        raise KeyError(f"the intervals of {row['tasks']} tasks are not that of their mean")
    ends = ", ".join(_number(float(row[f"drop_{end}"]), percent, sign=True) for end in ("low", "high"))
    return f"{_number(float(row['drop']), percent, sign=True)} [{ends}]"


def told(name: str, side: str, condition: str = "clean", which: str = "", correction: str = "") -> str:
    """The methods that are told apart from ``erm`` by the p-value of the gain.

    Args:
        name: of the set.
        side: ``better`` or ``worse``.
        condition: of ``_COMPARED``.
        which: the metric, or ``main``.
        correction: ``holm`` corrects for the number of methods; empty: none is corrected for.

    Returns:
        The methods, the largest gain first, or ``none``. Those that are better have their gains.
    """
    which = "" if which == "main" else which
    frame = _against(name, which).loc[_COMPARED[condition]].xs("erm", level="reference")
    p = frame["p"].to_numpy()
    sign = 1 if side == "better" else -1
    apart = frame[((holm(p) if correction else p) < _LEVEL) & (sign * frame["gain"] > 0)]
    labels = [str(one) for one in apart.sort_values("gain", ascending=False).index]
    gains = [f" {gain(name, one, 'erm', condition, which)}" if side == "better" else "" for one in labels]
    return ", ".join(f"`{one}`{gained}" for one, gained in zip(labels, gains, strict=True)) or "none"


def order(name: str, which: str, condition: str = "clean") -> str:
    """Spearman's correlation of our means with what was published for the same dataset with any number of modalities.

    Args:
        name: of the set, which has one task.
        which: the metric.
        condition: of ``_COMPARED``.

    Returns:
        The correlation and the number of methods, such as ``+0.31 over 12 methods``.
    """
    task = _whole(name)["task"].iloc[0]
    published = {
        one.method: one.value
        for one in numbers()
        if (one.dataset, one.condition, one.metric) == (task, _COMPARED[condition], which)
    }
    if condition == "clean":
        ours = _whole(name, which)["mean"]
    else:
        ours = _rates(name)["mean"].xs(_COMPARED[condition], level="condition")
    both = pd.DataFrame({"ours": ours, "published": pd.Series(published)}).dropna().rank().to_numpy()
    return f"{np.corrcoef(both.T)[0, 1]:+.2f} over {len(both)} methods"


def verdicts(name: str) -> str:
    """What ``mmbench findings`` answers to each of its questions."""
    text = (HERE / name / "findings.md").read_text(encoding="utf-8")
    found = re.findall(r"^\*\*(\w+) (.*?)\*\* \*(.*?)\*:", text, flags=re.MULTILINE)
    return " ".join(f"{number} {question} *{answer}*." for number, question, answer in found)


def rows(name: str) -> str:
    """How many methods there are beside ``erm``."""
    return str(len(_summary(name).drop("erm")))


def seeds(name: str) -> str:
    """How many networks a method has, such as ``3`` or ``2 to 3``."""
    counts = sorted({*_summary(name)["n"]})
    return " to ".join(dict.fromkeys(map(str, (counts[0], counts[-1]))))


def best(name: str, column: str = "clean") -> str:
    """The method with the best mean in a column. Arguments as ``value``."""
    heading = _heading(name, column.replace("_", " "))
    ranked = _summary(name).sort_values(heading, ascending=heading.endswith(_LOWER))
    return f"`{ranked.index[0]}`"


def table(name: str, *further: str) -> str:
    """Methods by columns, best first: the main metric with its interval, what is not told apart from the best, the gain over ERM.

    Args:
        name: of the set.
        *further: metrics that stand beside the main one, with their intervals.
    """
    summary = _summary(name)
    headings = {part: _heading(name, part) for part in _COLUMNS if _heading(name, part, False)}
    title = _heading(name, "clean").replace(", clean", "")
    beside = [
        f"{one} {_LOWER if _whole(name, one)['direction'].iloc[0] == 'lower' else '↑'}" for one in further
    ]
    rates = not _rates(name).empty
    # Of one modality nothing can be missing.
    gains = {"missing": "missing, mean" in headings, "lost": rates}
    head = ["method", "n", title, *beside, "gain over ERM", *(_COLUMNS[part] for part in headings)]
    head += ["lost steps"] if rates else []
    head += [_GAINS[condition] for condition, there in gains.items() if there]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for method in summary.index:
        row = [f"`{method}`", str(summary.loc[method, "n"])]
        row.append(value(name, method) + _mark(name, method))
        row += [metric(name, method, one) for one in further]
        row.append(_gain(name, method, "clean"))
        row += [_shown(float(summary.loc[method, heading]), heading) for heading in headings.values()]
        row += [lost(name, method)] if rates else []
        row += [_gain(name, method, condition) for condition, there in gains.items() if there]
        rows.append(row)
    return _as_table(rows)


def _as_table(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def samples(name: str) -> str:
    """How many test samples there are."""
    return str(_whole(name)["samples"].iloc[0])


def time(name: str) -> str:
    """How many networks and estimators were fitted, and how long that took."""
    times = pd.read_csv(HERE / name / "time.csv")
    return f"{times['jobs'].sum()} in {times['seconds'].sum() / 60:.0f} minutes"


def write_page() -> None:
    """Renders the page from its template."""
    PAGE.write_text(render(TEMPLATE.read_text(encoding="utf-8")), encoding="utf-8")


def _gain(name: str, method: str, condition: str) -> str:
    try:
        return gain(name, method, "erm", condition)
    except KeyError:
        return "—"


def _mark(name: str, method: str) -> str:
    row = dict(_whole(name).loc[method])
    row[WITHIN_MARGIN] = str(row.get(WITHIN_MARGIN)) == "True"  # however pandas read the column
    return {"tied": " ≈", "best": " *"}.get(shown_mark(row), "")


@cache
def _summary(name: str) -> pd.DataFrame:
    frame = pd.read_csv(HERE / name / "summary.csv")
    fair = frame[~frame["protocol"].str.contains("upper bound")]
    return fair.set_index("method").dropna(axis=1, how="all")


def _whole(name: str, which: str = "") -> pd.DataFrame:
    """Method -> its row of a metric, by default the main one: on its task, or the mean over several tasks."""
    if (HERE / name / "targets.csv").exists():
        return _targets(name, which, OVER_TARGETS)
    frame = pd.read_csv(HERE / name / "accuracy.csv")
    first = frame.loc[frame["metric"] == (which or frame["metric"].iloc[0])]
    fair = first.loc[~first["protocol"].str.contains("upper bound")].drop_duplicates("method", keep=False)
    return fair.set_index("method")


@cache
def _targets(name: str, which: str, condition: str) -> pd.DataFrame:
    """Method -> its row of a metric, by default the main one, on one of several targets or over all of them."""
    frame = pd.concat(map(pd.read_csv, sorted((HERE / name).glob("targets*.csv"))))
    wanted = frame["metric"] == (which or pd.read_csv(HERE / name / "targets.csv")["metric"].iloc[0])
    return frame[wanted & (frame["condition"] == condition)].set_index("method")


@cache
def _against(name: str, which: str = "") -> pd.DataFrame:
    frame = pd.read_csv(HERE / name / "against.csv")
    of_metric = frame[frame["metric"] == (which or frame["metric"].iloc[0])]
    return of_metric.set_index(["condition", "method", "reference"]).sort_index()


@cache
def _rates(name: str) -> pd.DataFrame:
    """Means over tasks where steps are lost at rates; nothing where that was not tested."""
    file = HERE / name / "rates.csv"
    columns = ["method", "condition", "unit", "mean", "drop", "drop_low", "drop_high"]
    frame = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=columns)
    frame = frame.assign(tasks=1).groupby(["method", "condition"], sort=False)
    return frame.agg({"unit": "first", "tasks": "sum"} | dict.fromkeys(columns[3:], "mean"))


def _percent(name: str) -> bool:
    return "%" in _heading(name, "clean")


def _heading(name: str, part: str, needed: bool = True) -> str:
    found = [heading for heading in _summary(name).columns if part in heading]
    if not found and needed:
        raise KeyError(f"summary.csv of {name} has no column with {part!r}")
    return found[0] if found else ""


def _number(number: float, percent: bool, sign: bool = False) -> str:
    """A number of a table of scores; shares stand there as such."""
    plus = "+" if sign else ""
    return f"{100 * number:{plus}.1f}" if percent else f"{number:{plus}.3f}"


def _shown(number: float, heading: str) -> str:
    """A number of the summary, where shares stand in percent."""
    if pd.isna(number):
        return "—"
    digits = 1 if "%" in heading else 0 if heading.startswith("training s") else 3
    return f"{number:.{digits}f}"


if __name__ == "__main__":
    write_page()
