"""Regimes of conversations: from a dataset to jobs of segmenters, their results, tables and pictures. Imports no torch."""
