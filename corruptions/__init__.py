"""What breaks an input. Name -> ``"module:Class"``, nothing imported until used."""

CORRUPTIONS = {
    "missing": "mmbench.corruptions.missing:Missing",
}
