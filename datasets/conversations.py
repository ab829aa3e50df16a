"""Conversations: utterances in an order, each with a speaker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import samples as make
from .dataset import CONVERSATION_KEYS as KEYS
from .dataset import Utterances, data_error


def utterances(conversation: object, order: object, speaker: object, file: Path, split: str) -> Utterances:
    """Checked places of samples in conversations.

    Args:
        conversation: [samples], names of conversations, or whole numbers.
        order: [samples], numbers.
        speaker: [samples], names of speakers, or whole numbers.
        file, split: what an error names.

    Raises:
        DataError: no names or numbers, a conversation or speaker that is empty, or an order that repeats within a
            conversation.
    """
    keys = {key: f"{split}/conversation/{key}" for key in KEYS}
    names = {
        "id": make.text(conversation, file, keys["id"]),
        "speaker": make.text(speaker, file, keys["speaker"]),
    }
    places = make.numbers(order, file, keys["order"]).astype(np.float64)
    make.check_rows({f"conversation/{key}": names.get(key, places) for key in KEYS}, file, split)
    for key, found in names.items():
        if (found == "").any():
            row = int(np.argmax(found == ""))
            raise data_error(file, keys[key], f"none (sample {row})", "a name for each utterance")
    if places.ndim != 1 or not np.isfinite(places).all():
        raise data_error(
            file, keys["order"], "not one finite number a sample", "the place in the conversation"
        )
    said = Utterances(names["id"], places, names["speaker"])
    rows = in_order(said)
    again = (said.conversation[rows][1:] == said.conversation[rows][:-1]) & (np.diff(places[rows]) == 0)
    if again.any():
        first, second = rows[int(np.argmax(again)) :][:2].tolist()
        where = f"{places[first]:g} occurs again in conversation {said.conversation[first]}"
        raise data_error(
            file,
            keys["order"],
            f"{where} (samples {first} and {second})",
            "each place once in a conversation",
        )
    return said


def in_order(said: Utterances) -> np.ndarray:
    """The rows [samples] of utterances, one conversation after the other (by name), each in its order."""
    return np.lexsort((said.order, said.conversation))


def previous_utterances(said: Utterances) -> np.ndarray:
    """For each sample the row of the utterance before it in the same conversation, int64 [samples]; -1 for the first."""
    previous = np.full(len(said.order), -1, dtype=np.int64)
    rows = in_order(said)
    same = said.conversation[rows][1:] == said.conversation[rows][:-1]
    previous[rows[1:][same]] = rows[:-1][same]
    return previous


def joined(parts: Sequence[Utterances | None]) -> Utterances | None:
    """Utterances one part after the other; None where a part states no conversations."""
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    return Utterances(
        np.concatenate([part.conversation for part in known]),
        np.concatenate([part.order for part in known]),
        np.concatenate([part.speaker for part in known]),
    )


def numbered(said: Utterances) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Conversations, places and speakers as numbers.

    Returns:
        Three int64 [samples]: the conversation, counted as they first occur; the place among all orders; and the
        speaker, counted within the conversation as they speak first.
    """
    first, inverse = np.unique(said.conversation, return_index=True, return_inverse=True)[1:]
    number = np.argsort(np.argsort(first))[inverse]
    place = np.unique(said.order, return_inverse=True)[1]
    speaker = np.zeros(len(number), dtype=np.int64)
    known: dict[tuple[int, str], int] = {}
    heard: dict[int, int] = {}
    for row in in_order(said).tolist():
        key = int(number[row]), str(said.speaker[row])
        if key not in known:
            known[key] = heard.get(key[0], 0)
            heard[key[0]] = known[key] + 1
        speaker[row] = known[key]
    return number.astype(np.int64), place.astype(np.int64), speaker
