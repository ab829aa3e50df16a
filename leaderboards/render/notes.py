"""What a table says beside its cells: its title, what figures and marks mean, and the reason of every hole."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from ..labels import FOLDS, KEYS, MARGIN, OTHERS_SEEDS, REAL, SYNTHETIC, UPPER_BOUND
from ..tables.accuracy import condition_label, data_label
from ..tables.comparisons import seeds
from .text import HOLE, TIED, UNVERIFIED, count_text, records, shown_mark


def title(frame: pd.DataFrame, subject: str) -> str:
    """A title that names the data, n, and what the interval is over.

    Args:
        frame: a tidy frame, such as ``tables.accuracy`` gives.
        subject: what the title begins with.
    """
    whole = frame.loc[frame["hole"] == ""]
    divided = whole[FOLDS] != "" if FOLDS in whole else pd.Series(False, index=whole.index)
    counts = sorted(whole.loc[~divided, "n"].unique().tolist())
    parts = ["1 seed" if counts == [1] else "/".join(map(str, counts)) + " seeds"] if counts else []
    if divided.any():
        parts += dict.fromkeys(
            count_text([row]) for row in records(whole.loc[divided].drop_duplicates([*KEYS, "method"]))
        )
    n = "n = " + ", ".join(parts) if parts else "no seed complete"
    kinds = [kind for kind in frame["interval"].unique() if kind not in ("", "none")]
    over = f", 95 % interval over {' or '.join(kinds)}" if kinds else ""
    label = data_label(frame)
    return f"{subject} ({'real data' if label == REAL else label}), {n}{over}"


def notes(frame: pd.DataFrame) -> list[str]:
    """What a reader must know beside the cells: data, what figures and marks mean, every hole's reason."""
    return [*conventions(frame), *holes(frame)]


def conventions(frame: pd.DataFrame) -> list[str]:
    """What the data are, and what figures and marks mean."""
    marks = set(frame["mark"].unique())
    out = []
    if data_label(frame) != REAL:
        out.append(f"Rows with data '{SYNTHETIC}' say nothing about the real dataset.")
    kinds = set(frame["interval"].unique())
    if kinds - {"folds", ""} or "folds" not in kinds:
        out.append(
            "mean ± standard deviation (ddof = 1) over n seeds [95 % interval over what the title names]; "
            "fractions in percent."
        )
    if "folds" in kinds:
        out.append(
            "folds: mean ± standard deviation (ddof = 1) over the folds of cross-validation, each a mean over its seeds; every "
            "metric is that of a fold's own test samples (--what folds also pools the samples). Interval and comparisons "
            "by Student's t over folds, paired, with the variance corrected for folds that share training samples, "
            "(1/k + 1/(k - 1)) s² (Nadeau and Bengio 2003); fractions in percent."
        )
    if "folds+samples" in kinds:
        out.append(
            "folds+samples: every network validates on a fold of its own and is tested on the same samples, which vary, too; the "
            "variance between networks is corrected for the training samples that they share, (1/k + 1/(k - 1)) s² (after "
            "Nadeau and Bengio 2003)."
        )
    if "seeds+samples" in kinds:
        out.append(
            "seeds+samples: the variance over the n seeds is moderated by that of the other methods of the same task, "
            "modalities, protocol and data (Smyth 2004), and by a weak prior."
        )
    if any(protocol.endswith(UPPER_BOUND) for protocol in frame["protocol"].unique()):
        out.append(
            "Rows of an upper bound (trained on the target's own training part, tested on the same samples) see the "
            "target and are never compared with others."
        )
    if "unverified" in marks:
        out.append(
            f"{UNVERIFIED} unverified: stated elsewhere and not rescored to the same number from predictions; "
            "not compared."
        )
    if marks & {"best", "tied"}:
        out.append(
            "Marked best: every other row of the same task, modalities, protocol and data that has a "
            f"value is significantly worse (paired by seed and sample, Holm, 5 %). {TIED}: the best, or not told apart from it "
            f"and within {100 * MARGIN:g} % of its value (two one-sided tests, 5 %). No mark: worse, or too few seeds to tell. "
            "A row with other seeds or samples than the best, or of one seed without others beside it, is not marked."
        )
        out += _seeds_that_would_do(frame)
    if OTHERS_SEEDS in kinds:
        out.append(
            f"{OTHERS_SEEDS}: of one seed, with the variance over seeds that the other methods of the same task, "
            "modalities, protocol and data have."
        )
    if "samples" in kinds:
        out.append(
            "samples: of one seed, where no method beside it has several. Intervals and comparisons speak of that "
            "trained network, not of its method."
        )
    return out


def _seeds_that_would_do(frame: pd.DataFrame) -> list[str]:
    """How many seeds would tell the rows apart that are neither told apart nor marked, in a line; none where all are."""
    unmarked = frame.loc[frame["mark"] == "tied"]
    if all(shown_mark(row) for row in records(unmarked)):
        return []
    needed = seeds(frame)["seeds_needed"].dropna().to_numpy(dtype=np.int64)
    more = np.unique(needed[needed > frame["n"].max()])
    if not len(more):
        return []
    span = f"{more[0]}" if len(more) == 1 else f"{more[0]} to {more[-1]}"
    return [
        f"Rows without a mark: {span} seeds would tell, were the differences seen the true ones (--what seeds)."
    ]


def holes(frame: pd.DataFrame) -> list[str]:
    """One line a hole and reason: ``"— erm on mosi (text, fair; real): 1 of 5 seeds failed (...)"``; methods that lack the same for
    the same reason are named together."""
    gone_rows = frame["hole"].ne("").to_numpy()
    if not gone_rows.any():
        return []
    names = [*KEYS, "method", "draw"]
    without = frame.loc[gone_rows, [*names, "metric", "condition", "hole"]]
    total = frame.groupby(names, sort=False).size().to_dict()
    gone: dict[tuple[tuple, str], dict[str, list[str]]] = {}
    for row in records(without):
        place = f"{row['metric']}, {condition_label(row['condition'])}"
        # What lacks under each of many conditions is said once.
        same = re.sub(r"under [^;)]+(?=[;)])", "under these", row["hole"])
        places_of = gone.setdefault((tuple(row[name] for name in names), same), {})
        places_of.setdefault(row["hole"], []).append(place)
    methods_of: dict[tuple[str, str, str, str], list[str]] = {}
    for (where, same), places_of in gone.items():
        places = [place for each in places_of.values() for place in each]
        reason = same if len(places_of) > 1 else next(iter(places_of))
        task, modalities, protocol, data, method, draw = where
        given = f"{modalities}, {protocol}{f', draw {draw}' if draw else ''}; {data}"
        some = "; ".join(places[:3]) + ("; …" if len(places) > 3 else "")
        which = "" if len(places) == total[where] else f" [{some}]"
        methods_of.setdefault((task, given, which, reason), []).append(method)
    return [
        f"{HOLE} {', '.join(methods)} on {task} ({given}){which}: {reason}"
        for (task, given, which, reason), methods in methods_of.items()
    ]
