"""Metrics: pure functions of predictions and targets. The registry knows all of them by name."""
