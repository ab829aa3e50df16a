"""MPLMM's own network: MulT over time, and prompts at every step (Guo et al., ACL 2024, by github.com/zrguo/MPLMM at c6f8d18)."""

from __future__ import annotations

from itertools import combinations, permutations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .cross_modal import CrossTransformer

#: The release's dropout: of attention's weights, of what enters a transformer, of what a half of a layer adds, and behind
#: the hidden layer of the head.
ATTENTION, EMBED, RESIDUAL, OUTPUT = 0.1, 0.25, 0.1, 0.1


class PromptedMulT(nn.Module):
    """MulT on sequences of one length, each modality of which may be missing, with the three kinds of prompts of MPLMM.

    z_m = W_m x_m + the signal prompt of its state, or what is generated for it:

        x^_m = GELU(A_(m,S) [P_m; W_(m<-n) x_n for n in S]), A over the steps, one for each m and set S of what is seen.

    The memory of m is a transformer on [T_nm(z_m, z_n) over n; P_type,m sum_k s_k^T M_k], s_k being the signal prompts. What
    is read of it is the last place, which with type prompts is the last of these. Stacked means [batch, modality, ...].
    """

    def __init__(
        self, sizes: list[int], outputs: int, *, width: int, heads: int, layers: int, steps: int, prompts: int
    ) -> None:
        """Builds the network and its prompts.

        Args:
            sizes: numbers in a step of each modality.
            outputs: of the head.
            width: of a step in the network; it and the others' together are divisible by ``heads``.
            heads: of each attention.
            layers: of each transformer.
            steps: of each sequence.
            prompts: of each kind, at least 1.
        """
        super().__init__()
        count = self.count = len(sizes)
        self.width, self.steps = width, steps
        #: (what attends, what it attends to), in the order of what attends
        self.pairs = list(permutations(range(count), 2)) if count > 1 else [(0, 0)]
        size = max(count - 1, 1) * width

        def transformer(of: int) -> CrossTransformer:
            return CrossTransformer(
                of, heads, layers, attention_dropout=ATTENTION, embed_dropout=EMBED, dropout=RESIDUAL
            )

        self.tokens = nn.ModuleList(nn.Linear(read, width, bias=False) for read in sizes)
        self.cross = nn.ModuleList(transformer(width) for _ in self.pairs)
        self.memories = nn.ModuleList(transformer(size) for _ in sizes)
        self.inner, self.outer = nn.Linear(count * size, count * size), nn.Linear(count * size, count * size)
        self.out = nn.Linear(count * size, outputs)
        # What a modality tells for the generation of each other one, in the order of these.
        self.clues = nn.ModuleList(nn.Linear(read, (count - 1) * width) for read in sizes if count > 1)
        self.generative = nn.Parameter(torch.randn(count, width, prompts) / width**0.5)
        #: (missing modality, those that are seen) -> place in ``generators``
        self.sets = {
            (m, others): 0
            for m in range(count)
            for number in range(1, count)
            for others in combinations([n for n in range(count) if n != m], number)
        }
        self.sets = {key: place for place, key in enumerate(self.sets)}
        self.generators = nn.ModuleList(
            nn.Linear(prompts + len(others) * steps, steps) for _, others in self.sets
        )
        self.signal = nn.Parameter(0.02 * torch.randn(count, 2, steps, width))  # missing, present
        self.types = nn.Parameter(torch.randn(count, prompts, width) / width**0.5)
        self.keys = nn.Parameter(torch.randn(count, steps, size) / steps**0.5)

    def pretrained(self) -> tuple[nn.Module, ...]:
        """What the release loads from its first training and leaves as it is."""
        return self.cross, self.memories, self.inner, self.outer

    def read(self, modality: int, features: Tensor) -> Tensor:
        """The tokens of a modality and its clues for the others, side by side.

        Args:
            modality: its place.
            features: [batch, steps, feature].

        Returns:
            [batch, steps, modalities * width].
        """
        parts = [self.tokens[modality](features)]
        return torch.cat(
            [*parts, *(clues(features) for clues in self.clues[modality : modality + 1])], dim=-1
        )

    def generate(self, tokens: Tensor, clues: Tensor, seen: Tensor) -> Tensor:
        """The tokens, with generated ones in the place of missing modalities; as they are where nothing is seen.

        Args:
            tokens: [batch, modality, steps, width].
            clues: [batch, modality, steps, (modalities - 1) * width]; of what is not seen 0.
            seen: [batch, modality], bool.
        """
        told = clues.unflatten(-1, (-1, self.width)) if self.count > 1 else clues
        made = list(tokens.unbind(1))
        for (m, others), place in self.sets.items():
            # Of modality n the clues for m stand in place m, or one before where n itself would come first.
            parts = [told[:, n, :, m - (m > n)].mT for n in others]
            prompts = self.generative[m].expand(len(tokens), -1, -1)
            steps = F.gelu(self.generators[place](torch.cat([prompts, *parts], dim=-1))).mT
            wanted = torch.tensor([n in others for n in range(self.count)], device=seen.device)
            made[m] = steps.where((seen == wanted).all(dim=1).view(-1, 1, 1), made[m])
        return torch.stack(made, dim=1)

    def forward(
        self, encoded: Tensor, seen: Tensor, *, generation: bool, signals: bool, types: bool
    ) -> tuple[Tensor, Tensor]:
        """Raw outputs [batch, outputs], and what the head reads [batch, ...].

        Args:
            encoded: what ``read`` gives, stacked; where not seen it is never read.
            seen: [batch, modality], bool.
            generation, signals, types: whether these prompts take part; without generation a missing modality is zeros.
        """
        kept = encoded.where(seen[:, :, None, None], 0)
        tokens, clues = kept[..., : self.width], kept[..., self.width :]
        if generation:
            tokens = self.generate(tokens, clues, seen)
        said = self.signal[torch.arange(self.count, device=seen.device), seen.long()]
        if signals:
            tokens = tokens + said
        prompts: list[Tensor] = []
        if types:
            map_ = torch.einsum("bmsd,mse->bde", said, self.keys)
            prompts = [own @ map_ for own in self.types]
        every = torch.ones(len(seen), self.steps, dtype=torch.bool, device=seen.device)
        heard: list[list[Tensor]] = [[] for _ in range(self.count)]
        for (target, source), layers in zip(self.pairs, self.cross, strict=True):
            heard[target].append(layers(tokens[:, target], every, tokens[:, source], every))
        last = []
        for m, memory in enumerate(self.memories):
            sequence = torch.cat([torch.cat(heard[m], dim=-1), *prompts[m : m + 1]], dim=1)
            valid = torch.ones(sequence.shape[:2], dtype=torch.bool, device=seen.device)
            last.append(memory(sequence, valid, None, valid)[:, -1])
        fused = torch.cat(last, dim=-1)
        hidden = F.dropout(self.inner(fused).relu(), OUTPUT, self.training)
        return self.out(fused + self.outer(hidden)), fused
