"""From an experiment to its jobs. No torch."""
