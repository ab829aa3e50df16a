"""Whether a dataset was encoded before from the same media in the same way. No torch here: the answer is quick."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

from ...datasets.cache.keys import content_key
from ...datasets.cache.recipe import VERSION
from ...datasets.dataset import DataError, Located
from ...datasets.encoders.spec import parse
from ...datasets.encoders.table import BROUGHT_BY, encoder_origin
from ...datasets.fingerprint import code_sha256, file_sha256
from ...datasets.layout.description import FILE_NAME
from ...datasets.layout.entries import read_yaml
from ...datasets.layout.origin import Origin, read_origin
from ...datasets.layout.read_description import read_description
from ...datasets.media.clip import MediaSet, Piece
from ..core.errors import UsageError

#: Version of what is written into a dataset; with another number, datasets are written anew.
WRITTEN = 3
#: The folder of the code that decodes and encodes.
DATASETS = Path(__file__).parents[2] / "datasets"


@dataclass(frozen=True)
class MediaSource:
    """Where raw media are found: by a name below a data root, or at the place ``path`` (empty: none was named)."""

    name: str
    root: str
    path: str = ""


def existing_origin(folder: Path, source: MediaSource, overwrite: bool) -> Origin | None:
    """Reads from which media the dataset in a folder was made.

    Args:
        folder: of the dataset.
        source: the raw data that are encoded now.
        overwrite: whether a dataset of another source may be replaced.

    Returns:
        The record in its description; None where there is no dataset, or no whole one.

    Raises:
        UsageError: a dataset of another source is there, and ``overwrite`` is false.
    """
    file = folder / FILE_NAME
    if not file.exists():
        return None
    origin = _origin(file)
    if not overwrite and (origin is None or (origin.source, origin.path) != (source.name, source.path)):
        raise UsageError(
            f"{file}: another dataset is there; write elsewhere with --to, or replace it with --overwrite"
        )
    try:
        return read_description(file).media
    except DataError:  # an array is gone, or an entry wrong
        return None


def _origin(file: Path) -> Origin | None:
    """The block ``media`` of a description, even where the rest of it is wrong."""
    try:
        content = read_yaml(file, "a dataset description")
        return read_origin(content["media"]) if isinstance(content, dict) else None
    except (DataError, ValueError, KeyError, TypeError, AttributeError):
        return None


def is_unchanged(
    before: Origin | None,
    source: MediaSource,
    media_set: MediaSet,
    texts: Mapping[str, str],
    dtype: str,
    cache: Path,
    skip_broken: bool,
    others: Located | None = None,
) -> bool:
    """Whether a dataset already holds what would be written: the same clips and contents, by the same encoders.

    Args:
        before: the record of what it was made of.
        source: how the raw data are found now.
        media_set: the clips now.
        texts: modality -> the encoder's specification as the user wrote it.
        dtype: the type that features are stored in.
        cache: where features are stored.
        skip_broken: whether the dataset may lack clips that cannot be read, and lacks those of ``MediaSet.leaks``.
        others: a dataset whose features are put beside.
    """
    if before is None or ((before.problems or media_set.faults) and not skip_broken):
        return False
    if MediaSource(before.source, before.root, before.path) != source or before.cache != str(cache.resolve()):
        return False
    if {name: one.encoder for name, one in before.modalities.items()} != dict(texts):
        return False
    return before.asked == request_digest(media_set.without_leaks(), texts, dtype, others)


def request_digest(
    media_set: MediaSet, texts: Mapping[str, str], dtype: str, others: Located | None = None
) -> str:
    """SHA-256 (hex) over the clips, the contents of their media, the encoders, and the code that runs them.

    Args:
        media_set: the clips.
        texts: modality -> the encoder's specification as the user wrote it.
        dtype: the type that features are stored in.
        others: a dataset whose features are put beside.
    """

    def content(media: Piece | str | None) -> str:
        try:
            return "" if media is None else content_key(media)
        except DataError:  # reported where it is encoded
            return "unreadable"

    request = [
        [media_set.name, media_set.title, media_set.homepage, media_set.synthetic, repr(media_set.target)],
        [
            [clip.sample_id, clip.split, clip.domain, clip.label, clip.video, clip.number]
            + [content(clip.media.get(modality)) for modality in texts]
            + ([astuple(clip.turn)] if clip.turn else [])
            + ([{"group": clip.group}] if clip.group not in ("", clip.video) else [])
            for clip in media_set.clips
        ],
        [str(problem) for problem in media_set.problems],
        [
            [modality, text, encoder_origin(parse(text).encoder), _files(_local(text))]
            for modality, text in texts.items()
        ],
        [dtype, VERSION, WRITTEN, code_sha256(DATASETS / "media", DATASETS / "encoders")],
        *([] if others is None else [others.fingerprint()]),
    ]
    return hashlib.sha256(json.dumps(request).encode()).hexdigest()


def check_encoder_code(origin: Origin, modality: str) -> None:
    """Checks that the encoder that made the features of a modality is known, and one of a plug-in has the same code.

    Args:
        origin: of which media the features were made, and how.
        modality: one of its modalities.

    Raises:
        DataError: its plug-in file or package is not there, or is another.
    """
    encoding = origin.modalities[modality]
    name = encoding.encoder.partition(",")[0].partition(":")[0].strip()
    before, now = encoding.identity.get(BROUGHT_BY, ""), encoder_origin(name)
    if before and not now:
        raise DataError(
            f"the features of {modality} were made by encoder {name} of {before}, which is needed again and not known "
            f"here: name its file with --plugin, or install the package that brings it"
        )
    if before != now:
        raise DataError(
            f"the features of {modality} were made by encoder {name} of {before or 'mmbench'}, and it is now of "
            f"{now or 'mmbench'}: bring back the earlier one, or encode again (mmbench data encode)"
        )


def _local(text: str) -> list[Path]:
    """The local files of models and weights that a specification names; a name of a hub always means the same weights."""
    spec = parse(text)
    files: list[Path] = []
    for word in (spec.model, *spec.options.values()):
        place = Path(word).expanduser()
        if word and place.exists():
            files += sorted(place.rglob("*")) if place.is_dir() else [place]
    return files


def _files(files: Iterable[Path]) -> list[str]:
    return [file_sha256(file) for file in files if file.is_file()]
