"""Names of OOD sets."""

from mmbench.leaderboards.tables.ood_sets import shortest, versioned


def test_a_content_is_named_where_a_set_had_several() -> None:
    one, two = versioned("near:mosei", "3f2a91bc77"), versioned("near:mosei", "00112233aa")
    other = versioned("far:sims", "ffffffff00")
    assert one == "near:mosei [data 3f2a91bc]"
    assert versioned("semantic:happy", "") == "semantic:happy"
    assert shortest([f"{one}/msp", f"{one}/knn", f"{other}/msp", "semantic:a+b/knn"]) == [
        "near:mosei/msp",
        "near:mosei/knn",
        "far:sims/msp",
        "semantic:a+b/knn",
    ]
    both = [f"{one}/msp", f"{two}/msp", f"{other}/msp"]
    assert shortest(both) == [*both[:2], "far:sims/msp"]
