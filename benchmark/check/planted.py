"""The tasks that a method is checked on, and samples of which every modality tells the target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from ...datasets.batch import Batch, Spec
from ...methods.method import Method

_MOST = 64  # samples of a planted batch


def specs(kinds: Sequence[str] = ("regression", "classification")) -> Iterator[Spec]:
    """One to four modalities, one source and two: scores of one to three, classes of two and of four, where a method has but
    one of these kinds all of it, and where asked for several labels of two."""
    sizes = {"text": 6, "audio": 3, "vision": 4, "motion": 2}
    for count in range(1, 5):
        chosen = dict(list(sizes.items())[:count])
        # Others: not known.
        steps = {name: known for name, known in {"text": 5, "audio": 1}.items() if name in chosen}
        if "regression" in kinds and (count < 4 or "classification" not in kinds):
            yield Spec(
                chosen, "regression", label_range=(-3.0, 3.0), domains=1 + count % 2, steps=steps,
                train_size=_MOST, label_moments=(0.0, 1.0),
            )  # fmt: skip
        if "classification" in kinds and (count in (2, 4) or "regression" not in kinds):
            yield Spec(
                chosen, "classification", classes=3, domains=1 if count in (1, 4) else 2, steps=steps,
                train_size=_MOST, class_counts=(20, 24, 20),
            )  # fmt: skip
        if (
            "multi-label" in kinds and count == 2
        ):  # what the number of modalities decides, the other kinds show
            yield Spec(
                chosen, "multi-label", classes=3, domains=2 - count % 2, steps=steps,
                train_size=_MOST, class_counts=(44, 20, 32),
            )  # fmt: skip


def kinds_of(method_class: type[Method]) -> Sequence[str]:
    """The kinds of task that a class itself says it has a loss for."""
    return vars(method_class).get("kinds", Method.kinds)


def planted_batch(spec: Spec, count: int = 24, steps: int = 5, seed: int = 0) -> Batch:
    """Samples whose every modality tells the target, with sequences of different lengths.

    Args:
        spec: modalities and target.
        count: number of samples.
        steps: the longest sequence.
        seed: of all of it.
    """
    draw = torch.Generator().manual_seed(seed)
    latent = torch.randn(count, generator=draw)
    lengths = torch.randint(1, steps + 1, (count,), generator=draw)
    mask = torch.arange(steps).expand(count, steps) < lengths[:, None]
    features, present = {}, {}
    for name, width in spec.modalities.items():
        noise = 0.3 * torch.randn(count, steps, width, generator=draw)
        features[name] = (noise + latent[:, None, None]) * mask[..., None]
        present[name] = torch.ones(count, dtype=torch.bool)
    target = latent.clamp(-3, 3)
    if spec.kind == "multi-label":
        target = torch.stack([latent > -0.5, latent > 0.5, latent < 0], dim=1).float()
    if spec.kind == "classification":
        target = torch.bucketize(latent, torch.tensor([-0.5, 0.5]))
    batch = Batch(
        features=features,
        mask=dict.fromkeys(features, mask),
        present=present,
        target=target,
        domain=torch.arange(count) % spec.domains,
        sample_id=torch.arange(count),
        index=torch.arange(count),
    )
    return with_holes(batch, spec.partly_observed, seed) if spec.partly_observed else batch


#: One more than the largest id of planted tokens: padding, a beginning, and a word for each of six ranges of the target.
VOCABULARY = 8


def with_tokens(batch: Batch, modality: str, seed: int = 0) -> Batch:
    """The batch with token ids of a text that tell the target, one a step of its features.

    Args:
        batch: planted; it is left as it was.
        modality: the text.
        seed: of the words that say something else.
    """
    target = batch.target.float()
    edges = torch.tensor([-1.5, -0.5, 0.0, 0.5, 1.5])
    word = batch.target if not batch.target.is_floating_point() else torch.bucketize(target, edges)
    attended = batch.mask[modality] if modality in batch.mask else torch.ones(len(batch), 1, dtype=torch.bool)
    other = batch.stream(seed, "tokens").integers("words", 6, attended.shape[1])
    strays = batch.stream(seed, "tokens").uniform("strays", attended.shape[1]) < 0.2
    ids = 2 + torch.where(strays, other, word.unsqueeze(1))
    ids[:, 0] = 2 + word
    rows = torch.stack([ids, torch.ones_like(ids), torch.zeros_like(ids)], dim=1)
    return replace(batch, tokens={modality: (rows * attended.unsqueeze(1)).int()})


def with_holes(batch: Batch, modalities: Sequence[str], seed: int = 0) -> Batch:
    """The batch with a third of the entries of some modalities not observed, and with irregular times of their steps.

    Args:
        batch: to make holes in; it is left as it was.
        modalities: whose.
        seed: of both.
    """
    stream = batch.stream(seed, "holes")
    observed, time = {}, {}
    for name in modalities:
        shape = batch.features[name].shape[1:]
        observed[name] = (stream.uniform(name, *shape) >= 1 / 3) & batch.mask[name].unsqueeze(-1)
        time[name] = stream.uniform(f"time/{name}", shape[0]).cumsum(1) * batch.mask[name]
    return replace(batch.with_observed(observed), time=time)
