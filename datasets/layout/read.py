"""Reading the arrays of the open layout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .. import conversations
from .. import samples as make
from ..counting import counted
from ..dataset import CONVERSATION_KEYS, SOMEBODY, SPLITS, Samples, Utterances, data_error
from ..token_arrays import token_rows
from ..validation import draw_validation
from .arrays import names_of, read_array
from .description import FILE_NAME, UNITS, ArrayRef, Description, ModalityRef, ValidationPart
from .observations import observed_in, seconds, valid_steps

_NAN_HINT = ", or 'missing: nan' at the modality in dataset.yaml, where NaN is an entry that was not observed"


def read_open_layout(name: str, description: Description) -> dict[str, Samples]:
    """Reads and checks every split of a dataset in the open layout.

    Args:
        name: the dataset's name, which is the domain of samples that state none.
        description: what its ``dataset.yaml`` says.

    Returns:
        Split -> samples.

    Raises:
        DataError: a file is broken, an array is missing, or what it holds is not as described.
    """
    return Loader(name, description).load()


@dataclass(frozen=True)
class _Steps:
    """What is known of the steps of a modality in a split: as the fields of ``Samples``, None where nothing is said."""

    mask: np.ndarray
    observed: np.ndarray | None
    time: np.ndarray | None
    tokens: np.ndarray | None = None


class Loader:
    """Reads the arrays that a description names, split by split."""

    def __init__(self, name: str, description: Description) -> None:
        self.name = name
        self.about = description
        # split -> rows of the one file; None where each split has its own file
        self.rows = None if self.about.split is None else self.split_rows(self.about.split)
        #: What is read: without a validation part it is drawn afterwards.
        self.splits = tuple(split for split in SPLITS if split != "valid" or self.about.valid is None)
        if self.about.undivided:
            labels, _ = read_array(self.about.label.files[""], self.about.label.array)
            self.rows, self.splits = {"train": np.arange(labels.size)}, ("train",)

    def load(self) -> dict[str, Samples]:
        """Split -> checked samples."""
        features = {name: self.read(ref.features) for name, ref in self.about.modalities.items()}
        steps = {name: self.steps(ref, features[name]) for name, ref in self.about.modalities.items()}
        targets = self.targets(self.about.label)
        unimodal = {name: self.targets(ref) for name, ref in self.about.unimodal_labels.items()}
        optional = {name: self.read(ref) for name, ref in self.about.optional.items()}
        splits = {}
        for split in self.splits:
            arrays = {name: part[split][0] for name, part in features.items()}
            found = {name: part[split] for name, part in steps.items()}
            names = {name: part[split][0] for name, part in optional.items()}
            labels = {name: part[split] for name, part in unimodal.items()}
            splits[split] = self.samples(split, arrays, found, targets[split], labels, names)
        if self.about.valid is not None:
            splits = self._with_validation(splits, self.about.valid)
        if self.about.undivided:
            nothing = make.take_rows(splits["train"], np.empty(0, np.int64))
            splits = {split: splits.get(split, nothing) for split in SPLITS}
        make.check_splits(splits, self.about.file)
        return splits

    def _with_validation(self, splits: dict[str, Samples], rule: ValidationPart) -> dict[str, Samples]:
        """The splits with a validation part that is drawn from the training part."""
        train, groups = splits["train"], None
        if len(train) < 2:
            raise data_error(self.about.file, "train", "one sample", "two or more, some of which validate")
        if rule.group is not None:
            file, key = rule.group.file_of("train"), f"train/{rule.group.array}"
            raw = self.read(rule.group)["train"][0]
            groups = make.text(names_of(rule.group, raw, file, key), file, key).tolist()
            make.check_rows(
                {"label": train.target, "valid/group": np.array(groups)}, self.about.file, "train"
            )
        try:
            classes = train.target if self.about.target.kind == "classification" else None
            drawn = draw_validation(len(train), rule.share, classes=classes, groups=groups)
        except ValueError as error:
            raise data_error(
                self.about.file, "valid/group", str(error), "two groups or more, or no group"
            ) from None
        parts = {"train": ~drawn, "valid": drawn}
        return {
            **{name: make.take_rows(train, np.flatnonzero(rows)) for name, rows in parts.items()},
            "test": splits["test"],
        }

    def samples(
        self,
        split: str,
        arrays: dict[str, np.ndarray],
        steps: dict[str, _Steps],
        target: np.ndarray,
        unimodal: dict[str, np.ndarray],
        optional: dict[str, np.ndarray],
    ) -> Samples:
        """The samples of a split.

        Args:
            split: its name.
            arrays: modality -> checked features.
            steps: modality -> what is known of its steps.
            target: the labels.
            unimodal: modality -> its own labels.
            optional: entry of the description -> the array that it names.
        """
        mask = {name: found.mask for name, found in steps.items()}
        observed = {name: found.observed for name, found in steps.items() if found.observed is not None}
        named: dict[str, np.ndarray] = {}
        said = self.utterances(split, optional)
        for name, array in optional.items():
            ref = self.about.optional[name]
            if name != "previous" and "/" not in name:
                file = ref.file_of(split)
                named[name] = make.text(
                    names_of(ref, array, file, f"{split}/{name}"), file, f"{split}/{name}"
                )
        if "domain" in named:
            check_domains(named["domain"], self.about.optional["domain"].file_of(split), split)
        parts = {
            "label": target,
            **{f"unimodal_labels/{name}": array for name, array in unimodal.items()},
            **{f"modalities/{name}": array for name, array in arrays.items()},
            **{f"modalities/{name}/length": array for name, array in mask.items()},
            **{
                f"modalities/{name}/tokens": one.tokens
                for name, one in steps.items()
                if one.tokens is not None
            },
            **named,
            **({} if said is None else {"conversation": said.conversation}),
        }
        count = make.check_rows(parts, self.about.file, split)
        return Samples(
            features=arrays,
            mask=mask,
            present=make.present(mask, observed),
            target=target,
            sample_id=self._sample_ids(split, count, named),
            domain=named.get("domain", np.full(count, self.name)),
            previous=self._previous(split, count, named, optional.get("previous"), said),
            group=self.groups(named),
            observed=observed,
            time={name: found.time for name, found in steps.items() if found.time is not None},
            utterances=said,
            unimodal_target=unimodal,
            tokens={name: found.tokens for name, found in steps.items() if found.tokens is not None},
        )

    def utterances(self, split: str, optional: dict[str, np.ndarray]) -> Utterances | None:
        """Where the samples of a split stand in conversations; None where nothing is said.

        Args:
            split: its name.
            optional: entry of the description -> the array that it names.
        """
        if not self.about.has_conversations:
            return None
        named: dict[str, np.ndarray] = {}
        for key in CONVERSATION_KEYS:
            if ref := self.about.optional.get(f"conversation/{key}"):
                where = ref.file_of(split), f"{split}/conversation/{key}"
                named[key] = names_of(ref, optional[f"conversation/{key}"], *where)
        named.setdefault("speaker", np.full(len(named["id"]), SOMEBODY))
        file = self.about.optional["conversation/id"].file_of(split)
        arrays = (named[key] for key in CONVERSATION_KEYS)
        return conversations.utterances(*arrays, file=file, split=split)

    def targets(self, ref: ArrayRef) -> dict[str, np.ndarray]:
        """Split -> checked labels; whether numbers are names of classes or indices is asked of all splits at once."""
        where = {split: (ref.file_of(split), f"{split}/{ref.array}") for split in self.splits}
        raw = {split: names_of(ref, array, *where[split]) for split, (array, _) in self.read(ref).items()}
        return {
            split: make.labels(
                array,
                self.about.target,
                *where[split],
                among=list(raw.values()),
                indices=self.about.indices,
            )
            for split, array in raw.items()
        }

    def _sample_ids(self, split: str, count: int, named: dict[str, np.ndarray]) -> np.ndarray:
        """The stated names of ``count`` samples of a split, or names made of video and clip, or of their rows."""
        if "sample_id" in named:
            return named["sample_id"]
        if "video" in named:
            pairs = zip(named["video"], named["clip"], strict=True)
            return np.array([f"{video}$_${clip}" for video, clip in pairs])
        if self.rows is not None:
            return self.rows[split].astype(str)
        return np.array([f"{split}-{row}" for row in range(count)])

    def groups(self, named: dict[str, np.ndarray]) -> np.ndarray | None:
        """The group of each sample; None where nothing is said."""
        if "group" in named or "sample_id" not in named:  # ids that are made here tell the video
            return named.get("group")
        return named.get("video")

    def _previous(
        self,
        split: str,
        count: int,
        named: dict[str, np.ndarray],
        stated: np.ndarray | None,
        said: Utterances | None,
    ) -> np.ndarray:
        """The row of the previous utterance of each of ``count`` samples of a split, by video and clip or as stated."""
        if "video" in named:
            return make.previous_rows(named["video"], named["clip"])
        if stated is None:
            return (
                np.full(count, -1, dtype=np.int64)
                if said is None
                else conversations.previous_utterances(said)
            )
        file, key = self.about.optional["previous"].file_of(split), f"{split}/previous"
        rows = make.numbers(stated, file, key)
        if rows.shape != (count,) or rows.dtype.kind not in "iu" or ((rows < -1) | (rows >= count)).any():
            raise data_error(
                file, key, "rows that are not there", f"{counted(count, 'number')} from -1 to {count - 1}"
            )
        return rows.astype(np.int64)

    def split_rows(self, ref: ArrayRef) -> dict[str, np.ndarray]:
        """Split -> rows of the one file."""
        file = ref.files[""]
        raw, _ = read_array(file, ref.array)
        names = make.text(names_of(ref, raw, file, "split"), file, ref.array)
        unknown = ~np.isin(names, SPLITS)
        if unknown.any():
            row = int(np.argmax(unknown))
            expected = f"{', '.join(SPLITS)}, or a map 'values' to them in {FILE_NAME}"
            raise data_error(file, ref.array, f"unknown split {str(names[row])!r} (sample {row})", expected)
        rows = {split: np.flatnonzero(names == split) for split in SPLITS}
        if not len(rows["valid"]) and self.about.valid is None and not ref.values:
            self.about = replace(self.about, valid=self.default_validation())
        for split, found in rows.items():
            if split == "valid" and self.about.valid is not None:
                if len(found):
                    wrong = f"{counted(len(found), 'sample')} {'validates' if len(found) == 1 else 'validate'}, and 'valid' draws others"
                    raise data_error(file, f"{ref.array}/{split}", wrong, "one of the two")
                continue
            if not len(found):
                raise data_error(file, f"{ref.array}/{split}", "no samples", "at least one")
        return rows

    def default_validation(self) -> ValidationPart:
        """A share of the training samples, by whole groups or videos where they are named."""
        return ValidationPart(group=self.about.whole)

    def read(self, ref: ArrayRef, times: bool = False) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
        """Reads an array.

        Args:
            ref: where it lies.
            times: of steps: lists of different lengths are filled up with NaN, and an array of one dimension holds for
                all samples alike.

        Returns:
            Split -> array and, for ragged lists, the valid steps.
        """
        if self.rows is None:
            return {
                split: read_array(ref.files[split], ref.array.replace("{split}", split), fill=times)
                for split in self.splits
            }
        array, steps = read_array(ref.files[""], ref.array, fill=times)
        if times and array.ndim == 1:
            return dict.fromkeys(self.splits, (array, None))
        count = sum(len(rows) for rows in self.rows.values())
        if array.ndim == 0 or len(array) != count:
            size = counted(len(array), "sample") if array.ndim else "a single value"
            raise data_error(ref.files[""], ref.array, size, f"{count}, as in the split's array")
        return {
            split: (array[self.rows[split]], None if steps is None else steps[self.rows[split]])
            for split in self.splits
        }

    def steps(
        self, ref: ModalityRef, parts: dict[str, tuple[np.ndarray, np.ndarray | None]]
    ) -> dict[str, _Steps]:
        """Checks the features of a modality, in place of the raw ones, and says what is known of their steps.

        Args:
            ref: the modality.
            parts: split -> its raw features, and the lengths of ragged rows where there are any; checked
                features take their place.

        Returns:
            Split -> which of its steps are valid, which entries were observed, and when the steps were.

        Raises:
            DataError: features, masks, times or tokens are wrong, or do not fit each other.
        """
        rule = ref.length or ref.mask
        stated = None if rule is None else self.read(rule)
        entries = None if ref.observed is None else self.read(ref.observed)
        times = None if ref.time is None else self.read(ref.time, times=True)
        tokens = None if ref.tokens is None else self.read(ref.tokens)
        steps = {}
        width = max((raw.shape[-1] for raw, _ in parts.values() if raw.ndim > 1), default=0)
        for split, (raw, ragged) in parts.items():
            file, key = ref.features.file_of(split), f"{split}/{ref.features.array}"
            if ragged is not None and not ragged.any() and 0 in raw.shape[1:]:
                raw = np.zeros((len(raw), 1, width), raw.dtype)  # no sample of the split has the modality
            array = make.shape_features(raw, file, key)
            mask = valid_steps(ref, split, array, ragged, None if stated is None else stated[split][0])
            if ragged is not None:
                mask = mask & (ragged > 0)[:, None]  # an absent list is no data, whatever else is said of it
            array = make.without_padding(array, mask)
            observed = observed_in(ref, split, array, mask, None if entries is None else entries[split][0])
            if observed is not None:
                array = np.where(observed, array, array.dtype.type(0))
            parts[split] = (make.features(array, file, key, nan_hint=_NAN_HINT), None)
            time = None
            if ref.time is not None and times is not None:
                place = ref.time.file_of(split), f"{split}/{ref.time.array}"
                time = seconds(times[split][0], mask, UNITS[ref.unit], *place)
            rows = None
            if ref.tokens is not None and tokens is not None:
                rows = token_rows(tokens[split][0], ref.tokens.file_of(split), f"{split}/{ref.tokens.array}")
            steps[split] = _Steps(mask, observed, time, rows)
        return steps


def check_domains(names: np.ndarray, file: Path, split: str) -> None:
    """Refuses domains of which some have no name: their samples would be in no task of the others.

    Args:
        names: [samples], str; all empty where the samples have no domains.
        file, split: what an error names.

    Raises:
        DataError: some names are empty, and others are not.
    """
    empty = names == ""
    if empty.any() and not empty.all():
        raise data_error(
            file, f"{split}/domain", f"sample {int(np.argmax(empty))} has an empty one", "a name"
        )
