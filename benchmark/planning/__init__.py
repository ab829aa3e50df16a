"""From what was asked to jobs. No torch."""
