"""Writing samples in the open layout."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..atomic_write import write_atomic
from ..dataset import CONVERSATION_KEYS as KEYS
from ..dataset import SPLITS, Samples, Target, data_error, writing
from ..plain_yaml import plain_yaml_text
from .description import FILE_NAME
from .read_description import UNDIVIDED


def write_open_layout(
    folder: Path,
    splits: Mapping[str, Samples],
    target: Target,
    *,
    name: str = "",
    title: str = "",
    homepage: str = "",
    synthetic: bool = False,
    encoders: Mapping[str, str] | None = None,
    media: Mapping[str, Any] | None = None,
    beside: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    transcripts: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Writes samples as ``train.npz``, ``valid.npz``, ``test.npz`` and ``dataset.yaml``; loading the folder
    gives exactly these samples again. Without a validation part, reading draws one from the training part; samples of
    ``train`` alone are written as ``samples.npz``, as a dataset without parts.

    Each file is written under another name and renamed; the description is removed first and written last, so
    that a half-written folder is never taken for a dataset.

    Args:
        folder: where to; it is made.
        splits: split -> samples; ``valid``, or ``valid`` and ``test``, may be missing.
        target: what is predicted.
        name, title, homepage: of the dataset; an empty one is left out.
        synthetic: whether it is a stand-in.
        encoders: modality -> the encoder of its features.
        media: the description's block of that name, for features that were made of raw media.
        beside: split -> name -> a further array.
        transcripts: split -> modality -> [samples] of text, from which the regimes of conversations are read. They lie in files
            of their own, so that the fingerprint of what networks read does not depend on them.
        overwrite: whether to replace a dataset that is there.

    Returns:
        The files written, the description first.

    Raises:
        DataError: the folder holds a dataset already (and ``overwrite`` is false), or cannot be written; or a
            modality has a name that does not print.
    """
    description = folder / FILE_NAME
    if description.exists() and not overwrite:
        raise data_error(description, "", "is there already", "a folder without a dataset")
    modalities = tuple(splits[SPLITS[0]].features)
    files_of = {split: f"{split}.npz" for split in SPLITS if split in splits}
    undivided = set(files_of) == {"train"}
    if undivided:
        files_of = {"train": "samples.npz"}
    for modality in modalities:  # NUL would end the array's name inside the npz file
        if not modality.isprintable():
            raise data_error(description, "modalities", f"the name {modality!r}", "a printable name")
    task: dict[str, Any] = {"kind": target.kind, "metrics": target.metrics}
    if target.classes:
        task["classes"] = list(target.classes)
    elif target.label_range is not None:
        task["range"] = list(target.label_range)
    labelled = [m for m in modalities if all(m in splits[split].unimodal_target for split in files_of)]
    grouped = all(splits[split].group is not None for split in files_of)
    partly = [m for m in modalities if any(m in splits[split].observed for split in files_of)]
    timed = [m for m in modalities if all(m in splits[split].time for split in files_of)]
    with_tokens = [m for m in modalities if all(m in splits[split].tokens for split in files_of)]
    in_conversations = all(splits[split].utterances is not None for split in files_of)
    content = {
        **{key: value for key, value in (("name", name), ("title", title), ("homepage", homepage)) if value},
        "synthetic": synthetic,
        "file": files_of["train"] if undivided else files_of,
        "modalities": {
            m: {"array": f"features.{m}", "mask": f"mask.{m}"}
            | ({"encoder": encoders[m]} if encoders and m in encoders else {})
            | ({"observed": f"observed.{m}"} if m in partly else {})
            | ({"time": f"time.{m}"} if m in timed else {})
            | ({"tokens": f"tokens.{m}"} if m in with_tokens else {})
            for m in modalities
        },
        "task": task,
        **({"unimodal_labels": {m: f"label.{m}" for m in labelled}} if labelled else {}),
        **{key: key for key in ("label", "domain", "sample_id", "previous")},
        **({"group": "group"} if grouped else {}),
        **({"split": UNDIVIDED} if undivided else {}),
        **({"conversation": {key: f"conversation.{key}" for key in KEYS}} if in_conversations else {}),
        **({"regimes": _regimes(transcripts, undivided)} if transcripts else {}),
        **({"indices": True} if _has_numeric_names(target) else {}),
        **({"media": dict(media)} if media else {}),
    }
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        description.unlink(missing_ok=True)
        files = []
        for split, file in files_of.items():
            samples = splits[split]
            arrays: dict[str, np.ndarray] = {f"features.{m}": samples.features[m] for m in modalities}
            arrays |= {f"mask.{m}": samples.mask[m] for m in modalities}
            arrays |= {f"observed.{m}": samples.observed_entries(m) for m in partly}
            arrays |= {f"time.{m}": samples.time[m] for m in timed}
            arrays |= {f"tokens.{m}": samples.tokens[m] for m in with_tokens}
            arrays |= {"label": samples.target, "domain": samples.domain}
            arrays |= {f"label.{m}": samples.unimodal_target[m] for m in labelled}
            arrays |= {"sample_id": samples.sample_id, "previous": samples.previous}
            if grouped and samples.group is not None:
                arrays["group"] = samples.group
            said = samples.utterances
            if in_conversations and said is not None:
                parts = (said.conversation, said.order, said.speaker)
                arrays |= {f"conversation.{key}": part for key, part in zip(KEYS, parts, strict=True)}
            arrays |= beside[split] if beside else {}
            files.append(write_atomic(folder / file, partial(_save, arrays)))
            if transcripts:
                texts = folder / _texts_file(split, undivided)
                files.append(write_atomic(texts, partial(_save, transcripts[split])))
        text = plain_yaml_text(content).encode()
        return [write_atomic(description, text), *files]


def _regimes(transcripts: Mapping[str, Mapping[str, np.ndarray]], undivided: bool) -> dict[str, Any]:
    """The entry of that name."""
    names = {split: _texts_file(split, undivided) for split in transcripts}
    file = names["train"] if undivided else names
    return {m: {"transcript": {"array": m, "file": file}} for m in transcripts["train"]}


def _texts_file(split: str, undivided: bool) -> str:
    return "transcripts.npz" if undivided else f"transcripts-{split}.npz"


def _has_numeric_names(target: Target) -> bool:
    """Whether classes are called by numbers that are not their indices, so that a label could be taken for a name."""
    return any(
        name.lstrip("-").isdecimal() and name != str(index) for index, name in enumerate(target.classes)
    )


def _save(arrays: Mapping[str, Any], stream: IO[bytes]) -> None:
    np.savez(stream, **arrays)
