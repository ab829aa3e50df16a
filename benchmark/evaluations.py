"""What a trained network is tested under beyond clean and missing modalities, and its name in the store.

An evaluation is one file beside a finished job: it is added without training, and one that is there stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .errors import UsageError, nearest
from .experiment import Experiment
from .locate import locate
from .registry import Entry, entries

#: The feature that the head reads, of source training and of the test data: what scores on features are fitted on.
FEATURES = "features"
#: Is in the predictions of every job.
ALWAYS = "missing"
HOUSE = "mmbench.corruptions."


@dataclass(frozen=True)
class Evaluation:
    """One set of conditions.

    Attributes:
        kind: all severities of a corruption; the network's features; or samples of another dataset.
        subject: the corruption or the dataset.
        content: what else decides the outputs: the origin of a plug-in, the fingerprint of a dataset.
    """

    kind: Literal["corruption", "features", "ood"]
    subject: str = ""
    content: str = ""

    @property
    def name(self) -> str:
        """The stem of its file in the store."""
        if self.kind == "features":
            return FEATURES
        stem = self.subject if self.kind == "corruption" else f"ood-{self.subject}"
        return f"{stem}~{self.content[:12]}" if self.content else stem


def wanted(experiment: Experiment) -> tuple[Evaluation, ...]:
    """What an experiment asks for.

    Raises:
        UsageError: an unknown corruption or dataset.
        DataError: an out-of-distribution dataset is not there.
    """
    plugins = tuple(experiment.plugins)
    asked = [_corruption(entry) for entry in chosen(experiment.corruptions, plugins)]
    if experiment.ood:
        asked.append(Evaluation("features"))
    for name in experiment.ood:
        located = locate(name, experiment.root, experiment.data, plugins)
        asked.append(Evaluation("ood", name, located.fingerprint()))
    return tuple(dict.fromkeys(asked))


def chosen(names: Sequence[str], plugins: tuple[Path, ...] = ()) -> list[Entry]:
    """The corruptions that names mean: a kind, or a group, which is the file or folder that defines its kinds.

    Raises:
        UsageError: an unknown name; the message names the nearest known ones.
    """
    known = {name: entry for name, entry in entries("corruption", plugins).items() if name != ALWAYS}
    groups: dict[str, list[Entry]] = {}
    for entry in known.values():
        groups.setdefault(group(entry), []).append(entry)
    found: list[Entry] = []
    for name in names:
        if name in known:
            found.append(known[name])
        elif name in groups:
            found.extend(groups[name])
        elif name != ALWAYS:
            raise UsageError(f"unknown corruption {name!r}: {nearest(name, [*groups, *known])}")
    return list(dict.fromkeys(found))


def on_features(name: str) -> bool:
    """Whether a file of evaluations holds features, and not outputs under damage."""
    return name == FEATURES or name.startswith("ood-")


def group(entry: Entry) -> str:
    """``features`` for what ``corruptions/features.py`` defines, ``frames`` for what the files in
    ``corruptions/frames/`` do; the last part of any other module, the name of a plug-in file."""
    if entry.is_file:
        stem = Path(entry.module).stem
    elif entry.module.startswith(HOUSE):
        stem = entry.module.removeprefix(HOUSE).partition(".")[0]
    else:
        stem = entry.module.rpartition(".")[2]
    return stem.replace("_", "-")


def _corruption(entry: Entry) -> Evaluation:
    content = "" if entry.origin == "mmbench" else hashlib.sha256(entry.origin.encode()).hexdigest()
    return Evaluation("corruption", entry.name, content)
