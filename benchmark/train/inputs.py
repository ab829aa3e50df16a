"""What a network was made for: stored beside its weights, so that it can be given samples that no training has seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ...datasets.batch import Imputer, Spec, Tuned
from ...datasets.imputation_rules import LEARNED
from ...datasets.target import Target
from ..core.task import Task
from ..data.compatibility import Blocks
from ..data.split import TensorRecipe
from ..data.standardization import Statistics
from ..data.tensors import TaskData
from ..store.names import StoreError

#: The entry of the file's metadata that holds all but the statistics.
_ABOUT = "inputs"
#: How the names of tensors begin that an imputer has learned.
_IMPUTER = "imputer/"


@dataclass(frozen=True)
class Inputs:
    """How samples become the tensors of one network, and what its answers mean.

    Attributes:
        spec: what the method was built for.
        target: what is predicted, labels on the scale of the task.
        scale: the factor from labels of the task's target dataset to those that the network predicts.
        place: the target of the task, whose columns new samples have.
        recipe: how samples are made into tensors, on the CPU.
    """

    spec: Spec
    target: Target
    scale: float
    place: str
    recipe: TensorRecipe


def inputs_of(task: str, data: TaskData, spec: Spec) -> Inputs:
    """What a network of a task was made for.

    Args:
        task: the name of the task.
        data: its tensors, with the modalities of the network only.
        spec: what the method was built for.
    """
    own, recipe = tuple(spec.modalities), data.recipe
    statistics = recipe.statistics
    return Inputs(
        spec=spec,
        target=data.target,
        scale=float(data.test.scale[0]),
        place=Task.parse(task).target,
        recipe=TensorRecipe(
            blocks={name: recipe.blocks[name] for name in own},
            statistics=None if statistics is None else {name: statistics[name] for name in own},
            mask_padding=recipe.mask_padding,
            device="cpu",
        ),
    )


def save_inputs(inputs: Inputs) -> bytes:
    """The inputs as a safetensors file: the statistics are its tensors, the rest its metadata."""
    recipe = inputs.recipe
    about = {
        "spec": asdict(replace(inputs.spec, imputer=None)),
        "target": asdict(inputs.target),
        "scale": inputs.scale,
        "place": inputs.place,
        "blocks": {name: dict(places) for name, places in recipe.blocks.items()},
        "standardized": recipe.statistics is not None,
        "mask_padding": recipe.mask_padding,
    }
    tensors = {
        f"{part}/{start}/{modality}": values
        for modality, blocks in (recipe.statistics or {}).items()
        for start, both in blocks.items()
        for part, values in zip(("mean", "inverse"), both, strict=True)
    }
    imputer = inputs.spec.imputer
    learned = {} if imputer is None else imputer.tensors()
    tensors |= {f"{_IMPUTER}{name}": values.cpu().numpy() for name, values in learned.items()}
    # The order of modalities is that of the network, and JSON keeps it.
    return save(tensors or {"none": np.zeros(1, np.float32)}, {_ABOUT: json.dumps(about)})


def read_inputs(content: bytes, device: torch.device | str = "cpu") -> Inputs:
    """The inputs that ``save_inputs`` wrote.

    Args:
        content: the bytes of the file.
        device: where an imputer is to work.

    Raises:
        StoreError: the content is anything else.
    """
    try:
        about, tensors = json.loads(_metadata(content)[_ABOUT]), load(content)
        blocks = {name: _blocks(places) for name, places in about["blocks"].items()}
        statistics = _statistics(blocks, tensors) if about["standardized"] else None
        spec = Spec(**_with_tuples(about["spec"]))
        spec = replace(spec, tuned={name: Tuned(**known) for name, known in about["spec"]["tuned"].items()})
        if spec.imputation in LEARNED:
            spec = replace(spec, imputer=_imputer(spec, tensors, device))
        if set(spec.modalities) != set(blocks):
            raise ValueError("its modalities differ")
        return Inputs(
            spec=spec,
            target=Target(**_with_tuples(about["target"])),
            scale=float(about["scale"]),
            place=str(about["place"]),
            recipe=TensorRecipe(blocks, statistics, bool(about["mask_padding"]), "cpu"),
        )
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        reason = str(error) or type(error).__name__
        raise StoreError(f"the stored inputs are not what mmbench writes: {reason}") from None


def _imputer(spec: Spec, tensors: Mapping[str, np.ndarray], device: torch.device | str) -> Imputer:
    """What was fitted to fill entries, from the tensors of the file."""
    from .imputers import restored  # of such jobs alone

    learned = {
        name.removeprefix(_IMPUTER): torch.from_numpy(values).to(device)
        for name, values in tensors.items()
        if name.startswith(_IMPUTER)
    }
    return restored(spec, learned)


def _metadata(content: bytes) -> Mapping[str, str]:
    """The metadata of a safetensors file: its header is JSON, behind eight bytes with its length (little-endian)."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length])["__metadata__"]


def _blocks(places: Mapping[str, Any]) -> Blocks:
    return {str(name): (int(start), int(width)) for name, (start, width) in places.items()}


def _statistics(blocks: Mapping[str, Blocks], tensors: Mapping[str, np.ndarray]) -> Statistics:
    """Modality -> first column -> mean and inverse deviation, each of the width of its block."""
    found: Statistics = {}
    for modality, places in blocks.items():
        for start, width in set(places.values()):
            pair = tensors[f"mean/{start}/{modality}"], tensors[f"inverse/{start}/{modality}"]
            if any(values.shape != (width,) for values in pair):
                raise ValueError(f"statistics of {modality} are not {width} numbers")
            found.setdefault(modality, {})[start] = pair
    return found


def _with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass from JSON, which knows lists only."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
