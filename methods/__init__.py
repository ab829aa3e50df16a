"""Methods: one file each. Name -> ``"module:Class"``, nothing imported until used."""

METHODS = {
    "erm": "mmbench.methods.erm:ERM",
    "ebmc": "mmbench.methods.ebmc:EBMC",
}
