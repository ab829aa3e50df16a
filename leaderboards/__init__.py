"""Metrics, statistics and tables: pure functions of predictions. No torch."""
