"""Opinions on classes: evidence, belief, uncertainty, and the Dirichlet distribution that they stand for.

Evidence e [..., classes] >= 0 is the Dirichlet distribution with alpha = e + 1. With S = sum alpha the belief in a class is
b = e / S, the uncertainty mass u = classes / S, and sum b + u = 1 (Jøsang 2016; Sensoy et al. 2018).
"""

from __future__ import annotations

from torch import Tensor

#: Beyond it the loss has no gradient: logarithms of the gamma function of larger numbers are not exact enough.
MOST_EVIDENCE = 1e9


def uncertainty(evidence: Tensor) -> Tensor:
    """u = classes / S: [..., classes] -> [...], in (0, 1]; 1 where there is no evidence."""
    classes = evidence.shape[-1]
    return classes / (evidence.sum(dim=-1) + classes)


def log_expected(evidence: Tensor) -> Tensor:
    """The logarithm of alpha / S, the expected probability of each class: logits whose softmax is that."""
    alpha = evidence + 1
    return alpha.log() - alpha.sum(dim=-1, keepdim=True).log()


def combine(evidence: Tensor) -> Tensor:
    """Dempster's rule for opinions with one uncertainty mass (Han et al., ICLR 2021, eq. 4), over modalities.

    Two opinions give b = (b1 b2 + b1 u2 + b2 u1) / (1 - K) and u = u1 u2 / (1 - K), K the mass on pairs of unlike
    classes. With r = b / u = e / classes the normaliser cancels, and 1 + r = (1 + r1)(1 + r2): what is combined is a
    product, in any order, and one opinion without evidence changes nothing.

    Args:
        evidence: [batch, modality, classes], at least 0.

    Returns:
        [batch, classes], the evidence of the combined opinion, finite.
    """
    classes = evidence.shape[-1]
    return classes * (evidence / classes).log1p().sum(dim=1).clamp(max=60).expm1()


def divergence_from_uniform(alpha: Tensor) -> Tensor:
    """KL[Dir(alpha) || Dir(1, ..., 1)]: [..., classes] -> [...]; alpha > 0."""
    total = alpha.sum(dim=-1, keepdim=True)
    entropy_part = ((alpha - 1) * (alpha.digamma() - total.digamma())).sum(dim=-1)
    classes = alpha.new_tensor(float(alpha.shape[-1]))
    return total.squeeze(-1).lgamma() - classes.lgamma() - alpha.lgamma().sum(dim=-1) + entropy_part


def evidential_errors(evidence: Tensor, target: Tensor, weight_kl: float) -> Tensor:
    """The evidential loss of every sample (Sensoy et al. 2018, eq. 4; Han et al. 2021, eq. 9 to 11).

    The expected cross-entropy psi(S) - psi(alpha_y), and weight_kl times how far the evidence for the other classes is
    from none: KL[Dir(alpha~) || Dir(1)], alpha~ = alpha but 1 at the target.

    Args:
        evidence: [batch, classes].
        target: [batch], int64.
        weight_kl: lambda, in [0, 1]; it grows in the course of a training.

    Returns:
        [batch], float32. It is computed with float64.
    """
    alpha = evidence.double().clamp(max=MOST_EVIDENCE) + 1
    rows = target.unsqueeze(1)
    expected = alpha.sum(dim=1).digamma() - alpha.gather(1, rows).squeeze(1).digamma()
    others = alpha.scatter(1, rows, 1.0)
    return (expected + weight_kl * divergence_from_uniform(others)).float()
