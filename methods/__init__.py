"""Methods: one file each. Name -> ``"module:Class"``, nothing imported until used."""

METHODS = {
    "erm": "mmbench.methods.erm:ERM",
    "ebmc": "mmbench.methods.ebmc:EBMC",
    "rna": "mmbench.methods.rna:RNA",
    "simmmdg": "mmbench.methods.simmmdg:SimMMDG",
    "moosa": "mmbench.methods.moosa:MOOSA",
    "cmrf": "mmbench.methods.cmrf:CMRF",
    "nel": "mmbench.methods.nel:NEL",
    "dann": "mmbench.methods.dann:DANN",
    "jat": "mmbench.methods.jat:JAT",
    "mbcd": "mmbench.methods.mbcd:MBCD",
    "gmp": "mmbench.methods.gmp:GMP",
    "sam": "mmbench.methods.sam:SAM",
    "swad": "mmbench.methods.swad:SWAD",
}
