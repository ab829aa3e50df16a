"""Corruptions by the names that users give: kinds and groups of them; and which modalities each can break."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...corruptions import GROUPS, PARTS
from ...corruptions.families import MASK
from ...datasets.dataset import Located
from ...datasets.layout.description import Description
from ..core.errors import UsageError, nearest
from ..core.registry import Entry, entries

#: The corruption that is in the predictions of every job.
ALWAYS = "missing"
#: The group beside whose kinds a user can ask for rates of single modalities: ``missing-rates(text=0.3,audio=0.7)``.
OWN_RATES = "missing-rates"
#: How they are written; its first group are the rates.
OWN_RATES_FORM = re.compile(rf"{OWN_RATES}\((.*)\)")
#: The groups of corruptions that break features, whatever they were made of.
ON_FEATURES = (
    "missing", "features", "missing-entries", "missing-rates", "imbalanced-rates", "conflict", "missing-not-at-random",
    "reliability",
)  # fmt: skip
#: What raw media are -> what a corruption must say that it breaks. Flow is what no camera sees: nothing breaks it.
BROKEN_AS = {"frames": "frames", "waveform": "waveform", "text": "words"}


def corruption_entries(names: Sequence[str], plugins: tuple[Path, ...] = ()) -> list[Entry]:
    """The corruptions that names stand for.

    Args:
        names: each a kind, or a group (see ``group_of``). ``mask:NAME``, which names a table, stands for none.
        plugins: files that bring corruptions.

    Raises:
        UsageError: an unknown name; the message names the nearest known ones.
    """
    known, members = _corruptions(plugins), corruption_groups(plugins)
    chosen: list[Entry] = []
    for name in names:
        if name in known:
            chosen.append(known[name])
        elif name in members:
            chosen.extend(members[name])
        elif name != ALWAYS and not name.startswith(MASK) and OWN_RATES_FORM.fullmatch(name) is None:
            raise UsageError(f"unknown corruption {name!r}: {nearest(name, [*members, *known])}")
    return list(dict.fromkeys(chosen))


def corruption_groups(plugins: tuple[Path, ...] = ()) -> dict[str, list[Entry]]:
    """Name of a group of corruptions -> its kinds."""
    groups: dict[str, list[Entry]] = {}
    for entry in _corruptions(plugins).values():
        groups.setdefault(group_of(entry), []).append(entry)
    for name, (whole, without) in PARTS.items():
        groups[name] = [entry for entry in groups.get(whole, []) if entry.name not in without]
    return groups


def group_of(entry: Entry) -> str:
    """The group of a corruption: as ``corruptions.GROUPS`` names it; of a plug-in, the last part of its module's name
    or the name of its file."""
    if entry.origin == "mmbench":
        return next(name for name, kinds in GROUPS.items() if entry.name in kinds)
    stem = Path(entry.module).stem if entry.is_file else entry.module.rpartition(".")[2]
    return stem.replace("_", "-")


def _corruptions(plugins: tuple[Path, ...]) -> dict[str, Entry]:
    return {name: entry for name, entry in entries("corruption", plugins).items() if name != ALWAYS}


def media_of(located: Located) -> dict[str, str]:
    """Modality -> kind of the raw media that its features were encoded from; modalities of unknown origin are left out."""
    description = getattr(located, "description", None)
    origin = description.media if isinstance(description, Description) else None
    return {} if origin is None else {name: one.medium for name, one in origin.modalities.items()}


def breaks_media(corruption: Any) -> bool:
    """Whether a corruption breaks raw media, and not features."""
    return getattr(corruption, "medium", "features") != "features"


def reaches_any_medium(corruption: Any) -> bool:
    """Whether a corruption does the same to features and to raw media, as one that takes modalities or steps away."""
    return bool(getattr(corruption, "any_medium", False))


def groups_for_media(media: Mapping[str, str], plugins: tuple[Path, ...] = ()) -> list[str]:
    """The groups of corruptions of which every kind can be tested where networks read raw media.

    Args:
        media: modality -> kind of its raw media.
        plugins: files that bring corruptions.
    """

    def fits(entry: Entry) -> bool:
        kind = entry.load()
        return reaches_any_medium(kind) or (
            breaks_media(kind) and bool(breakable_modalities(kind, media, media))
        )

    return [name for name, kinds in corruption_groups(plugins).items() if kinds and all(map(fits, kinds))]


def breakable_modalities(corruption: Any, modalities: Iterable[str], media: Mapping[str, str]) -> list[str]:
    """The modalities that a corruption can break: all, where it breaks features, else those that were encoded from
    the medium that it breaks.

    Args:
        corruption: the kind.
        modalities: their names.
        media: as ``media_of`` gives them.
    """
    if not breaks_media(corruption):
        return list(modalities)
    return [name for name in modalities if BROKEN_AS.get(media.get(name, "")) == corruption.medium]


def check_medium(corruption: Any, modalities: Iterable[str], media: Mapping[str, str] | None = None) -> None:
    """Checks that a corruption can break one of some modalities.

    Args:
        corruption, modalities, media: as of ``breakable_modalities``.

    Raises:
        UsageError: it breaks another medium.
    """
    media, modalities = media or {}, list(modalities)
    if breaks_media(corruption) and not breakable_modalities(corruption, modalities, media):
        held = [f"{name} (of {media[name]})" if name in media else name for name in modalities]
        raise UsageError(
            f"corruption {corruption.kind} breaks {corruption.medium}; the modalities here hold features: "
            f"{', '.join(held)}; see mmbench list corruptions, and mmbench data encode for features of raw media"
        )
