"""Methods: name -> ``"module:Class"``, nothing imported until used.

Every file of a family's folder is one method:

* ``generalisation/``: to a target domain that is not trained on;
* ``missing/``: to modalities that are missing or of unequal quality;
* ``balance/``: of what the modalities learn, where one of them leads;
* ``trusted/``: to what each modality is sure of, sample by sample;
* ``conversation/``: of conversations, an utterance with those around it or the one before it;
* ``series/``: of series that are sampled irregularly and observed in part;
* ``language/``: language models that are trained along, or only asked;
* ``sentiment/``: networks of multimodal sentiment analysis, the rows of that field's tables, and of memes;
* ``controls/``: what a method has to beat before its own idea counts.

A new method is a file in the folder of its family and a line in this table; a new family is a new folder. The name, not
the folder, is what users type and what results are stored under. At the root lie ``erm.py``, the baseline that most
methods derive from, ``method.py``, the contract, and ``losses.py``; ``shared/`` holds the networks and terms that
methods are built of, and parts that a method is too long without.
"""

#: Counts changes of the networks and random draws that methods share (``shared/``): it is raised where one changes results,
#: and added to the version of every method, a plug-in's included.
NETWORK_VERSION = 1

METHODS = {
    "erm": "mmbench.methods.erm:ERM",
    "ebmc": "mmbench.methods.missing.ebmc:EBMC",
    "qamoe": "mmbench.methods.missing.qamoe:QAMoE",
    "cpsl": "mmbench.methods.balance.cpsl:CPSL",
    "uniform": "mmbench.methods.balance.uniform:Uniform",
    "ume": "mmbench.methods.balance.ume:UME",
    "ogm_ge": "mmbench.methods.balance.ogm_ge:OGMGE",
    "agm": "mmbench.methods.balance.agm:AGM",
    "pmr": "mmbench.methods.balance.pmr:PMR",
    "mmpareto": "mmbench.methods.balance.mmpareto:MMPareto",
    "g_blending": "mmbench.methods.balance.g_blending:GBlending",
    "mla": "mmbench.methods.balance.mla:MLA",
    "reconboost": "mmbench.methods.balance.reconboost:ReconBoost",
    "umt": "mmbench.methods.balance.umt:UMT",
    "rna": "mmbench.methods.generalisation.rna:RNA",
    "simmmdg": "mmbench.methods.generalisation.simmmdg:SimMMDG",
    "moosa": "mmbench.methods.generalisation.moosa:MOOSA",
    "cmrf": "mmbench.methods.generalisation.cmrf:CMRF",
    "nel": "mmbench.methods.generalisation.nel:NEL",
    "dann": "mmbench.methods.generalisation.dann:DANN",
    "jat": "mmbench.methods.generalisation.jat:JAT",
    "mbcd": "mmbench.methods.generalisation.mbcd:MBCD",
    "gmp": "mmbench.methods.generalisation.gmp:GMP",
    "sam": "mmbench.methods.generalisation.sam:SAM",
    "swad": "mmbench.methods.generalisation.swad:SWAD",
    "late_concat": "mmbench.methods.controls.late_concat:LateConcat",
    "majority": "mmbench.methods.controls.majority:Majority",
    "logistic": "mmbench.methods.controls.logistic:Logistic",
    "random_forest": "mmbench.methods.controls.random_forest:RandomForest",
    "gradient_boosting": "mmbench.methods.controls.gradient_boosting:GradientBoosting",
    "mixup": "mmbench.methods.generalisation.mixup:Mixup",
    "mmd": "mmbench.methods.generalisation.mmd:MMD",
    "coral": "mmbench.methods.generalisation.coral:CORAL",
    "miro": "mmbench.methods.generalisation.miro:MIRO",
    "supcon": "mmbench.methods.generalisation.supcon:SupCon",
    "irm": "mmbench.methods.generalisation.irm:IRM",
    "vrex": "mmbench.methods.generalisation.vrex:VREx",
    "groupdro": "mmbench.methods.generalisation.groupdro:GroupDRO",
    "bc_lstm": "mmbench.methods.conversation.bc_lstm:BcLSTM",
    "promma": "mmbench.methods.missing.promma:ProMMA",
    "mplmm": "mmbench.methods.missing.mplmm:MPLMM",
    "cagmamba": "mmbench.methods.conversation.cagmamba:CAGMamba",
    "tmc": "mmbench.methods.trusted.tmc:TMC",
    "etmc": "mmbench.methods.trusted.etmc:ETMC",
    "qmf": "mmbench.methods.trusted.qmf:QMF",
    "pdf": "mmbench.methods.trusted.pdf:PDF",
    "rcml": "mmbench.methods.trusted.rcml:RCML",
    "mmdynamics": "mmbench.methods.trusted.mmdynamics:MMDynamics",
    "grud": "mmbench.methods.series.grud:GRUD",
    "mtand": "mmbench.methods.series.mtand:MTAND",
    "trace": "mmbench.methods.series.trace:TRACE",
    "csdi": "mmbench.methods.series.csdi:CSDI",
    "fusemoe": "mmbench.methods.series.fusemoe:FuseMoE",
    "mmin": "mmbench.methods.missing.mmin:MMIN",
    "shaspec": "mmbench.methods.missing.shaspec:ShaSpec",
    "actionmae": "mmbench.methods.missing.actionmae:ActionMAE",
    "momke": "mmbench.methods.missing.momke:MoMKE",
    "missing_prompts": "mmbench.methods.missing.missing_prompts:MissingPrompts",
    "mmanet": "mmbench.methods.missing.mmanet:MMANet",
    "flex_moe": "mmbench.methods.missing.flex_moe:FlexMoE",
    "lnln": "mmbench.methods.missing.lnln:LNLN",
    "emt_dlfr": "mmbench.methods.missing.emt_dlfr:EMTDLFR",
    "tfr_net": "mmbench.methods.missing.tfr_net:TFRNet",
    "tfn": "mmbench.methods.sentiment.tfn:TFN",
    "lmf": "mmbench.methods.sentiment.lmf:LMF",
    "misa": "mmbench.methods.sentiment.misa:MISA",
    "self_mm": "mmbench.methods.sentiment.self_mm:SelfMM",
    "mult": "mmbench.methods.sentiment.mult:MulT",
    "almt": "mmbench.methods.sentiment.almt:ALMT",
    "mfn": "mmbench.methods.sentiment.mfn:MFN",
    "graph_mfn": "mmbench.methods.sentiment.graph_mfn:GraphMFN",
    "mmim": "mmbench.methods.sentiment.mmim:MMIM",
    "tetfn": "mmbench.methods.sentiment.tetfn:TETFN",
    "dmd": "mmbench.methods.sentiment.dmd:DMD",
    "dlf": "mmbench.methods.sentiment.dlf:DLF",
    "cenet": "mmbench.methods.sentiment.cenet:CENET",
    "mag_bert": "mmbench.methods.sentiment.mag_bert:MAGBERT",
    "lf_dnn": "mmbench.methods.sentiment.lf_dnn:LFDNN",
    "ef_lstm": "mmbench.methods.sentiment.ef_lstm:EFLSTM",
    "memefusion": "mmbench.methods.sentiment.memefusion:MemeFusion",
    "lmm": "mmbench.methods.language.lmm:LMM",
}

#: Those that are fitted without gradients: ``--methods estimators``, where ``all`` is all networks.
ESTIMATORS = ("majority", "logistic", "random_forest", "gradient_boosting")
#: Those that are built on a model which the user names: nothing but their own names stands for them.
LANGUAGE_MODELS = ("lmm",)
NETWORKS = tuple(name for name in METHODS if name not in (*ESTIMATORS, *LANGUAGE_MODELS))
