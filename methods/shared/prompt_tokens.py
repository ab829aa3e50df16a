"""The prompt of a sample as token ids: a chat's user turn of media, transcript and question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ...datasets.dataset import DataError

#: Stands for what is put into the turn; of the Unicode range for private use, so that no template contains it.
_SLOT = "\ue000"


class Prompt:
    """Writes prompts for one tokenizer and one question.

    With a chat template the turn is rendered by it, with the beginning of the answer's turn after it; without one the
    prompt is the transcript, a line break, the question and a line break. What is cut where the prompt is longer than the window
    is the end of the transcript, never the question. A transcript cannot write special tokens.

    Attributes:
        end: the id that ends an answer; None where the tokenizer has none.
    """

    def __init__(self, tokenizer: Any, question: str, window: int, chat: bool = True) -> None:
        """Renders the parts of the prompt that all samples have in common.

        Args:
            tokenizer: of the transformers library.
            question: what is asked about each sample.
            window: the most tokens of a prompt.
            chat: whether a chat template is used where the tokenizer has one.
        """
        self._tokenizer = tokenizer
        self._window = window
        if chat and getattr(tokenizer, "chat_template", None):
            turns = [{"role": "user", "content": f"{_SLOT}{question}"}]
            whole = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            before, _, after = whole.partition(_SLOT)
            self._head = self._ids(before)
        else:
            after = f"{question}\n"
            empty = tokenizer("")["input_ids"]  # what the tokenizer puts around any text
            begins = getattr(tokenizer, "bos_token_id", None)
            self._head = [begins] if begins is not None and empty[:1] == [begins] else []
        self._question, self._next_line = self._ids(after), self._ids(f"\n{after}")
        self.end: int | None = tokenizer.eos_token_id

    def write(self, transcript: str, media: Sequence[int] = ()) -> list[int]:
        """The ids of a prompt.

        Args:
            transcript: what was said; empty where there is none, and then the question stands alone.
            media: the ids that stand for sound and frames.

        Raises:
            DataError: the question and the media alone are longer than the window.
        """
        words = self._ids(transcript.replace(_SLOT, ""), plain=True) if transcript.strip() else []
        after = self._next_line if words or media else self._question
        room = self._window - len(self._head) - len(media) - len(after)
        if room < 0:
            taken = self._window - room
            raise DataError(
                f"the question takes {taken - len(media)} tokens and the media {len(media)}, the window holds "
                f"{self._window}: raise the parameter longest, or take a shorter question or fewer frames"
            )
        return [*self._head, *media, *words[:room], *after]

    def answer(self, text: str) -> list[int]:
        """The ids of an answer, its end included."""
        return [*self._ids(text), *([] if self.end is None else [self.end])]

    def texts(self, ids: Tensor) -> list[str]:
        """Answers [row, token] in letters, without special tokens."""
        return self._tokenizer.batch_decode(ids, skip_special_tokens=True)

    def _ids(self, text: str, plain: bool = False) -> list[int]:
        """The ids of a text, without what the tokenizer puts around it.

        Args:
            text: the text.
            plain: read the names of special tokens as the letters that they are.
        """
        return self._tokenizer(text, add_special_tokens=False, split_special_tokens=plain)["input_ids"]


def padding_id(tokenizer: Any) -> int:
    """The id that stands at padding: the tokenizer's own, or another, as no attention reads it."""
    known = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id, 0)
    return next(int(one) for one in known if one is not None)


def pad_rows(
    rows: Sequence[Sequence[int]], side: Literal["left", "right"], fill: int
) -> tuple[Tensor, Tensor]:
    """Rows of ids as a tensor.

    Args:
        rows: at least one; each with at least one id.
        side: where short rows are filled up.
        fill: the id of padding.

    Returns:
        Ids [row, position] int64, and their mask of the same shape, bool, true where there is an id of the row.
    """
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), fill)
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for place, row in enumerate(rows):
        where = slice(longest - len(row), None) if side == "left" else slice(len(row))
        ids[place, where] = torch.tensor(row)
        mask[place, where] = True
    return ids, mask


def last_positions(mask: Tensor) -> Tensor:
    """The position of the last true entry of each row of a mask [row, position], whichever side is padded; int64 [row]."""
    return (mask.long() * torch.arange(mask.shape[1], device=mask.device)).argmax(dim=1)


def positions(mask: Tensor) -> Tensor:
    """The position of every id within its own row, int64, as the mask [row, position]; 0 at padding before it."""
    return (mask.long().cumsum(dim=1) - 1).clamp(min=0)
