"""A folder of one's own clips: a table with a row for each clip, and a ``media.yaml`` that says what its columns are.

::

    table: clips.csv                  # or .tsv, .parquet; paths in it start at this folder
    modalities:
      video: frames                   # column `video`: the path of a video or a picture
      sound: {medium: waveform, column: wav}        # another column; `wav.start` and `wav.stop` cut, in seconds
      text: {medium: text, column: sentence}        # the text itself
      flow: flow                      # columns `flow_u` and `flow_v`; or {medium: flow, column: [a, b]}
      depth: {medium: frames, file: "depth/{sample_id}.mp4"}    # a path made of columns; two for flow
    task: {kind: classification, classes: [calm, angry]}        # or {kind: regression, range: [-3, 3]}
    label: emotion                    # the rest is optional: which column is which
    sample_id: sample_id
    split: split                      # or {column: fold, values: {dev: valid, …}}, or drawn by whole groups:
    # split: {group: speaker, shares: {train: 0.6, valid: 0.2, test: 0.2}, seed: 7}
    # split: none                     # there are no parts: the clips are divided by --folds alone
    domain: domain
    video: video_id                   # with clip: gives the previous clip as context
    clip: clip_id
    group: person                     # what must lie in one part or fold as a whole; by default the video
    conversation: {id: dialogue, order: turn, speaker: who}   # whole conversations, for methods that read them
    rows: {corpus: mine}              # only the rows of the table that have this value, or one of a list
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

from ..dataset import CONVERSATION_KEYS, NO_SPEAKER, SOMEBODY, Target
from ..layout.description import FILE_NAME as ENCODED
from ..layout.entries import Entries, nearest, read_yaml
from ..layout.read_description import UNDIVIDED
from .clip import Clip, MediaError, MediaSet, Medium, Piece, Problem, Turn
from .own_cells import (
    PLACE,
    MediaColumns,
    clip_numbers,
    cut_times,
    finite_number,
    media_cells,
    optional_column,
    read_labels,
    read_sample_ids,
)
from .own_splits import SplitEntries
from .shelf import Shelf
from .table import ClipTable, read_table

FILE_NAME = "media.yaml"
_MEDIA: tuple[Medium, ...] = get_args(Medium)
#: what a row says of a clip -> the column that says it, where ``media.yaml`` names no other
_COLUMNS = {
    "sample_id": "sample_id",
    "label": "label",
    "split": "split",
    "domain": "domain",
    "video": "video_id",
    "clip": "clip_id",
}
_KEYS = (
    *(
        "name",
        "title",
        "homepage",
        "synthetic",
        "table",
        "rows",
        "modalities",
        "task",
        "conversation",
        "group",
    ),
    *_COLUMNS,
)
_NAME = re.compile(r"[^\W_][\w.-]*")


def read_unlabelled_clips(file: Path) -> MediaSet:
    """As ``read_own``, of clips that nobody has labelled: ``task``, ``label`` and ``split`` may be missing and are not read.

    Args:
        file: the ``media.yaml``.

    Returns:
        The clips, all in ``train``, with NaN for their labels.

    Raises:
        DataError: as ``read_own``.
    """
    return _Own(file).media_set(None, labelled=False)


def read_own(file: Path, name: str | None = None) -> MediaSet:
    """Reads a ``media.yaml`` and its table, and looks which of the files are there.

    An empty cell says that the clip lacks the modality. A path without a file is a problem, as is a file beside
    them that no clip names, and a clip without any media.

    Args:
        file: the ``media.yaml``.
        name: what the set is called; by default what the file says, or the name of its folder.

    Raises:
        DataError: an unknown, missing or wrong entry or column; a cell that is no label, split, time or number; a
            sample id that is empty or given twice.
    """
    return _Own(file).media_set(name)


class _Own(Entries):
    def media_set(self, name: str | None, labelled: bool = True) -> MediaSet:
        content = read_yaml(self.file, "a description of clips")
        task = ("task",) if labelled else ()
        top = self.mapping(content, "", _KEYS, ("table", "modalities", *task))
        own_name = self.own_name(top) if "name" in top else self.file.resolve().parent.name
        table = self.chosen_rows(top, read_table(self.beside(self.string(top, "table", ""), "table")))
        sources = self.sources(top["modalities"], table)
        target = self.target(top["task"]) if labelled else Target("regression")
        if target.kind == "multi-label":
            raise self.wrong(
                "task/kind", "multi-label", "regression or classification: a clip has one label here"
            )
        read = [key for key in _COLUMNS if key != "split" and (labelled or key != "label")]
        columns = {key: self.column(top, key, table) for key in read}
        if (columns["video"] is None) != (columns["clip"] is None):
            columns |= self.drop_context(top, columns)
        ids = read_sample_ids(table, columns["sample_id"] or "")
        labels = read_labels(table, columns["label"] or "", target) if labelled else [math.nan] * len(table)
        turns: list[Turn | None] = [None] * len(table)
        if "conversation" in top:
            turns = self.turns(top["conversation"], table)
        split = top.get("split") if labelled else UNDIVIDED
        splits = SplitEntries(self.file).splits(split, table, columns["video"], turns)
        domains = optional_column(table, columns["domain"])
        videos, numbers = optional_column(table, columns["video"]), clip_numbers(table, columns["clip"])
        groups = table.column(self.name(top["group"], "group")) if "group" in top else videos
        media, problems = self.media(table, sources, ids)
        clips = (
            Clip(
                ids[row],
                splits[row],
                domains[row],
                labels[row],
                media[row],
                videos[row],
                numbers[row],
                turns[row],
                groups[row],
            )
            for row in range(len(table))
        )
        return MediaSet(
            name=name or own_name,
            modalities={one: source.medium for one, source in sources.items()},
            target=target,
            clips=tuple(clips),
            problems=tuple(problems),
            title=self.string(top, "title", ""),
            homepage=self.string(top, "homepage", ""),
            synthetic=self.flag(top, "synthetic"),
        )

    def own_name(self, top: dict[str, Any]) -> str:
        """The name of the set: its folder below the data root, and a word among others on a command line."""
        name = self.string(top, "name", "")
        if not _NAME.fullmatch(name):
            raise self.wrong("name", repr(name), "letters, digits, - _ . with a letter or digit first")
        return name

    def chosen_rows(self, top: Mapping[str, Any], table: ClipTable) -> ClipTable:
        """The rows that ``rows`` leaves; all where it is not given."""
        for column, value in self.mapping(top.get("rows", {}), "rows", table.columns).items():
            wanted = [
                self.name(one, f"rows/{column}") for one in (value if isinstance(value, list) else [value])
            ]
            known = set(table.column(column))
            for one in wanted:
                if one not in known:
                    wrong = f"no row of {table.file.name} has {one!r}{nearest(one, known)}"
                    raise self.wrong(f"rows/{column}", wrong, "a value of the column")
            table = table.where(column, wanted)
        return table

    def column(self, top: Mapping[str, Any], key: str, table: ClipTable) -> str | None:
        """The column that says ``key``; None where it may be missing and is."""
        if key in top:
            column = self.name(top[key], key)
            table.column(column)
            return column
        column = _COLUMNS[key]
        if key in ("sample_id", "label"):
            table.column(column)
        return column if column in table.columns else None

    def drop_context(
        self, top: Mapping[str, Any], columns: Mapping[str, str | None]
    ) -> dict[str, str | None]:
        """Drops the context of clips without a number; an error where somebody asked for context."""
        for key, other in (("video", "clip"), ("clip", "video")):
            if key in top and columns[other] is None:
                raise self.wrong(other, "missing", f"a column, as {key!r} is given")
        return {"video": None, "clip": None}

    def turns(self, value: object, table: ClipTable) -> list[Turn | None]:
        """Where each clip stands in a conversation."""
        entry = self.mapping(value, "conversation", CONVERSATION_KEYS, CONVERSATION_KEYS)
        id_, order, speaker = (self.name(entry[key], f"conversation/{key}") for key in CONVERSATION_KEYS)
        unknown = speaker == NO_SPEAKER and speaker not in table.columns
        voices = (SOMEBODY,) * len(table) if unknown else table.column(speaker)
        found: list[Turn | None] = []
        first: dict[tuple[str, float], int] = {}
        for row, (who, place, voice) in enumerate(
            zip(table.column(id_), table.column(order), voices, strict=True)
        ):
            for column, cell in ((id_, who), (speaker, voice)):
                if not cell:
                    raise table.wrong(row, column, "empty", "a name for each utterance")
            number = finite_number(place)
            if number is None:
                raise table.wrong(
                    row, order, repr(place) if place else "empty", "a number: its place in the conversation"
                )
            before = first.setdefault((who, number), row)
            if before != row:
                wrong = f"{place} again in conversation {who}, first in row {table.numbers[before]}"
                raise table.wrong(row, order, wrong, "each place once in a conversation")
            found.append(Turn(who, number, voice))
        return found

    def sources(self, value: object, table: ClipTable) -> dict[str, MediaColumns]:
        if not isinstance(value, dict) or not value:
            raise self.wrong("modalities", "none" if not value else repr(value), "a map from name to medium")
        return {self.modality(name): self.source(name, entry, table) for name, entry in value.items()}

    def source(self, name: str, entry: object, table: ClipTable) -> MediaColumns:
        key = f"modalities/{name}"
        entry = {"medium": entry} if isinstance(entry, str) else entry
        entry = self.mapping(entry, key, ("medium", "column", "file"), ("medium",))
        medium: Medium = entry["medium"]
        if medium not in _MEDIA:
            wrong = f"{medium!r}{nearest(str(medium), _MEDIA)}"
            raise self.wrong(f"{key}/medium", wrong, " or ".join(_MEDIA))
        if "column" in entry and "file" in entry:
            raise self.wrong(key, "column and file", "one of them")
        count = 2 if medium == "flow" else 1
        if "file" in entry:
            if medium == "text":
                raise self.wrong(f"{key}/file", "given for a text", "a column that holds the text itself")
            patterns = self.names(entry["file"], f"{key}/file", count)
            for part in (part for pattern in patterns for part in PLACE.findall(pattern)):
                table.column(part)
            return self.check_times(MediaColumns(medium, (), patterns, name), table)
        default = name if count == 1 else [f"{name}_u", f"{name}_v"]
        columns = self.names(entry.get("column", default), f"{key}/column", count)
        for column in columns:
            table.column(column)
        return self.check_times(MediaColumns(medium, columns, (), columns[0] if count == 1 else name), table)

    def names(self, value: object, key: str, count: int) -> tuple[str, ...]:
        values = value if isinstance(value, list) else [value]
        names = tuple(one for one in values if isinstance(one, str) and one)
        if len(names) != len(values) or len(names) != count:
            expected = "a name" if count == 1 else "two names, of the horizontal and of the vertical part"
            raise self.wrong(key, repr(value), expected)
        return names

    def check_times(self, source: MediaColumns, table: ClipTable) -> MediaColumns:
        known = [f"{source.times}.start", f"{source.times}.stop"]
        for column in table.columns:
            if column.startswith(f"{source.times}.") and (column not in known or source.medium == "text"):
                wrong = f"column {column!r}{nearest(column, known)}"
                expected = "no times for a text" if source.medium == "text" else " or ".join(known)
                raise self.wrong(f"modalities/{source.times}", wrong, expected)
        return source

    def media(
        self, table: ClipTable, sources: Mapping[str, MediaColumns], ids: list[str]
    ) -> tuple[list[dict[str, Piece | str]], list[Problem]]:
        """The media of every row that are there, and what is wrong with the others."""
        folder = self.file.parent
        shelf = Shelf(folder)
        rows: list[dict[str, Piece | str]] = [{} for _ in ids]
        problems: list[Problem] = []
        for name, source in sources.items():
            for row, cells in enumerate(media_cells(table, source)):
                if not any(cells):
                    continue
                if source.medium == "text":
                    rows[row][name] = cells[0]
                    continue
                if not all(cells):
                    column = source.columns[cells.index("")]
                    raise table.wrong(row, column, "empty, while its other part is given", "both or neither")
                start, stop = cut_times(table, row, source.times)
                files, missing = shelf.media(ids[row], name, [folder / cell for cell in cells])
                problems += missing
                if not missing:
                    rows[row][name] = Piece(files, start, stop)
        where = table.file.name
        problems += [Problem(ids[row], "", where, "no media") for row, media in enumerate(rows) if not media]
        for file in (self.file, table.file, folder / ENCODED):
            with suppress(MediaError):  # an array's description need not be there
                shelf.take(file)
        return rows, problems + shelf.unused_files()
