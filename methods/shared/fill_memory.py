"""Remembers what samples were filled with, so that drawing it, which takes many passes, is not repeated every epoch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...datasets.batch import Batch
from .completion import Completion
from .placed import Fill, put

#: Bytes of fills of whole batches that are kept, the latest ones: those of validation, which comes back every epoch.
KEPT_BYTES = 256 << 20


class FillMemory:
    """Completes batches, and draws nothing twice for the same samples in the same state.

    Training samples are filled once, in order. A batch of them is put together from that where none of its samples is
    damaged. Any other batch is remembered as a whole: what a sample is filled with never depends on its batch but for
    rounding, and this way not even by that, so that an interrupted training goes on as it would have.
    """

    def __init__(self, completion: Completion) -> None:
        self._completion = completion
        self._rows: dict[int, int] = {}
        self._digests = torch.empty(0, dtype=torch.int64)
        self._train: dict[str, Fill] = {}
        self._batches: OrderedDict[bytes, dict[str, Fill]] = OrderedDict()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._rows)

    def forget(self) -> None:
        """Empties the memory, as the networks have changed."""
        self.__init__(self._completion)

    def learn(self, batches: Callable[[], Iterator[Batch]]) -> None:
        """Fills the training samples.

        Args:
            batches: gives all of them, undamaged.
        """
        self.forget()
        fills: list[dict[str, Fill]] = []
        digests, ids = [], []
        for batch in batches():
            fills.append(self._completion.fills(batch))
            digests.append(self._digest(batch))
            ids += batch.sample_id.tolist()
        # a batch in which nothing is wanted has no fill of a modality: then its samples are completed anew
        names = set.intersection(*(set(one) for one in fills)) if fills else set()
        if not ids or any(set(one) != names for one in fills):
            return
        self._rows = {one: row for row, one in enumerate(ids)}
        self._digests = torch.cat(digests)
        self._train = {name: _joined([one[name] for one in fills]) for name in names}

    def complete(self, batch: Batch, training: bool) -> Batch:
        """As ``Completion.complete``.

        Args:
            batch: the samples.
            training: whether it is one of training, which is not remembered.
        """
        digest = self._digest(batch)
        rows = self._rows_of(batch, digest)
        if rows is not None:
            return put(batch, {name: fill.take(rows) for name, fill in self._train.items()})
        if training:
            return self._completion.complete(batch)
        key = digest.cpu().numpy().tobytes()
        if key not in self._batches:
            self._batches[key] = self._completion.fills(batch)
            self._bytes += _bytes(self._batches[key])
            while self._bytes > KEPT_BYTES and len(self._batches) > 1:
                self._bytes -= _bytes(self._batches.popitem(last=False)[1])
        return put(batch, self._batches[key])

    def _rows_of(self, batch: Batch, digest: Tensor) -> Tensor | None:
        """The rows of training samples; None where a sample is none of them, or is not as it was."""
        found = [self._rows.get(one, -1) for one in batch.sample_id.tolist()] if self._rows else [-1]
        if min(found, default=-1) < 0:
            return None
        rows = torch.tensor(found, device=digest.device)
        return rows if torch.equal(self._digests[rows], digest) else None

    def _digest(self, batch: Batch) -> Tensor:
        """[batch], int64: a hash of all that a sample is filled by."""
        found = batch.sample_id.clone()
        for name in self._completion.names:
            observed = batch.observed_entries(name)
            valid = batch.mask[name] & batch.present[name].unsqueeze(-1)
            parts = [batch.features[name].float().where(observed, torch.inf), valid]
            if name in batch.time:
                parts.append(batch.time[name].float().where(valid, 0))
            for part in parts:
                whole = part.float().flatten(1).contiguous().view(torch.int32).long()
                found = found * 31 + (whole * _weights(whole.shape[1], str(whole.device))).sum(dim=1)
        return found


@cache
def _weights(count: int, device: str) -> Tensor:
    """[count], odd int64 numbers, always the same."""
    draw = torch.Generator().manual_seed(count)
    return (torch.randint(-(2**62), 2**62, (count,), generator=draw) * 2 + 1).to(device)


def _joined(parts: list[Fill]) -> Fill:
    """The fills of successive samples; all are as long as the longest."""
    steps = max(part.valid.shape[1] for part in parts)
    more = [steps - part.valid.shape[1] for part in parts]
    return Fill(
        torch.cat([pad(part.values, (0, 0, 0, gap)) for part, gap in zip(parts, more, strict=True)]),
        torch.cat([pad(part.valid, (0, gap)) for part, gap in zip(parts, more, strict=True)]),
        torch.cat([pad(part.times, (0, gap)) for part, gap in zip(parts, more, strict=True)]),
        torch.cat([part.lacking for part in parts]),
    )


def _bytes(fills: Mapping[str, Fill]) -> int:
    tensors = [one for fill in fills.values() for one in (fill.values, fill.valid, fill.times, fill.lacking)]
    return sum(one.numel() * one.element_size() for one in tensors)
