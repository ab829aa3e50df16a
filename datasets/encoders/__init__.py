"""Encoders: what makes features of raw media. Name -> ``"module:Class"``, nothing imported until used."""

ENCODERS: dict[str, str] = {}
