"""The weights of a network: what of them is kept, and as the bytes of a safetensors file, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ...methods.method import Method
from ..store.names import StoreError
from ..store.weights_header import JOB, job_of


def kept_state(method: Method) -> dict[str, Tensor]:
    """What of a network's state is copied, stored and restored, by name; the network's own tensors, no copies."""
    kept = set(method.kept())
    return {name: value for name, value in method.state_dict().items() if name in kept}


def trained_share(method: Method) -> float:
    """The share of a network's numbers that are trained. Of weights of four bits those are counted that they stand for,
    as two of them are packed into a byte."""
    sizes = {
        one: math.prod(getattr(getattr(one, "quant_state", None), "shape", one.shape))
        for one in method.parameters()
    }
    return sum(size for one, size in sizes.items() if one.requires_grad) / max(sum(sizes.values()), 1)


def load_kept(method: Method, state: Mapping[str, Tensor]) -> None:
    """Loads what ``kept_state`` gave, of this or an equal network.

    Args:
        method: the network, which is changed.
        state: the state by name; the rest of the network stays as it is.

    Raises:
        RuntimeError: a tensor is missing, is one too many, or has another shape.
    """
    kept = set(method.kept())
    if kept == method.state_dict().keys():
        method.load_state_dict(state)
        return
    if wrong := kept ^ state.keys():
        raise RuntimeError(f"missing or unknown in the state: {', '.join(sorted(wrong)[:5])}")
    method.load_state_dict(state, strict=False)


def save_weights(method: Method, job_id: str = "") -> bytes:
    """The state of a network as a safetensors file. Tensors that share memory are each stored in full.

    Args:
        method: the network.
        job_id: of the job that trained it, which the file then says.

    Returns:
        The bytes of the file.
    """
    state = {name: tensor.detach().cpu().clone() for name, tensor in kept_state(method).items()}
    return save(state, {JOB: job_id} if job_id else None)


def load_weights(method: Method, content: bytes, job_id: str = "") -> None:
    """Loads the state that ``save_weights`` wrote into a network.

    Args:
        method: the network, which is changed.
        content: the bytes of the file.
        job_id: of the job whose weights they should be; empty where that is not known.

    Raises:
        StoreError: the content is no safetensors file, or holds the state of another network or job.
    """
    owner = job_of(content)
    if owner and job_id and owner != job_id:
        raise StoreError(
            f"the stored weights are those of the job {owner}, not of {job_id}: delete it and run again"
        )
    try:
        load_kept(method, load(content))
    except (RuntimeError, SafetensorError) as error:
        raise StoreError(f"the stored weights do not fit the method: {str(error).splitlines()[0]}") from None
