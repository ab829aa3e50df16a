"""Reads a ``dataset.yaml``: its entries, checked, become a ``Description``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..dataset import CONVERSATION_KEYS, ENCODERS, NO_SPEAKER, SPLITS, VALIDATION_SHARE, Target
from .description import (
    NO_LABEL,
    SUFFIXES,
    UNITS,
    AffectRef,
    ArrayRef,
    Description,
    ModalityRef,
    ValidationPart,
)
from .entries import Entries, nearest, read_yaml
from .origin import KEYS as ORIGIN_KEYS
from .origin import Origin, read_origin

#: The value of ``split`` for data without parts.
UNDIVIDED = "none"
_MOST = 100_000  # values of a range
_AFFECT = ("valence", "arousal", "transcript", "waveform", "length")
_OPTIONAL = ("domain", "sample_id", "video", "clip", "previous", "group")
_OF_MODALITY = (
    "array",
    "file",
    "length",
    "mask",
    "padding",
    "encoder",
    "missing",
    "observed",
    "time",
    "tokens",
)
_KEYS = (
    "name", "title", "homepage", "synthetic", "file", "modalities", "task", "label", "split", "valid", "media",
    "indices", "conversation", "unimodal_labels", "regimes",
    *_OPTIONAL,
)  # fmt: skip


def read_description(file: Path) -> Description:
    """Reads and checks a ``dataset.yaml``.

    Raises:
        DataError: not there, not YAML, an unknown, missing or wrong entry, a file that does not exist.
    """
    return _Reader(file).description(read_yaml(file, "a dataset description"))


def read_unlabelled(file: Path, content: object) -> Description:
    """Checks a description of samples that may have no labels: of the entries only ``modalities`` is needed.

    Args:
        file: the ``dataset.yaml``, or the file of arrays that ``content`` is about; paths are relative to it.
        content: what the file says.

    Returns:
        The description; ``label`` is ``NO_LABEL``. Without an entry ``task`` its target has neither range nor classes.

    Raises:
        DataError: an unknown or wrong entry, or a file that does not exist.
    """
    return _Reader(file).unlabelled(content)


class _Reader(Entries):
    """Checks the entries of a ``dataset.yaml``."""

    def unlabelled(self, content: object) -> Description:
        top = self.mapping(content, "", _KEYS, ("modalities",))
        default = self.paths(top["file"], "file", ()) if "file" in top else {}
        found = Description(
            file=self.file,
            name=self.string(top, "name", self.file.resolve().parent.name),
            title=self.string(top, "title", ""),
            homepage=self.string(top, "homepage", ""),
            synthetic=self.flag(top, "synthetic"),
            modalities=self.modalities(top["modalities"], default),
            target=self.target(top["task"]) if "task" in top else Target("regression"),
            label=NO_LABEL,
            split=self.split_ref(top["split"], default) if "split" in top else None,
            optional={key: self.ref(top[key], key, default) for key in _OPTIONAL if key in top}
            | (self.conversation(top["conversation"], default) if "conversation" in top else {}),
        )
        parts = {frozenset(ref.files) for ref in found.refs() if ref is not NO_LABEL}
        if len(parts) > 1 or (found.split is not None and "" not in found.split.files):
            raise self.wrong("file", "some arrays have a file for each split, others not", "one way for all")
        if ("video" in found.optional) != ("clip" in found.optional):
            raise self.wrong("video" if "clip" in found.optional else "clip", "missing", "both or neither")
        return found

    def description(self, content: object) -> Description:
        top = self.mapping(content, "", _KEYS, ("modalities", "task", "label"))
        default = self.paths(top["file"], "file") if "file" in top else {}
        undivided = top.get("split") == UNDIVIDED
        split = self.split_ref(top["split"], default) if "split" in top and not undivided else None
        description = Description(
            file=self.file,
            name=self.string(top, "name", self.file.resolve().parent.name),
            title=self.string(top, "title", ""),
            homepage=self.string(top, "homepage", ""),
            synthetic=self.flag(top, "synthetic"),
            modalities=self.modalities(top["modalities"], default),
            target=self.target(top["task"]),
            label=self.ref(top["label"], "label", default),
            split=split,
            optional={key: self.ref(top[key], key, default) for key in _OPTIONAL if key in top}
            | (self.conversation(top["conversation"], default) if "conversation" in top else {})
            | (self.unimodal_labels(top, default) if "unimodal_labels" in top else {}),
            media=self.media(top["media"]) if "media" in top else None,
            indices="media" in top or self.flag(top, "indices"),
            undivided=undivided,
            regimes=self.regimes(top["regimes"], default) if "regimes" in top else {},
        )
        self.check_together(description)
        return replace(description, valid=self.validation(description, top.get("valid"), default))

    def check_together(self, found: Description) -> None:
        whole = [ref.array for ref in found.refs() if "" in ref.files]
        parted = [ref.array for ref in found.refs() if "" not in ref.files]
        if found.split is None and whole and not found.undivided:
            expected = f"'split', or 'file' as a map from {', '.join(SPLITS)} to files; 'split: {UNDIVIDED}' for --folds alone"
            raise self.wrong("split", f"nothing says which samples of {whole[0]!r} are which split", expected)
        if (found.split is not None or found.undivided) and parted:
            expected = "one file, or no 'split'"
            raise self.wrong("split", f"given, but {parted[0]!r} has a file for each split", expected)
        for ref in found.refs():
            if found.split is None and set(ref.files) != set(found.label.files):
                expected = "files for the same splits everywhere"
                raise self.wrong(
                    "file", f"{ref.array!r} and {found.label.array!r} differ in theirs", expected
                )
            own = len({path.resolve() for path in ref.files.values()}) == len(ref.files)
            if not own and "{split}" not in ref.array:  # with it, each split has an array of its own
                raise self.wrong("file", "one file stands for two splits", "a file for each split")
        if ("video" in found.optional) != ("clip" in found.optional):
            raise self.wrong("video" if "clip" in found.optional else "clip", "missing", "both or neither")
        if "previous" in found.optional and "video" in found.optional:
            raise self.wrong("previous", "given beside video and clip", "one of the two ways")
        if found.split is not None:
            names = found.split.values.values()
            for name in names:
                if name not in SPLITS:
                    raise self.wrong(
                        "split/values", f"unknown split {name!r}{nearest(name, SPLITS)}", ", ".join(SPLITS)
                    )
            for split in ("train", "test"):
                if names and split not in names:
                    raise self.wrong("split/values", f"no value stands for {split}", ", ".join(SPLITS))

    def conversation(self, value: object, default: Mapping[str, Path]) -> dict[str, ArrayRef]:
        entry = self.mapping(value, "conversation", CONVERSATION_KEYS, CONVERSATION_KEYS)
        return {
            f"conversation/{key}": self.ref(entry[key], f"conversation/{key}", default)
            for key in CONVERSATION_KEYS
            if key != "speaker" or entry[key] != NO_SPEAKER
        }

    def regimes(self, value: object, default: Mapping[str, Path]) -> dict[str, AffectRef]:
        if not isinstance(value, dict) or not value:
            raise self.wrong("regimes", "none" if not value else repr(value), "a map from modality to arrays")
        found = {}
        for name, entry in value.items():
            key = f"regimes/{self.modality(name)}"
            entry = self.mapping(entry, key, (*_AFFECT, "rate"))
            arrays = {
                what: self.ref(entry[what], f"{key}/{what}", default) for what in _AFFECT if what in entry
            }
            if not set(arrays) - {"length"}:
                raise self.wrong(key, "no array", "valence, arousal, transcript or waveform")
            rate = entry.get("rate")
            if ("waveform" in entry) != (rate is not None):
                raise self.wrong(f"{key}/rate", repr(rate), "the rate in Hz, with a waveform")
            if rate is not None and (
                isinstance(rate, bool) or not isinstance(rate, int | float) or rate < 1000
            ):
                raise self.wrong(f"{key}/rate", repr(rate), "the rate in Hz, 1000 or more")
            found[str(name)] = AffectRef(arrays, None if rate is None else float(rate))
        return found

    def unimodal_labels(self, top: Mapping[str, Any], default: Mapping[str, Path]) -> dict[str, ArrayRef]:
        key = "unimodal_labels"
        entry = self.mapping(top[key], key, map(str, top["modalities"]))
        return {f"{key}/{name}": self.ref(value, f"{key}/{name}", default) for name, value in entry.items()}

    def media(self, value: object) -> Origin:
        entry = self.mapping(value, "media", ORIGIN_KEYS, ORIGIN_KEYS)
        try:
            return read_origin(entry)
        except ValueError as error:
            raise self.wrong("media", str(error), "what mmbench data encode writes") from None

    def validation(
        self, found: Description, value: object, default: Mapping[str, Path]
    ) -> ValidationPart | None:
        """The validation part that is drawn: as ``valid`` says, or by default where nothing validates.

        Args:
            found: all else that the description says.
            value: of the key ``valid``; None where there is none.
            default: the files at the top.
        """
        if found.undivided:
            if value is not None:
                raise self.wrong(
                    "valid", f"given beside 'split: {UNDIVIDED}'", "no 'valid': --folds draws it"
                )
            return None
        names = found.split.values.values() if found.split else found.label.files
        stated = "valid" in names
        if value is None:
            # An array that names the splits itself is looked at when it is read.
            known = stated or (found.split is not None and not names)
            return None if known else ValidationPart(group=found.whole)
        if stated:
            raise self.wrong("valid", "given, but the split has a validation part", "one of the two")
        entry = self.mapping(value, "valid", ("share", "group"), ())
        share = entry.get("share", VALIDATION_SHARE)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
            raise self.wrong("valid/share", repr(share), "a number above 0 and below 1")
        whole = found.optional.get("conversation/id")
        group = self.ref(entry["group"], "valid/group", default) if "group" in entry else whole
        return ValidationPart(float(share), group)

    def paths(
        self, value: object, key: str, required: tuple[str, ...] = ("train", "test")
    ) -> dict[str, Path]:
        if isinstance(value, dict):
            parts = self.mapping(value, key, SPLITS, required)
            return {split: self.path(parts[split], f"{key}/{split}") for split in SPLITS if split in parts}
        return {"": self.path(value, key)}

    def path(self, value: object, key: str) -> Path:
        if not isinstance(value, str) or not value:
            raise self.wrong(key, repr(value), "the path of a file")
        path = self.beside(value, key)
        if path.suffix.lower() not in SUFFIXES:
            raise self.wrong(key, f"{value!r} has an unknown suffix", ", ".join(SUFFIXES))
        if not path.is_file():
            raise self.wrong(key, f"{value!r} is not there", f"a file {path}")
        return path

    def ref(self, value: object, key: str, default: Mapping[str, Path]) -> ArrayRef:
        if isinstance(value, str):
            value = {"array": value}
        entry = self.mapping(value, key, ("array", "file", "values"), ("array",))
        return self.entry_ref(entry, key, default)

    def entry_ref(self, entry: Mapping[str, Any], key: str, default: Mapping[str, Path]) -> ArrayRef:
        if not isinstance(entry["array"], str):
            raise self.wrong(f"{key}/array", repr(entry["array"]), "the name of an array")
        files = self.paths(entry["file"], f"{key}/file") if "file" in entry else default
        if not files:
            raise self.wrong(key, "no file given", "an entry 'file' here or at the top")
        values = entry.get("values", {})
        if not isinstance(values, dict):
            raise self.wrong(f"{key}/values", repr(values), "a map from value to name")
        named = {
            self.name(old, f"{key}/values"): self.name(new, f"{key}/values") for old, new in values.items()
        }
        return ArrayRef(entry["array"], files, named)

    def split_ref(self, value: object, default: Mapping[str, Path]) -> ArrayRef:
        """The split's array, where ``0-39: train`` stands for 40 values."""
        ref = self.ref(value, "split", default)
        values: dict[str, str] = {}
        for old, new in ref.values.items():
            first, _, last = old.partition("-")
            numbers = all(end.isdecimal() and len(end) < 19 for end in (first, last))
            numbers = numbers and 0 <= int(last) - int(first) < _MOST
            if len(values) + (int(last) - int(first) if numbers else 0) > _MOST:
                raise self.wrong("split/values", f"more than {_MOST} values", "fewer values")
            for one in map(str, range(int(first), int(last) + 1)) if numbers else (old,):
                if one in values:
                    raise self.wrong("split/values", f"value {one!r} is given twice", "each value once")
                values[one] = new
        return replace(ref, values=values)

    def modalities(self, value: object, default: Mapping[str, Path]) -> dict[str, ModalityRef]:
        if not isinstance(value, dict) or not value:
            raise self.wrong("modalities", "none" if not value else repr(value), "a map from name to array")
        refs = {}
        for name, entry in value.items():
            key = f"modalities/{name}"
            self.modality(name)
            entry = {"array": entry} if isinstance(entry, str) else entry
            entry = self.mapping(entry, key, _OF_MODALITY, ("array",))
            rules = [rule for rule in ("length", "mask", "padding") if rule in entry]
            if len(rules) > 1:
                raise self.wrong(key, " and ".join(rules), "one of them")
            if entry.get("padding", "none") not in ("none", "nonzero"):
                raise self.wrong(f"{key}/padding", repr(entry["padding"]), "nonzero or none")
            encoder = entry.get("encoder", "sequence")
            if not isinstance(encoder, str) or encoder not in ENCODERS:
                wrong = f"{encoder!r}{nearest(str(encoder), ENCODERS)}"
                raise self.wrong(f"{key}/encoder", wrong, " or ".join(ENCODERS))
            features = self.entry_ref(entry, key, default)
            found = {
                rule: self.ref(entry[rule], f"{key}/{rule}", features.files)
                for rule in ("length", "mask", "observed", "tokens")
                if rule in entry
            }
            refs[name] = ModalityRef(
                features,
                **found,
                padding=entry.get("padding"),
                encoder=encoder,
                nan=self.nan(entry, key),
                **self.times(entry, key, features.files),
            )
        return refs

    def nan(self, entry: Mapping[str, Any], key: str) -> bool:
        """Whether NaN says that an entry was not observed.

        Args:
            entry: of a modality.
            key: its place in the file.
        """
        if "missing" not in entry:
            return False
        if "observed" in entry:
            raise self.wrong(key, "missing and observed", "one of them")
        value = entry["missing"]
        if str(value).lower().removeprefix(".") != "nan":
            raise self.wrong(f"{key}/missing", repr(value), "nan")
        return True

    def times(self, entry: Mapping[str, Any], key: str, files: Mapping[str, Path]) -> dict[str, Any]:
        """The fields of a ``ModalityRef`` that say when each step was: none where nothing is said.

        Args:
            entry: of a modality.
            key: its place in the file.
            files: of its features.
        """
        if "time" not in entry:
            return {}
        key, value = f"{key}/time", entry["time"]
        value = {"array": value} if isinstance(value, str) else value
        stated = self.mapping(value, key, ("array", "file", "unit"), ("array",))
        unit = stated.get("unit", "seconds")
        if unit not in UNITS:
            raise self.wrong(f"{key}/unit", f"{unit!r}{nearest(str(unit), UNITS)}", " or ".join(UNITS))
        return {"time": self.entry_ref(stated, key, files), "unit": unit}
