"""Encoders whose weights are trained along: the last block, all of them, or low-rank adapters."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from torch import nn
from torch.utils.checkpoint import checkpoint

from ..libraries import import_guard
from ..media.clip import Medium, View
from .encoder import Encoded, EncoderError, Media
from .network import Network

Mode = Literal["last", "full", "lora"]
#: Where the libraries keep a network's blocks, first to last.
BLOCKS = (
    "encoder.transformer.layers",  # torchaudio
    "encoder.layer",  # transformers: BERT and its kin
    "encoder.layers",
    "transformer.layer",
    "layers",  # transformers: Whisper, AST; timm: Swin
    "blocks",  # timm: ViT, EfficientNet
    "stages",  # timm: ConvNeXt
)
#: The layers of attention that make queries and values, as the libraries call them (LoRA, arXiv 2106.09685, sec. 4.2).
ATTENTION = (
    "query",
    "value",
    "q_proj",
    "v_proj",
    "query_proj",
    "value_proj",
    "q_lin",
    "v_lin",
    "qkv",
    "Wqkv",
)


@runtime_checkable
class Tunable(Protocol):
    """An encoder that is a network: all but the fixed transforms."""

    medium: Medium
    view: View
    width: int
    network: Network

    def features(self, media: Media) -> Encoded:
        """Features, with gradients where they are enabled."""
        ...


class Trained(nn.Module):
    """An encoder as a module that is trained along: media -> features, with gradients.

    It takes over the encoder's network and changes it in place: make the encoder anew for another use. In training mode
    the parts that are trained drop out as they were made to; the rest stays in evaluation mode, and so does every batch
    norm: its running statistics stay as they are, since batches of clips are small. Precision is the caller's
    (autocast), not the encoder's, where gradients are wanted.

    Attributes:
        medium, view, width: as the encoder's.
        mode: ``last``: the last block (of a ResNet the last stage); ``full``: everything; ``lora``: low-rank adapters
            of the queries and values of attention, which change nothing until they are trained.
        module: the network.
        only_tensors_change: true: parameters and buffers are all that training changes in it, so that a checkpoint
            needs nothing else of it.
    """

    only_tensors_change = True

    def __init__(self, encoder: Tunable, mode: Mode, rank: int = 8, checkpointing: bool = False) -> None:
        """Makes an encoder trainable.

        Args:
            encoder: as ``make`` gives it.
            mode: see above.
            rank: of the adapters; their output is scaled by 2, whatever the rank.
            checkpointing: keep a block's inputs alone for the way back, and compute the rest again: less memory, a
                third more time.

        Raises:
            EncoderError: an encoder without weights, or a network that a mode does not fit.
        """
        super().__init__()
        if not isinstance(encoder, Tunable):
            raise EncoderError(
                f"encoder {type(encoder).__name__} is a fixed transform: there is nothing to train"
            )
        if mode not in get_args(Mode):
            raise EncoderError(f"encoders are trained in mode {', '.join(get_args(Mode))}, not {mode!r}")
        self.encoder = encoder
        self.medium, self.view, self.width = encoder.medium, encoder.view, encoder.width
        self.mode = mode
        self.module = encoder.network.module
        blocks = find_blocks(self.module)
        if mode == "lora":
            _adapt(self.module, rank)
        elif mode == "full":
            self.module.requires_grad_(True)
        else:
            _last(self.module, blocks).requires_grad_(True)
        self._trained = (
            _last(self.module, blocks) if mode == "last" else self.module,
        )  # not registered twice
        if checkpointing:
            if not blocks:
                raise EncoderError(
                    f"{type(self.module).__name__} has no known blocks to recompute: no checkpointing"
                )
            for block in blocks if mode != "last" else blocks[-1:]:
                block.forward = partial(checkpoint, block.forward, use_reentrant=False)
        self._adapters_read = mode != "lora"  # not known before the first clips
        self.train(self.training)

    def forward(self, media: Media) -> Encoded:
        """Features [batch, time, feature], float32, and their lengths, on the network's device."""
        self.encoder.network.device = next(self.module.parameters()).device
        if self._adapters_read:
            return self.encoder.features(media)
        read: set[nn.Module] = set()
        hooks = [
            layer.register_forward_hook(lambda layer, *_: read.add(layer))
            for layer in _adapter_layers(self.module)
        ]
        encoded = self.encoder.features(media)
        for hook in hooks:
            hook.remove()
        if len(read) < len(hooks):
            raise EncoderError(
                f"{type(self.module).__name__} reads the weights of its attention past the layers, so low-rank adapters "
                "there change nothing: train it in mode last or full"
            )
        self._adapters_read = True
        return encoded

    def train(self, mode: bool = True) -> Trained:
        """Training mode for what is trained, evaluation mode for the rest."""
        self.training = mode
        self.module.eval()
        (trained,) = self._trained
        trained.train(mode)
        for part in trained.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.eval()
        return self

    def groups(self, rate: float, share: float = 0.1, decay: float = 0.01) -> list[dict[str, Any]]:
        """Groups of parameters for an optimiser: the trained ones, at a share of the other networks' learning rate.

        Biases and the weights of normalisations, which have one dimension, do not decay. An empty group is left out.

        Args:
            rate: learning rate of the other networks.
            share: factor on it.
            decay: weight decay.
        """
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        options = {"lr": rate * share}
        groups = [
            {"params": [item for item in trained if item.ndim > 1], "weight_decay": decay, **options},
            {"params": [item for item in trained if item.ndim <= 1], "weight_decay": 0.0, **options},
        ]
        return [group for group in groups if group["params"]]


def find_blocks(module: nn.Module) -> list[nn.Module]:
    """The blocks of a network, first to last; of a ResNet its stages; empty where none are known."""
    for path in BLOCKS:
        with contextlib.suppress(AttributeError):
            blocks = module.get_submodule(path)
            if isinstance(blocks, (nn.ModuleList, nn.Sequential)) and len(blocks):
                return list(blocks)
    return [
        getattr(module, name) for name in ("layer1", "layer2", "layer3", "layer4") if hasattr(module, name)
    ]


def _last(module: nn.Module, blocks: list[nn.Module]) -> nn.Module:
    if not blocks:
        raise EncoderError(f"{type(module).__name__} has no known last block: train it in mode full")
    return blocks[-1]


def _adapter_layers(module: nn.Module) -> list[nn.Module]:
    with import_guard("peft", "training of low-rank adapters"):
        from peft.tuners.lora import LoraLayer

    return [part for part in module.modules() if isinstance(part, LoraLayer)]


def _adapt(module: nn.Module, rank: int) -> None:
    with import_guard("peft", "training of low-rank adapters"):
        from peft import LoraConfig, inject_adapter_in_model
    if rank < 1:
        raise EncoderError(f"the rank of adapters is {rank}: should be 1 or more")
    names = [
        name
        for name, part in module.named_modules()
        if isinstance(part, nn.Linear) and name.rpartition(".")[2] in ATTENTION
    ]
    if not names:
        raise EncoderError(
            f"{type(module).__name__} has no attention to adapt: train it in mode last or full"
        )
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names), module)
