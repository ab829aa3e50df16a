"""The manifest of exported masks: which samples, which conditions, and in which form predictions are to be returned."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ...leaderboards.metrics.families import FAMILIES
from ..core.job import OUTSIDE, Data, Job, canonical_json
from ..core.protocol import Protocol
from ..core.strings import single_line
from ..core.task import Task
from ..store.job_schema import RefusedError

MANIFEST, METHOD, MASKS, STEPS = "manifest.json", "method.json", "masks.parquet", "steps.npz"
#: What a part of the manifest does not say of the breakage.
_NOT_IDENTITY = ("id", "files", "returns", "mmbench", "values")
#: The name of the protocol of such rows in tables.
RULES = "outside mmbench"


def holds_masks(folder: Path) -> bool:
    """Whether a folder holds exported masks."""
    return os.path.lexists(folder / MANIFEST)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SplitAbout(_Strict):
    """The samples of a split: how many, and the SHA-256 of their ids."""

    samples: int
    sha256: str


class ConditionAbout(_Strict):
    """A condition, as ``breakage.Tested`` and ``breakage.digest_of``."""

    name: str
    evaluation: str
    severity: float | None
    kind: Literal["presence", "steps", "values"]
    splits: list[str]
    sha256: str


class DataAbout(_Strict):
    """As ``core.job.Data``."""

    name: str
    fingerprint: str
    format: str
    synthetic: bool


class Manifest(_Strict):
    """The content of ``manifest.json``.

    Attributes:
        id: SHA-256 over all that decides the breakage.
        damage_seed: of all random damage; that of the tests of every network.
        corruptions: what was asked for beside clean and missing modalities.
        target: kind, range or classes.
        files: name -> SHA-256 of the files that hold masks.
        values: condition -> the file with its values, where they were exported.
        returns: in which form predictions are to be returned, in words.
        mmbench: the version that wrote it.
    """

    format: Literal["mmbench masks"]
    version: Literal[1]
    id: str
    task: str
    modalities: list[str]
    data: list[DataAbout]
    protocol: dict[str, Any]
    metrics: str
    target: dict[str, Any]
    damage_seed: Literal[0]
    corruptions: list[str]
    splits: dict[str, SplitAbout]
    conditions: list[ConditionAbout]
    files: dict[str, str]
    values: dict[str, str]
    returns: dict[str, Any]
    mmbench: str

    def computed_id(self) -> str:
        """The id that follows from the rest."""
        return identity(self.model_dump())

    def job(self, method: str = "", seed: int = 0, params: Mapping[str, Any] | None = None) -> Job:
        """A job of this task, whose method was trained outside.

        Args:
            method: the name of the method.
            seed: of its training.
            params: what else is known of it.
        """
        return Job(
            task=self.task,
            method=method,
            params={**(params or {}), "masks": self.id[:16]},
            version=OUTSIDE,
            modalities=tuple(self.modalities),
            data=tuple(Data(**item.model_dump()) for item in self.data),
            protocol=self.protocol,
            seed=seed,
            label=method,
            rules=RULES,
            metrics=self.metrics,
            train_missing="not known",
            role=OUTSIDE,
        )


def identity(values: Mapping[str, Any]) -> str:
    """The id of a manifest from its values."""
    decisive = {name: value for name, value in values.items() if name not in _NOT_IDENTITY}
    return hashlib.sha256(canonical_json(decisive).encode()).hexdigest()


def parse_manifest(values: Any) -> Manifest:
    """The manifest that JSON values are.

    Raises:
        RefusedError: they are none of this version, or its id is not that of its content.
    """
    try:
        found = Manifest.model_validate(values)
        Protocol.model_validate(found.protocol)
        if Task.parse(found.task).name != found.task or found.metrics not in FAMILIES:
            raise ValueError("names no task or metrics that mmbench writes")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RefusedError(f"{MANIFEST}: {where}: {single_line(first['msg'])}") from None
    except (ValueError, TypeError) as error:
        raise RefusedError(f"{MANIFEST}: {single_line(str(error))}") from None
    if found.computed_id() != found.id:
        raise RefusedError(
            f"{MANIFEST}: was changed after it was exported: its id is not that of its content"
        )
    return found


def returns_of(kind: str, classes: int) -> dict[str, Any]:
    """In which form predictions are to be returned, in words.

    Args:
        kind: of the task.
        classes: how many there are, in classification.
    """
    outputs = {"score": "float: the predicted score, on the scale of the labels"}
    if kind == "classification":
        outputs = {f"logit_{c}": "float: logit, or logarithm of a probability" for c in range(classes)}
    return {
        "where": f"a folder with these files, in the folder of {MANIFEST}; mmbench merge FOLDER takes them",
        METHOD: {
            "masks": f"the id of {MANIFEST}",
            "method": "a name that no method of mmbench has",
            "seed": "a whole number; of the training, 0 where nothing is random",
            "params": "optional: name -> number, text or truth value",
            "train_missing": "optional: how modalities were missing in training, in words",
        },
        "predictions.parquet": {
            "rows": f"one for each row of {MASKS}, in any order; predictions.csv is read, too",
            "split": "text", "condition": "text", "sample_id": "text",
            **outputs,
            "log_variance": "optional, float: the logarithm of the predicted variance of a score",
        },
    }  # fmt: skip
