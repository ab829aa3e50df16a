"""What a prediction for one sample costs: floating-point operations, and the time that it takes here."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils.flop_counter import FlopCounterMode

from ...datasets.batch import Batch
from ...datasets.imputation import impute
from ...methods.estimator import Estimator
from ...methods.method import Method
from .predict import without_targets

#: How many predictions are timed, after some that are not.
REPEATS, WARM_UP = 30, 3


@torch.inference_mode()
def inference_cost(method: Method, batch: Batch) -> dict[str, float]:
    """Measures predictions for the first sample of a batch, alone and with all its steps, padding included.

    Operations are those that torch's counter knows: products of matrices, convolutions and attention, two for each
    multiplication with its addition; sums, activations and norms are not counted. The time is the median of 30
    predictions on the method's device, and depends on the machine and on what else runs there.

    Args:
        method: a trained method; it is put into evaluation mode.
        batch: at least one sample, on the device of the method.

    Returns:
        ``flops_per_sample`` (not of estimators, which are no networks of torch) and ``latency_seconds``.
    """
    method.eval()
    sample = without_targets(batch.take(slice(0, 1)))
    found: dict[str, float] = {}
    if not isinstance(method, Estimator):
        with _plain_kernels(), _frozen(method), FlopCounterMode(display=False) as counter:
            method(impute(sample, method.spec))
        found["flops_per_sample"] = float(counter.get_total_flops())
    seconds = [_seconds(method, sample) for _ in range(WARM_UP + REPEATS)]
    return {**found, "latency_seconds": statistics.median(seconds[WARM_UP:])}


def _seconds(method: Method, sample: Batch) -> float:
    """Seconds of one prediction."""
    cuda = sample.sample_id.is_cuda
    if cuda:
        torch.cuda.synchronize()
    begin = time.perf_counter()
    method(impute(sample, method.spec))
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - begin


@contextmanager
def _frozen(method: Method) -> Iterator[None]:
    """Without gradients of parameters: the counter follows those that a module is given as its input, and inference has none."""
    learned = [parameter for parameter in method.parameters() if parameter.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)


@contextmanager
def _plain_kernels() -> Iterator[None]:
    """Without the fused kernels for recurrent networks and transformer layers, which the counter does not see into."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            warnings.catch_warnings(
                action="ignore", category=UserWarning
            ),  # TF32 of oneDNN, which is not touched
            torch.backends.mkldnn.flags(enabled=False),
            torch.backends.cudnn.flags(enabled=False),
        ):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
