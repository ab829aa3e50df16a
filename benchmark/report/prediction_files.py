"""The prediction files of a finished job: which there are, their hashes, and what they hold.

A prediction file is hashed when it is first scored, and again when its size or time of change, or that of its
marker, is another than then: what was checked once is not read again for each table. What was read to be hashed is
parsed from memory, and the outputs of the last job are kept, as a job is scored for one table after the other.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ...leaderboards.tables.ood_sets import versioned
from ..core.atomic_files import read_json, write_json
from ..planning.evaluations import (
    FAMILY,
    FEATURES,
    IMPUTATION,
    PROBES,
    holds_diagnostics,
    holds_features,
    version_of,
)
from ..store.names import StoreError, inside
from ..store.store import Store
from ..store.weights_header import classes_of

_PREDICTIONS = "predictions.parquet"
_CHECKED = "checked.json"
#: What an evaluation consists of: its outputs, and the marker that says what was written.
_PARTS = ("parquet", "json")


def _held_by(name: str) -> str:
    """Which outputs, of ``READABLE``, an evaluation of a name holds."""
    if name == IMPUTATION:
        return "imputations"
    if name == PROBES:
        return "probes"
    if holds_diagnostics(name):
        return "diagnostics"
    return "features" if holds_features(name) else "conditions"


@dataclass(frozen=True)
class _Held:
    """What is kept of the job that was read last.

    Attributes:
        files: of the job.
        tables: what was parsed.
        contents: the files that were read to be hashed, until they are parsed.
    """

    files: PredictionFiles
    tables: dict[str, pd.DataFrame]
    contents: dict[str, bytes]


_last: list[_Held] = []


class PredictionFiles:
    """The prediction files of a finished job and their hashes.

    Args:
        store: where the job is.
        job_id: its id.
    """

    def __init__(self, store: Store, job_id: str) -> None:
        self._job = store.job(job_id)
        self.scores = os.path.join(self._job.path, "scores")
        self._digests: dict[str, str] = {}  # of this process: the tables share the files of a job

    def names(self, reads: Set[str]) -> list[str]:
        """The files that hold some outputs, of ``READABLE``; without a look into the folder where none is needed."""
        own = [_PREDICTIONS] if "predictions" in reads else []
        if not reads & {"conditions", "features", "diagnostics", "imputations", "probes"}:
            return own
        return own + [name for name in self._evaluations if _held_by(name) in reads]

    def digest(self, name: str) -> str:
        """The SHA-256 of a file. Raises StoreError where it is not what was written."""
        if name not in self._digests:
            self._digests[name] = self._checked_digest(name)
        return self._digests[name]

    @property
    def has_conditions(self) -> bool:
        """Whether there are outputs under further conditions than clean and missing modalities."""
        return bool(self.names({"conditions"}))

    @property
    def has_features(self) -> bool:
        """Whether there are features of training and test, to which those of OOD sets can be compared."""
        return FEATURES in self.names({"features"})

    @property
    def has_diagnostics(self) -> bool:
        """Whether diagnostics were asked for."""
        return bool(self.names({"diagnostics"}))

    @property
    def has_imputations(self) -> bool:
        """Whether the errors of what fills series were asked for."""
        return bool(self.names({"imputations"}))

    @property
    def has_probes(self) -> bool:
        """Whether linear probes of the encoders were asked for."""
        return bool(self.names({"probes"}))

    def classes(self) -> tuple[str, ...]:
        """The names of its classes, or labels, in the order of its logits; none where the job does not say them."""
        try:
            return classes_of(self._job.read("inputs.safetensors"))
        except StoreError:  # jobs of version 0.1 have none
            return ()

    def probes(self) -> pd.DataFrame:
        """The outputs of linear probes; without a row where the network gives no embeddings. Raises StoreError as
        ``conditions``."""
        return self._once("probes", lambda: self._all("probes"))

    def imputations(self) -> pd.DataFrame:
        """Outputs where entries were hidden, with the errors of what fills them. Raises StoreError as ``conditions``."""
        return self._once("imputations", lambda: self._all("imputations"))

    def predictions(self) -> pd.DataFrame:
        """The prediction table. Raises StoreError where it is not what was written."""
        return self._once("predictions", lambda: self._table(_PREDICTIONS).to_pandas())

    def conditions(self) -> pd.DataFrame:
        """The outputs under further conditions: of all evaluations that there were when they were first asked for, which
        are those that the hash is of. Raises StoreError where one is no longer whole: it is not left out."""
        return self._once("conditions", lambda: self._all("conditions"))

    def diagnostics(self) -> pd.DataFrame:
        """Outputs with diagnostics, under all conditions that they were asked for; without a row where the method gives
        none. Raises StoreError as ``conditions``."""
        return self._once("diagnostics", lambda: self._all("diagnostics"))

    def epochs(self) -> list[dict[str, Any]]:
        """What was noted at the end of each epoch of the training, with ``metric_name``, what its ``metric`` is, and
        ``tested``, whether its weights are tested; nothing where the record cannot be read."""
        fit = read_json(self._job.path / "fit.json")
        if not isinstance(fit, dict):
            return []
        metric, tested = fit.get("metric"), fit.get("selected_epoch")
        return [
            {**epoch, "metric_name": metric, "tested": epoch.get("epoch") == tested}
            for epoch in fit.get("epochs", ())
        ]

    def features(self) -> dict[str, pd.DataFrame]:
        """Clean outputs with features: of source training and test, and of each OOD set by its name and content. Raises
        StoreError as ``conditions``."""
        tables: dict[str, pd.DataFrame] = {}
        for name in self.names({"features"}):
            subject, content = version_of(name)
            for split, rows in self._table(name).to_pandas().groupby("split", observed=True):
                # written before sets were told near or far
                called = f"ood-{subject}" if split == "ood" else str(split)
                tables[versioned(called, content)] = rows
        return tables

    def families(self) -> dict[str, str]:
        """Kind of corruption -> family, of what the job was tested under, where the family is known."""
        families: dict[str, str] = {}
        for name in self._evaluations:
            try:
                about = pq.read_schema(self._job.path / "evaluations" / f"{name}.parquet").metadata or {}
            except (OSError, pa.ArrowException):
                continue  # who reads its outputs says what is wrong
            family = about.get(FAMILY.encode(), b"").decode(errors="replace")
            if family:
                families[name.partition("~")[0]] = family
        return families

    def _all(self, what: str) -> pd.DataFrame:
        parts = [self._table(name) for name in self.names({what})]
        try:
            return pa.concat_tables(parts, promote_options="permissive").to_pandas()
        except pa.ArrowException as error:
            raise StoreError(f"{self._job.path}: its tables do not fit together: {error}") from None

    def _once(self, what: str, read: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """What was read before, where that was of the job that was read last; nobody writes into it."""
        tables = self._held.tables
        if what not in tables:
            tables[what] = read()
        return tables[what]

    @property
    def _held(self) -> _Held:
        """What is kept of this job; of others nothing is kept from now on."""
        if not (_last and _last[0].files is self):
            _last[:] = [_Held(self, {}, {})]
        return _last[0]

    def _table(self, name: str) -> pa.Table:
        content = self._held.contents.pop(name, None)
        try:
            return pq.read_table(io.BytesIO(self._content(name) if content is None else content))
        except (pa.ArrowException, OSError) as error:
            raise StoreError(f"not a parquet file: {error}") from None

    def _content(self, name: str) -> bytes:
        """A file as it is on disk. Raises StoreError where it is not what was written."""
        return self._job.read(name) if name == _PREDICTIONS else self._job.read_evaluation(name)

    @cached_property
    def _evaluations(self) -> list[str]:
        return self._job.evaluation_names()

    @cached_property
    def _checked(self) -> Mapping[str, list]:
        record = read_json(Path(self.scores) / _CHECKED)
        return record if isinstance(record, dict) else {}

    def _checked_digest(self, name: str) -> str:
        """The hash of a file, checked against its marker if it has not been yet."""
        own = name == _PREDICTIONS
        files = (_PREDICTIONS, "done.json") if own else (f"evaluations/{name}.{part}" for part in _PARTS)
        stamp: list | None = []
        try:
            for file in files:
                status = os.stat(os.path.join(self._job.path, file))
                stamp += [status.st_size, status.st_mtime_ns]
        except OSError:
            stamp = None  # the store says what is wrong
        known = self._checked.get(name)
        if known is not None and known[:-1] == stamp:
            return known[-1]
        content = self._content(name)
        digest = hashlib.sha256(content).hexdigest()
        self._held.contents[name] = content
        if stamp is not None:
            self._checked = {**self._checked, name: [*stamp, digest]}
            with suppress(OSError, StoreError):
                os.makedirs(inside(Path(self.scores)), exist_ok=True)
                write_json(Path(self.scores) / _CHECKED, self._checked)
        return digest
