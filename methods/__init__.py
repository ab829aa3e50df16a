"""Methods: one file each. Name -> ``"module:Class"``, nothing imported until used."""

METHODS = {
    "erm": "mmbench.methods.erm:ERM",
    "ebmc": "mmbench.methods.ebmc:EBMC",
    "late_concat": "mmbench.methods.late_concat:LateConcat",
    "mixup": "mmbench.methods.mixup:Mixup",
    "mmd": "mmbench.methods.mmd:MMD",
    "coral": "mmbench.methods.coral:CORAL",
    "miro": "mmbench.methods.miro:MIRO",
    "supcon": "mmbench.methods.supcon:SupCon",
    "irm": "mmbench.methods.irm:IRM",
    "vrex": "mmbench.methods.vrex:VREx",
    "groupdro": "mmbench.methods.groupdro:GroupDRO",
}
