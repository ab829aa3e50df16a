"""What an estimator must do to take part, beside what all methods must."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ...methods.estimator import Estimator
from ...methods.method import Method
from .method_predictions import PREDICTION_CHECKS
from .planted import planted_batch, specs
from .planted_networks import TOLERANCE, network_of, pairs_for, prediction_of, specs_for


def every_candidate_fits(method_class: type[Method]) -> None:
    """Each candidate is fitted without a change to the batch, predicts finite values, and does so again with the same
    seed."""
    for spec in pairs_for(method_class):
        batch, copy = planted_batch(spec, count=64), planted_batch(spec, count=64)
        method = network_of(method_class, spec)
        assert isinstance(method, Estimator)
        for candidate in method.candidates():
            found = []
            for _ in range(2):
                method.learned.replace(method.fit(batch, candidate, seed=1))
                found.append(prediction_of(method, batch).prediction)
            assert bool(torch.isfinite(found[0]).all()), f"candidate {candidate!r}: not finite"
            assert torch.equal(*found), f"candidate {candidate!r}: two fits with one seed differ"
        for name in batch.modalities:
            assert torch.equal(batch.features[name], copy.features[name]), f"features of {name} changed"
        assert torch.equal(batch.target, copy.target), "targets changed"


def what_it_learned_is_restored(method_class: type[Method]) -> None:
    """Another estimator of the class that loads its state predicts the same."""
    for spec in specs_for(method_class):
        method, batch = network_of(method_class, spec), planted_batch(spec)
        other = method_class(method_class.Params(), spec)
        other.load_state_dict(method.state_dict())
        assert torch.equal(prediction_of(method, batch).prediction, prediction_of(other, batch).prediction), (
            "what it predicts is not all in what it has learned"
        )


def a_constant_is_not_better(method_class: type[Method]) -> None:
    """On its training samples it is at least as good as the best constant guess."""
    for spec in specs():
        method, batch = network_of(method_class, spec), planted_batch(spec)
        prediction = prediction_of(method, batch).prediction
        if spec.kind == "regression":
            error = float((prediction - batch.target).abs().mean())
            constant = float((batch.target - batch.target.median()).abs().mean())
            assert error <= constant + TOLERANCE, f"mean error {error:.3f}, of a constant {constant:.3f}"
        else:
            right = float((prediction.argmax(1) == batch.target).float().mean())
            constant = float(batch.target.bincount().max() / len(batch))
            assert right >= constant, f"accuracy {right:.3f}, of a constant {constant:.3f}"


ESTIMATOR_CHECKS: tuple[Callable[[type[Method]], None], ...] = (
    *PREDICTION_CHECKS,
    every_candidate_fits,
    what_it_learned_is_restored,
    a_constant_is_not_better,
)
