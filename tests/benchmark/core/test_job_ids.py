"""Ids of jobs: what was added to the protocol or to a method later changes none of them."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mmbench.benchmark.core.job import COMPANION, Data, Job, canonical_json
from mmbench.benchmark.core.method_spec import describe
from mmbench.benchmark.core.protocol import LATER_RULES, Protocol
from mmbench.benchmark.core.registry import find
from mmbench.benchmark.store.names import StoreError, safe_name
from mmbench.methods import METHODS

# The tables by which version 0.1 made ids, when job.py still knew methods and rules by their names.
RULES_OF_0_1: dict[str, Any] = {
    "train_with_missing": "off",
    "train_with_noise": "off",
    "held_out_classes": [],
    "epoch_steps": 0,
    "drop_last": False,
    "restart_optimizer": False,
    "encoder_rate": 1.0,
    "ties": "lower-loss",
    "roles": "splits",
    "encoder_mode": "frozen",
    "media_rate": 0.1,
    "adapter_rank": 8,
    "checkpointing": False,
    "accumulate": 1,
    "precision": "float32",
}
_DEEP = {"whole_network": False, "extra_width": 0, "bounded": False, "raw_halves": False}
PARAMS_OF_0_1: Mapping[str, Mapping[str, Any]] = {
    "rna": {"whole_network": False},
    "simmmdg": _DEEP,
    "moosa": _DEEP,
    "cmrf": {
        **_DEEP,
        "audio_weight": 1.0,
        "sums": False,
        "weight_apart": 0.0,
        "with_simmmdg": False,
        "trained_projections": "all",
    },
    "nel": {"whole_network": False, "modality_views": False, "raw_spectrum": False},
    "jat": {"whole_network": False},
    "mbcd": {
        "whole_network": False,
        "norms_trained": True,
        "feature_noise": False,
        "adaptive_drop": True,
        "mlp_head": 0,
        "evaluated_student": False,
        "weight_unimodal": 1.0,
        "weight_aside": 0.0,
    },
    "gmp": {"whole_network": False, "adversary_trained": True, "mlp_head": 0},
    "mplmm": {"backbone": "embeddings", "step_width": 30, "heads": 5, "cross_layers": 5, "steps": 50},
    "lmm": {"chat": True},
}

# What was added after 0.1, which leaves out of the id what has these values.
RULES_OF_0_2: dict[str, Any] = {
    "clip_part": "all",
    "patience": 0,
    "plateau_factor": 0.1,
    "plateau_patience": 10,
    "warmup": 0.0,
    "clip_value": 0.0,
    "class_weights": "off",
    "impute": "off",
    "accumulate_by": "mean",
    "media_decay": 1.0,
    "media_bias_decay": "on",
    "text_encoder": "",
}
_MLP_HEADS = {"head_dropout": 0.5, "mlp_heads": False, "contrast": "published"}
PARAMS_OF_0_2: Mapping[str, Mapping[str, Any]] = {
    "simmmdg": {"head_dropout": 0.5, "contrast": "published", "batch_norm": False},
    "moosa": {**_MLP_HEADS, "batch_norm": False},
    "cmrf": {**_MLP_HEADS, "projection_width": 0, "raw_mixtures": False},
    "nel": {
        "contrast": "published",
        "projection_width": 0,
        "projected_half": False,
        "paired_views": False,
    },
    "jat": {
        "unimodal_width": 0,
        "joint_projector": False,
        "batch_norm": False,
        "modality_mlp": False,
        "class_entropies": False,
    },
    "mbcd": {
        "unimodal_width": 0,
        "layer_norm": True,
        "unimodal_means": False,
        "lead": "mean-of-ratios",
        "buffers_averaged": True,
        "first_lessons": False,
    },
    "gmp": {"unimodal_width": 0, "batch_norm": False, "reversal_behind": False, "mean_auxiliary": False},
    "ebmc": {"kl_from": "fusion", "msd_norm": False, "first_stage": 0.4},
    "mult": {"audio_kernel": 0, "vision_kernel": 0, "residual_dropout": 0.0, "hidden_dropout": 0.0},
}


def id_of_0_1(job: Job) -> str:
    """The id of a job by the rule of version 0.1, written out here and never to be changed but for its tables."""
    shared = {"released_encoder": False} if job.method in METHODS else {}
    added = {**shared, **PARAMS_OF_0_2.get(job.method, {})}
    later = {**PARAMS_OF_0_1.get(job.method, {}), **added}
    rules = {**RULES_OF_0_1, **RULES_OF_0_2}
    identity = {
        "task": job.task,
        "method": job.method,
        "params": {k: v for k, v in job.params.items() if k not in later or later[k] != v},
        "version": job.version,
        "modalities": job.modalities,
        "data": [[item.name, item.fingerprint] for item in job.data],
        "protocol": {k: v for k, v in job.protocol.items() if k not in rules or rules[k] != v},
        "seed": job.seed,
        **({"role": job.role} if job.role else {}),
    }
    digest = hashlib.sha256(canonical_json({"schema": 1, **identity}).encode()).hexdigest()[:12]
    words = [job.task, job.method, "".join(name[0] for name in job.modalities), f"s{job.seed}", digest]
    return re.sub(r"[^a-z0-9.-]+", "-", "-".join(words).lower())


def job_of(method: str, protocol: Mapping[str, Any], params: Mapping[str, Any], version: str = "") -> Job:
    return Job(
        task="toy",
        modalities=("text", "audio"),
        data=(Data("toy", "0" * 64, "open", False),),
        protocol=protocol,
        seed=3,
        method=method,
        params=params,
        version=version or str(describe(find("method", method)).version),
    )


def rules_of_0_1() -> dict[str, Any]:
    """The fields of the protocol that 0.1 knew, with their defaults."""
    rules = Protocol.model_validate({"name": "fair"}).model_dump()
    return {name: value for name, value in rules.items() if name not in LATER_RULES or name in RULES_OF_0_1}


def other(value: Any) -> Any:
    """Another value of the same type."""
    return {bool: lambda: not value, str: lambda: value + "x", list: lambda: [*value, "x"]}.get(
        type(value), lambda: value + 1
    )()


@pytest.mark.parametrize("method", METHODS)
def test_ids_are_those_of_0_1_whatever_the_values(method: str):
    draw = random.Random(method)
    about = describe(find("method", method))
    rules = rules_of_0_1()
    for name, family in (("fair", ""), *(("as-published", f) for f in ("", "sentiment", "hust", "action"))):
        params = about.resolve({}, name, family)
        assert job_of(method, rules, params).id == id_of_0_1(job_of(method, rules, params))
        for key, value in params.items():
            job = job_of(method, {**rules, "name": name}, {**params, key: other(value)})
            assert job.id == id_of_0_1(job) != id_of_0_1(job_of(method, {**rules, "name": name}, params))
        for key, value in rules.items():
            job = job_of(method, {**rules, key: other(value)}, params)
            assert job.id == id_of_0_1(job) != id_of_0_1(job_of(method, rules, params))
        for _ in range(15):
            some = {k: other(v) if draw.random() < 0.3 else v for k, v in params.items()}
            asked = {k: other(v) if draw.random() < 0.3 else v for k, v in rules.items()}
            kept = {k: v for k, v in some.items() if draw.random() < 0.8}  # as an older store has them
            for job in (job_of(method, asked, some), job_of(method, asked, kept)):
                assert job.id == id_of_0_1(job)
                companion = replace(job, role=COMPANION)
                assert companion.id == id_of_0_1(companion) != job.id


@pytest.mark.parametrize("method", METHODS)
def test_a_rule_that_came_after_0_1_is_in_the_id_where_it_is_not_the_default(method: str):
    params = describe(find("method", method)).resolve({})
    before = rules_of_0_1()
    later = LATER_RULES.keys() - before.keys()
    assert "balance_domains" in later
    for name in later:
        default = job_of(method, {**before, name: LATER_RULES[name]}, params)
        assert default.id == job_of(method, before, params).id == id_of_0_1(job_of(method, before, params))
        assert job_of(method, {**before, name: other(LATER_RULES[name])}, params).id != default.id


PLUGIN = """
from dataclasses import dataclass
from mmbench.methods.generalisation.rna import RNA, RNAParams
from mmbench.methods.method import fixed

METHODS = {"mine": "Mine"}

@dataclass(frozen=True)
class MineParams(RNAParams):
    more: int = fixed(0, since="0.2")

class Mine(RNA):
    Params = MineParams
    version = 2
"""


def test_the_id_of_a_plug_in_s_job_is_the_same_where_the_plug_in_is_absent(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    entry = find("method", "mine", (file,))
    about = describe(entry)
    assert about.later_defaults() == {"more": 0, "whole_network": False, "released_encoder": False}
    rules = rules_of_0_1()
    job = job_of("mine", rules, about.resolve({}), f"{about.version} of {entry.origin}")
    assert job.id == id_of_0_1(job)
    file.unlink()
    assert Job.from_dict(job.to_dict()).id == job.id


def test_a_method_from_elsewhere_that_bears_the_name_of_one_of_ours_has_all_parameters_in_its_id():
    rules = Protocol.model_validate({"name": "fair"}).model_dump()
    params = describe(find("method", "rna")).resolve({})
    ours = [job_of("rna", rules, {**params, **more}) for more in ({}, {"whole_network": True})]
    assert len({job.id for job in ours}) == 2
    del params["whole_network"]
    assert job_of("rna", rules, params).id == ours[0].id
    theirs = [
        replace(job, version="1 of rna.py 0123456789ab") for job in (ours[0], job_of("rna", rules, params))
    ]
    assert len({job.id for job in theirs}) == 2


def _job_on(name: str, modalities: tuple[str, ...] = ("text", "audio")) -> Job:
    data = (Data(name, hashlib.sha256(name.encode()).hexdigest(), "open", False),)
    return Job(name, "erm", {}, "1", modalities, data, {}, 0)


NAMES = (
    "数据",
    "情感",
    "Übungen",
    "übungen",
    "हिन्दी",
    "ไทย",
    "данные",
    "_x",
    ".x",
    "Mine",
    "mine",
    "a_b",
    "a-b",
    "x" * 300,
)


def test_every_name_gives_an_id_that_a_folder_can_have_and_no_two_the_same():
    ids = [_job_on(name).id for name in NAMES]
    assert len({name.casefold() for name in ids}) == len(NAMES)
    for name in ids:
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*-[0-9a-f]{12}", name)
        assert len(name) <= 255
        assert safe_name(name) == name
    assert re.fullmatch(r"s0-[0-9a-f]{12}", replace(_job_on("数据", ("文本",)), method="方法").id)


def test_letters_outside_ascii_are_left_out_of_the_beginning_of_an_id():
    assert _job_on("数据").id.startswith("erm-ta-s0-")
    assert _job_on("Übungen").id.startswith("bungen-erm-ta-s0-")
    assert _job_on("Straße").id.startswith("stra-e-erm-ta-s0-")


def test_the_names_of_evaluations_stay_inside_their_folder():
    for name in ("ood-数据~0123456789ab~2", "ood-हिन्दी~0123456789ab", "gaussian-noise", "a+b c"):
        assert safe_name(name) == name
    for name in ("", ".", "..", "-x", "a/b", "a\\b", "a\0b", "a\nb", "~root", " a"):
        with pytest.raises(StoreError, match="is no name of"):
            safe_name(name)
