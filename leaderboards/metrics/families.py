"""Which metrics score the datasets of a family together, by name. Imports nothing: stores are read by these names."""

from __future__ import annotations

#: Family of a dataset's target -> its metrics in the order in which a paper prints them; the first is the main one, and a
#: mean.
FAMILIES: dict[str, tuple[str, ...]] = {
    "mosi": (
        "acc2_has0",
        "acc2_non0",
        "f1_has0",
        "f1_non0",
        "acc7",
        "acc5",
        "mae",
        "corr",
        "acc2_mmdg",
        "f1_mmdg",
    ),
    "sims": ("sims_acc2", "sims_acc3", "sims_acc5", "sims_f1", "sims_mae", "sims_corr"),
    "regression": ("mae", "rmse", "corr"),
    "classification": ("accuracy", "balanced_accuracy", "f1_macro", "f1_weighted", "auroc_ovr", "auprc_ovr"),
    "multi-label": (
        "f1_macro_labels",
        "f1_micro_labels",
        "f1_weighted_labels",
        "f1_samples",
        "map_labels",
        "subset_accuracy",
    ),
}


def judges_answers(name: str, kind: str) -> bool:
    """Whether a metric judges answers against targets, and so stands in tables of accuracy.

    Args:
        name: of the metric.
        kind: of the metric: every mean does, and of rank metrics those in one of ``FAMILIES``.
    """
    return kind == "mean" or any(name in names for names in FAMILIES.values())
