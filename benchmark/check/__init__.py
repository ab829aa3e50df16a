"""Conformance tests, and what this installation has and lacks."""
