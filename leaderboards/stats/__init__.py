"""Statistics of scores: intervals over seeds and samples, paired comparisons, ranks, power. Nothing here knows of tables."""
