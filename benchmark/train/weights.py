"""The weights of a network as the bytes of a safetensors file, and back."""

from __future__ import annotations

from safetensors import SafetensorError
from safetensors.torch import load, save

from ...methods.method import Method
from ..store.names import StoreError


def save_weights(method: Method) -> bytes:
    """The state of a network as a safetensors file. Tensors that share memory are each stored in full."""
    return save({name: tensor.detach().cpu().clone() for name, tensor in method.state_dict().items()})


def load_weights(method: Method, content: bytes) -> None:
    """Loads the state that ``save_weights`` wrote into a network.

    Args:
        method: the network, which is changed.
        content: the bytes of the file.

    Raises:
        StoreError: the content is no safetensors file, or holds the state of another network.
    """
    try:
        method.load_state_dict(load(content))
    except (RuntimeError, SafetensorError) as error:
        raise StoreError(f"the stored weights do not fit the method: {str(error).splitlines()[0]}") from None
