"""Methods: one file each. Name -> ``"module:Class"``, nothing imported until used."""

METHODS = {
    "erm": "mmbench.methods.erm:ERM",
    "ebmc": "mmbench.methods.ebmc:EBMC",
    "dann": "mmbench.methods.dann:DANN",
    "jat": "mmbench.methods.jat:JAT",
    "mbcd": "mmbench.methods.mbcd:MBCD",
    "gmp": "mmbench.methods.gmp:GMP",
    "sam": "mmbench.methods.sam:SAM",
    "swad": "mmbench.methods.swad:SWAD",
}
